//! `dead ls`: the newest dead letters that fit, or all that fit as numbers by class and tool.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::filter::FilterArgs;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{credits, note, rfc3339, rows, table};
use crate::cli::server::Server;
use crate::desk::dead::{Selection, Walk};
use crate::store::{DeadFilter, DeadLetter, Sorting, Store};

/// Characters of a message that a table shows.
const MESSAGE_MAX: usize = 60;

/// List dead letters, newest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline dead ls --group\n  meterline dead ls --class provider_fault --tool image-to-video --older-than 1h"
)]
pub(in crate::cli) struct Args {
    /// Numbers by class and tool, with the credits that were held, instead of single ones
    #[arg(long, conflicts_with = "limit")]
    group: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    if let Some(server) = call.server()? {
        return through(call, &server, args).await;
    }
    let store = call.house()?.store().await?;
    let filter = args.filter.filter(&store).await?;
    if args.group {
        return group(call, &store, filter).await;
    }
    let (letters, more) = newest(&store, &filter, args.limit).await?;
    show(call, &letters, more)
}

/// The same from a server, which gives the oldest ones first.
async fn through(call: &Call, server: &Server, args: Args) -> Result<Exit, Failure> {
    let (mut letters, cut) = server.dead_letters(&args.filter.through()).await?;
    if cut {
        note("there are more than are looked through here: narrow them down");
    }
    if args.group {
        let mut sums = Sums::new();
        letters
            .into_iter()
            .for_each(|letter| add(&mut sums, letter));
        return show_sums(call, &sums);
    }
    letters.sort_by_key(|letter| std::cmp::Reverse(letter.ended_ms));
    let more = letters.len() > args.limit;
    letters.truncate(args.limit);
    show(call, &letters, more)
}

fn show(call: &Call, letters: &[DeadLetter], more: bool) -> Result<Exit, Failure> {
    let values: Vec<Value> = letters.iter().map(letter_json).collect();
    call.out.show(&values, || letters_text(letters))?;
    if more && !call.out.is_json() {
        let shown = letters.len();
        note(&format!(
            "these are the newest {shown}; see more with --limit, or all as numbers with --group"
        ));
    }
    Ok(Exit::Done)
}

/// The newest ones of all partitions, and whether there are more.
async fn newest(
    store: &Store,
    filter: &DeadFilter,
    limit: usize,
) -> Result<(Vec<DeadLetter>, bool), Failure> {
    let mut found = Vec::new();
    let partitions = store.partitions();
    for partition in (0..partitions).filter(|n| filter.may_be_in(*n, partitions)) {
        let (mut own, mut place) = (0, None);
        // One more than is shown says that there are more.
        while own <= limit {
            let page = store
                .dead_page(partition, filter, Sorting::Latest, place.as_ref())
                .await?;
            own += page.letters.len();
            found.extend(page.letters);
            place = page.next;
            if place.is_none() {
                break;
            }
        }
        found.sort_by_key(|letter| std::cmp::Reverse(letter.ended_ms));
        found.truncate(limit.saturating_add(1));
    }
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

/// A dead letter as listings show it.
fn letter_json(letter: &DeadLetter) -> Value {
    json!({
        "job": letter.job,
        "account": letter.account,
        "tool": letter.tool,
        "state": letter.state,
        "class": letter.class,
        "message": Some(&letter.message).filter(|text| !text.is_empty()),
        "submissions": letter.submissions,
        "ceiling_ucr": letter.ceiling,
        "ended_at": at(letter.ended_ms),
    })
}

fn at(ms: u64) -> Option<String> {
    i64::try_from(ms).ok().and_then(rfc3339)
}

fn letters_text(letters: &[DeadLetter]) -> String {
    let mut listed = table(&[
        "job", "account", "tool", "class", "ceiling", "ended", "message",
    ]);
    for letter in letters {
        let mut message: String = letter.message.chars().take(MESSAGE_MAX).collect();
        if message.len() < letter.message.len() {
            message.push('…');
        }
        listed.add_row([
            letter.job.to_string(),
            letter.account.to_string(),
            letter.tool.clone(),
            letter.class.clone(),
            credits(letter.ceiling.get()),
            at(letter.ended_ms).unwrap_or_default(),
            message,
        ]);
    }
    rows(&listed, "no dead letters")
}

/// How many there are and what was held for them.
#[derive(Default)]
struct Sum {
    number: u64,
    ceiling_ucr: i64,
}

/// By class and tool.
type Sums = BTreeMap<(String, String), Sum>;

async fn group(call: &Call, store: &Store, filter: DeadFilter) -> Result<Exit, Failure> {
    let mut sums = Sums::new();
    let mut walk = Walk::over(store, &Selection::Fitting(filter));
    while let Some(step) = walk.next().await? {
        if let Some(letter) = step.letter {
            add(&mut sums, letter);
        }
    }
    show_sums(call, &sums)
}

fn add(sums: &mut Sums, letter: DeadLetter) {
    let sum = sums.entry((letter.class, letter.tool)).or_default();
    sum.number += 1;
    sum.ceiling_ucr = sum.ceiling_ucr.saturating_add(letter.ceiling.get());
}

fn show_sums(call: &Call, sums: &Sums) -> Result<Exit, Failure> {
    let values: Vec<Value> = sums
        .iter()
        .map(|((class, tool), sum)| {
            json!({"class": class, "tool": tool, "number": sum.number, "ceiling_ucr": sum.ceiling_ucr})
        })
        .collect();
    call.out.show(&values, || {
        let mut grouped = table(&["class", "tool", "number", "at stake"]);
        for ((class, tool), sum) in sums {
            let (number, stake) = (sum.number.to_string(), credits(sum.ceiling_ucr));
            grouped.add_row([class.clone(), tool.clone(), number, stake]);
        }
        rows(&grouped, "no dead letters")
    })?;
    Ok(Exit::Done)
}
