//! `account ledger`: the account's entries in the journal, with their postings.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{credits, note, rfc3339, rows, table};
use crate::domain::ids::AccountId;
use crate::store::JournalBody;

/// Show every movement of an account's credits, oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline account ledger acme --limit 20")]
pub(in crate::cli) struct Args {
    account: AccountId,
    /// How many entries: the newest ones
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let entries: VecDeque<(String, JournalBody)> = match call.server()? {
        Some(server) => server.ledger(&args.account, args.limit).await?.into(),
        None => {
            let house = call.house()?;
            let store = house.store().await?;
            if store.account(&args.account).await?.is_none() {
                return Err(Failure::unknown_account(&args.account));
            }
            let history = house.history(&store);
            let (found, away) = history.entries(&args.account, args.limit).await?;
            if let Some(error) = away {
                note(&format!(
                    "older entries are missing here: failed to {error}"
                ));
                exit = Exit::Failed;
            }
            found.into_iter().rev().collect()
        }
    };
    let values: Vec<Value> = entries
        .iter()
        .map(|(id, body)| entry_json(id, body))
        .collect();
    call.out.show(&values, || text(&entries))?;
    Ok(exit)
}

fn entry_json(id: &str, body: &JournalBody) -> Value {
    let postings: Vec<Value> = body
        .post
        .iter()
        .map(|(book, amount)| json!({"book": book, "amount_ucr": amount}))
        .collect();
    json!({
        "entry": id,
        "account_seq": body.account_seq,
        "at": i64::try_from(body.at_ms).ok().and_then(rfc3339),
        "kind": body.kind,
        "op": some(&body.op),
        "job": some(&body.job),
        "reason": some(&body.reason),
        "postings": postings,
    })
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn text(entries: &VecDeque<(String, JournalBody)>) -> String {
    let mut ledger = table(&["#", "at", "what", "postings", "job or operation"]);
    for (_, body) in entries {
        let postings: Vec<String> = body
            .post
            .iter()
            .map(|(book, amount)| {
                format!(
                    "{book} {}{}",
                    if *amount > 0 { "+" } else { "" },
                    credits(*amount)
                )
            })
            .collect();
        ledger.add_row([
            body.account_seq.to_string(),
            i64::try_from(body.at_ms)
                .ok()
                .and_then(rfc3339)
                .unwrap_or_default(),
            body.kind.clone(),
            postings.join(", "),
            some(&body.job)
                .or(some(&body.op))
                .unwrap_or_default()
                .to_owned(),
        ]);
    }
    rows(&ledger, "no entries")
}
