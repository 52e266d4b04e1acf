//! `audit acts`: what operators did, over all partitions, by time.

use serde_json::{Value, json};

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{rfc3339, rows, table};
use crate::cli::request::time_ms;
use crate::store::{Act, Store};

/// Acts read at a time.
const PAGE: usize = 500;

/// What one command does in several partitions lies closer together than this, in milliseconds.
const ONE_COMMAND_MS: u64 = 2_000;

/// Show what operators did: when, who, what, to whom, and why; the newest ones, oldest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline audit acts --actor ann --since 2027-01-01T00:00:00Z\n  meterline audit acts --subject acme --output json"
)]
pub(super) struct Args {
    /// Only from this time on, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    since: Option<u64>,
    /// Only what this one did
    #[arg(long)]
    actor: Option<String>,
    /// Only what was done to this account, queue or job
    #[arg(long)]
    subject: Option<String>,
    /// Only acts of this kind, such as freeze or pause
    #[arg(long)]
    act: Option<String>,
    /// How many: the newest ones
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) async fn run(call: &Call, args: &Args) -> Result<Exit, Failure> {
    let store = call.house()?.store().await?;
    let acts = newest(&store, args).await?;
    let values: Vec<Value> = acts.iter().map(act_json).collect();
    call.out.show(&values, || text(&acts))?;
    Ok(Exit::Done)
}

/// The newest acts that fit, oldest first, each with its partition. At no time are more than twice as
/// many kept as are asked for, and a page.
async fn newest(store: &Store, args: &Args) -> Result<Vec<(u16, Act)>, Failure> {
    let mut kept = Vec::new();
    for partition in 0..store.partitions() {
        let mut from = "-".to_owned();
        loop {
            let page = store.acts(partition, &from, PAGE).await?;
            let next = page.last().map(|act| format!("({}", act.id));
            let full = page.len() >= PAGE;
            let fitting = page.into_iter().filter(|act| args.fits(act));
            kept.extend(fitting.map(|act| (partition, act)));
            if kept.len() > args.limit.saturating_mul(2) {
                keep_newest(&mut kept, args.limit);
            }
            match next {
                Some(next) if full => from = next,
                Some(_) | None => break,
            }
        }
    }
    keep_newest(&mut kept, args.limit);
    Ok(kept)
}

/// Sorts by time and drops the oldest above `limit`.
fn keep_newest(acts: &mut Vec<(u16, Act)>, limit: usize) {
    acts.sort_by_key(|(_, act)| act.at_ms);
    let above = acts.len().saturating_sub(limit);
    acts.drain(..above);
}

impl Args {
    fn fits(&self, act: &Act) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        self.since.is_none_or(|since| act.at_ms >= since)
            && is(&self.actor, &act.actor)
            && is(&self.subject, &act.subject)
            && is(&self.act, &act.act)
    }
}

fn act_json((partition, act): &(u16, Act)) -> Value {
    let mut value = json!(act);
    value["partition"] = json!(partition);
    value["at"] = json!(at(act));
    value
}

fn at(act: &Act) -> Option<String> {
    i64::try_from(act.at_ms).ok().and_then(rfc3339)
}

fn text(acts: &[(u16, Act)]) -> String {
    let mut list = table(&["at", "who", "did", "to", "why", "what came of it"]);
    for same in acts.chunk_by(|a, b| is_one_act(&a.1, &b.1)) {
        let [(partition, act), others @ ..] = same else {
            continue;
        };
        let subject = match (act.subject.as_str(), others.len()) {
            ("*", 0) => format!("partition {partition}"),
            ("*", more) => format!("{} partitions", more + 1),
            (subject, 0) => subject.to_owned(),
            (subject, more) => format!("{subject}, in {} partitions", more + 1),
        };
        list.add_row([
            at(act).unwrap_or_default(),
            act.actor.clone(),
            act.act.clone(),
            subject,
            act.reason.clone(),
            act.detail.clone(),
        ]);
    }
    rows(&list, "no acts")
}

/// One command leaves a line in each partition it concerns: for a reader it is one act.
fn is_one_act(one: &Act, next: &Act) -> bool {
    let words = |act: &Act| {
        [&act.actor, &act.act, &act.subject, &act.reason, &act.detail].map(Clone::clone)
    };
    words(one) == words(next) && next.at_ms.abs_diff(one.at_ms) <= ONE_COMMAND_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(subject: &str, at_ms: u64) -> Act {
        let text = str::to_owned;
        Act {
            id: text("1-0"),
            at_ms,
            actor: text("ann"),
            act: text("pause"),
            subject: text(subject),
            reason: text("deploy"),
            detail: String::new(),
        }
    }

    #[test]
    fn lines_of_one_command_are_one_row_and_two_commands_are_two() {
        let acts = [
            (0, act("image", 1_000)),
            (1, act("image", 1_004)),
            (2, act("image", 1_009)),
            (0, act("video", 1_010)),
            (0, act("video", 9_000)),
        ];
        let text = text(&acts);
        assert_eq!(text.matches("image, in 3 partitions").count(), 1, "{text}");
        assert_eq!(text.matches("video").count(), 2, "{text}");
    }
}
