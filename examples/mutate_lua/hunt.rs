//! One mutant against the tests that might notice it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use meterline::dev::redis::{PrivateRedis, RedisOptions};

use crate::guards::{self, Files, Mutant};
use crate::tests::{Coverage, Tests, Verdict};

/// Tests of the first process: mostly one of the quickest kills.
const FIRST: usize = 6;
/// Tests of each process after it.
const BATCH: usize = 40;

/// What is hunted with.
pub(crate) struct Hunt<'a> {
    pub(crate) files: &'a Files,
    pub(crate) tests: &'a Tests,
    pub(crate) coverage: &'a Coverage,
    pub(crate) work: &'a Path,
}

/// What became of a mutant.
pub(crate) struct Outcome {
    place: String,
    label: String,
    killer: Option<String>,
    /// Tests that set the guard off.
    reached_by: usize,
    took: Duration,
}

impl Hunt<'_> {
    /// Runs the tests that set the guard off, then all others that run its script, until one fails that
    /// passes without the mutation.
    pub(crate) fn down(&self, mutant: &Mutant, worker: usize) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let file = &mutant.guard.file;
        let mut files = self.files.clone();
        let text = mutant.text(self.files.get(file).context("the file of a guard")?);
        files.insert(file.clone(), text);
        let (lua, sound) = (
            self.work.join(format!("mutant-{worker}")),
            self.work.join(format!("sound-{worker}")),
        );
        guards::write(&files, &lua)?;
        guards::write(self.files, &sound)?;

        let here = format!("guard:{}", mutant.guard.name);
        let scripts = guards::scripts_of(self.files, file);
        let scripts: Vec<String> = scripts
            .iter()
            .map(|name| format!("script:{name}"))
            .collect();
        let (first, others): (Vec<_>, Vec<_>) = self
            .by_time(|known| known.contains(&here) || scripts.iter().any(|s| known.contains(s)))
            .into_iter()
            .partition(|name| self.coverage[*name].reached.contains(&here));
        let reached_by = first.len();
        let mut rest: Vec<&str> = first.into_iter().chain(others).collect();
        let (mut killer, mut size) = (None, FIRST);
        while killer.is_none() && !rest.is_empty() {
            let batch: Vec<&str> = rest.drain(..size.min(rest.len())).collect();
            killer = self.judge(batch, &lua, &sound)?;
            size = BATCH;
        }
        Ok(Outcome {
            place: format!("{file}.lua:{}", mutant.guard.line),
            label: mutant.label(),
            killer,
            reached_by,
            took: began.elapsed(),
        })
    }

    /// The first of these tests that fails with the mutant and passes without.
    fn judge(
        &self,
        mut batch: Vec<&str>,
        lua: &Path,
        sound: &Path,
    ) -> anyhow::Result<Option<String>> {
        while !batch.is_empty() {
            match self.tests.run(&batch, lua, &[])? {
                Verdict::Passed => return Ok(None),
                Verdict::Hung => return Ok(Some("a test that never ends".to_owned())),
                Verdict::Failed(name) => {
                    if self.tests.run(&[&name], sound, &[])? == Verdict::Passed {
                        return Ok(Some(name));
                    }
                    batch.retain(|other| *other != name);
                }
            }
        }
        Ok(None)
    }

    fn by_time(
        &self,
        is_wanted: impl Fn(&std::collections::BTreeSet<String>) -> bool,
    ) -> Vec<&str> {
        let passing = self.coverage.iter().filter(|(_, known)| known.passes);
        let mut wanted: Vec<_> = passing
            .filter(|(_, known)| is_wanted(&known.reached))
            .collect();
        wanted.sort_by_key(|(_, known)| known.took_ms);
        wanted.into_iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Outcome {
    pub(crate) fn survived(&self) -> bool {
        self.killer.is_none()
    }

    pub(crate) fn line(&self) -> String {
        let (place, label, ms) = (&self.place, &self.label, self.took.as_millis());
        match &self.killer {
            Some(killer) => format!("died     {label} ({place}) of {killer}, {ms} ms"),
            None => format!(
                "SURVIVED {label} ({place}), {} tests reach it, {ms} ms",
                self.reached_by
            ),
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "mutant": self.label, "place": self.place, "killed_by": self.killer,
            "reached_by": self.reached_by, "took_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// Every mutant is still Lua: one that the server cannot compile would die for nothing.
pub(crate) fn check_syntax(files: &Files, mutants: &[Mutant]) -> anyhow::Result<()> {
    let server = PrivateRedis::start(RedisOptions {
        append_only: false,
        extra: Vec::new(),
    })?;
    let mut connection = redis::Client::open(server.url())?.get_connection()?;
    for mutant in mutants {
        let text = mutant.text(
            files
                .get(&mutant.guard.file)
                .context("the file of a guard")?,
        );
        let body = text
            .strip_prefix("#!lua")
            .and_then(|rest| rest.split_once('\n'));
        let body = body.map_or(text.as_str(), |(_, rest)| rest);
        let loaded: Result<String, _> = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(body)
            .query(&mut connection);
        loaded.with_context(|| format!("{} is no Lua any more", mutant.label()))?;
    }
    Ok(())
}
