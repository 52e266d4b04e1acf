//! `account limits`: how many of an account's jobs are active at a time.

use super::{Because, caps::set};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::domain::ids::AccountId;
use crate::store::Term;

/// Set how many of an account's jobs are active in a queue at a time; waiting ones go in at once
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline account limits acme --max-active 40 --reason \"big launch\"\n  meterline account limits acme --max-active 2 --queue video --reason \"fair use\"\n  meterline account limits acme --max-active default --reason \"launch is over\""
)]
pub(in crate::cli) struct Args {
    account: AccountId,
    /// A number above zero, or `default`; running jobs are never stopped by it
    #[arg(long, value_name = "N")]
    max_active: String,
    /// Only in this queue
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    #[command(flatten)]
    because: Because,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let limit = number(&args.max_active)?;
    let term = match args.queue {
        None => Term::MaxActive(limit),
        Some(queue) => {
            let house = call.house()?;
            let queues = &house.settings().queues;
            if !queues.contains_key(&queue) {
                let known: Vec<&str> = queues.keys().map(String::as_str).collect();
                let message = format!(
                    "there is no queue {queue:?}; there are {}",
                    known.join(", ")
                );
                return Err(Failure::new(Kind::Usage, message));
            }
            Term::QueueMaxActive(queue, limit)
        }
    };
    set(call, &args.account, &term, &args.because).await
}

/// A limit; 0 stands for the default.
fn number(text: &str) -> Result<u32, Failure> {
    if text == "default" {
        return Ok(0);
    }
    let number = text.parse().ok().filter(|n| (1..=100_000).contains(n));
    number.ok_or_else(|| {
        let message =
            format!("--max-active {text:?} is neither a number from 1 to 100000 nor default");
        Failure::new(Kind::Usage, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_above_zero_or_the_default() {
        for (text, limit) in [
            ("1", Some(1)),
            ("100000", Some(100_000)),
            ("default", Some(0)),
            ("0", None),
            ("-1", None),
            ("100001", None),
            ("many", None),
        ] {
            assert_eq!(number(text).ok(), limit, "{text}");
        }
    }
}
