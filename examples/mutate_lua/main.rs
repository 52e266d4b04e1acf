//! Takes each line tagged `-- guard:` out of the store's Lua files in turn: some test has to die.
//!
//! Run by `scripts/mutate-lua`. Which tests set off which guard is found out once, by running each test
//! alone on scripts that say so, and kept below `target`. A mutant meets these tests first, the quick
//! ones ahead, and all others that run its script only when it has survived them.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's output"
)]

mod guards;
mod hunt;
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::Context;
use clap::Parser;

use guards::{Files, Guard, Mutant};
use hunt::{Hunt, Outcome};
use tests::{Coverage, Tests};

/// Takes each guard out of the Lua files in turn: some test has to die.
#[derive(Debug, Parser)]
#[command(
    name = "mutate-lua",
    after_help = "Examples:
  scripts/mutate-lua                       every guard
  scripts/mutate-lua --script settle       those of settle.lua
  scripts/mutate-lua --guard settle_once   one of them
  scripts/mutate-lua --list                what there is, without running anything

Exit codes: 0 every mutant died, 1 one survived or something failed, 2 usage."
)]
struct Arguments {
    /// Only guards of this file: `settle`, `lib/hold`.
    #[arg(long)]
    script: Option<String>,
    /// Only this guard.
    #[arg(long)]
    guard: Option<String>,
    /// Says which mutants there are and runs nothing.
    #[arg(long)]
    list: bool,
    /// Finds out afresh which tests set off which guards.
    #[arg(long)]
    record: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Mutants looked at at the same time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let files = guards::read(&root.join("src/store/lua"))?;
    let guards = guards::all(&files)?;
    let mutants = chosen(&guards, &arguments)?;
    anyhow::ensure!(!mutants.is_empty(), "there is no such guard");
    if arguments.list {
        for mutant in &mutants {
            let guard = &mutant.guard;
            println!("{}.lua:{}\t{}", guard.file, guard.line, mutant.label());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let work = root.join("target/mutate-lua");
    hunt::check_syntax(&files, &mutants)?;
    let tests = Tests::build(&root)?;
    let coverage = coverage(&tests, &files, &guards, &work, &arguments)?;
    let hunt = Hunt {
        files: &files,
        tests: &tests,
        coverage: &coverage,
        work: &work,
    };
    let outcomes = hunt_all(&hunt, &mutants, arguments.jobs)?;
    report(&outcomes, arguments.output);
    let survived = outcomes.iter().any(Outcome::survived);
    Ok(ExitCode::from(u8::from(survived)))
}

fn chosen(guards: &[Guard], arguments: &Arguments) -> anyhow::Result<Vec<Mutant>> {
    let wanted = |guard: &&Guard| {
        arguments
            .script
            .as_ref()
            .is_none_or(|script| guard.file == *script)
            && arguments
                .guard
                .as_ref()
                .is_none_or(|name| guard.name == *name)
    };
    let mutants: anyhow::Result<Vec<_>> =
        guards.iter().filter(wanted).map(Guard::mutants).collect();
    Ok(mutants?.into_iter().flatten().collect())
}

/// What is known of each test; those that nothing is known of are run alone now, two at a time.
fn coverage(
    tests: &Tests,
    files: &Files,
    guards: &[Guard],
    work: &Path,
    arguments: &Arguments,
) -> anyhow::Result<Coverage> {
    let kept = work.join("coverage.json");
    let mut coverage: Coverage = match std::fs::read(&kept) {
        Ok(bytes) if !arguments.record => serde_json::from_slice(&bytes)?,
        _ => Coverage::new(),
    };
    let names = tests.names()?;
    let there: BTreeSet<&String> = names.iter().collect();
    coverage.retain(|name, known| there.contains(name) && known.passes);
    let unknown: Vec<String> = names
        .into_iter()
        .filter(|name| !coverage.contains_key(name))
        .collect();
    let lua = work.join("watched");
    guards::write(&guards::watched(files, guards), &lua)?;
    let (todo, all) = (Mutex::new(unknown.iter().enumerate()), Mutex::new(coverage));
    each_in(arguments.jobs.max(2), |worker| {
        let scratch = work.join(format!("scratch-{worker}"));
        loop {
            let Some((n, name)) = todo.lock().map_or(None, |mut todo| todo.next()) else {
                return Ok(());
            };
            let known = tests.watch(name, &lua, &scratch)?;
            let word = if known.passes {
                ""
            } else {
                ": FAILS, it is no judge"
            };
            eprintln!(
                "[{}/{}] {name}, {} ms{word}",
                n + 1,
                unknown.len(),
                known.took_ms
            );
            let mut all = all
                .lock()
                .map_err(|_| anyhow::anyhow!("another thread died"))?;
            all.insert(name.clone(), known);
            std::fs::write(&kept, serde_json::to_vec(&*all)?)?;
        }
    })?;
    all.into_inner().context("the coverage")
}

fn hunt_all(hunt: &Hunt<'_>, mutants: &[Mutant], jobs: usize) -> anyhow::Result<Vec<Outcome>> {
    let (todo, all) = (
        Mutex::new(mutants.iter().enumerate()),
        Mutex::new(Vec::new()),
    );
    each_in(jobs.max(1), |worker| {
        loop {
            let Some((n, mutant)) = todo.lock().map_or(None, |mut todo| todo.next()) else {
                return Ok(());
            };
            let outcome = hunt.down(mutant, worker)?;
            eprintln!("[{}/{}] {}", n + 1, mutants.len(), outcome.line());
            all.lock()
                .map_err(|_| anyhow::anyhow!("another thread died"))?
                .push((n, outcome));
        }
    })?;
    let mut all = all.into_inner().context("the outcomes")?;
    all.sort_by_key(|(n, _)| *n);
    Ok(all.into_iter().map(|(_, outcome)| outcome).collect())
}

/// Runs `work` in so many threads; the first error of any of them.
fn each_in(
    threads: usize,
    work: impl Fn(usize) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..threads).map(|n| scope.spawn(move || work(n))).collect();
        for thread in running {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread died"))??;
        }
        Ok(())
    })
}

fn report(outcomes: &[Outcome], output: Output) {
    let died = outcomes
        .iter()
        .filter(|outcome| !outcome.survived())
        .count();
    if output == Output::Json {
        let rows: Vec<_> = outcomes.iter().map(Outcome::json).collect();
        println!(
            "{}",
            serde_json::json!({"mutants": outcomes.len(), "killed": died, "outcomes": rows})
        );
        return;
    }
    println!("{died} of {} mutants died", outcomes.len());
    for outcome in outcomes.iter().filter(|outcome| outcome.survived()) {
        println!("{}", outcome.line());
    }
}
