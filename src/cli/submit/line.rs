//! One line of a JSONL file, and what comes of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Accepted, Failure, Kind, Producer, Store, Terms};
use crate::cli::request::positive_credits;
use crate::cli::server::Server;
use crate::domain::ids::{AccountId, IdempotencyKey, JobId};
use crate::domain::job::Priority;
use crate::producer::Asking;

/// A job as it stands on a line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    account: AccountId,
    tool: String,
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    route: Option<String>,
    #[serde(default)]
    idempotency_key: Option<IdempotencyKey>,
    /// The job id of an earlier call whose outcome is unknown.
    #[serde(default)]
    job: Option<JobId>,
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    delay_ms: u64,
    /// Credits, as a number or as a text.
    #[serde(default)]
    max_credits: Option<Value>,
}

/// What came of a line.
#[derive(Debug, Serialize)]
pub(super) struct LineResult {
    /// Its number, from 1.
    pub(super) line: u64,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

/// Accepted or not.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    Accepted(Accepted),
    Failed { error: Value },
}

impl LineResult {
    pub(super) fn failed(line: u64, failure: &Failure) -> Self {
        Self {
            line,
            outcome: Outcome::Failed {
                error: failure.json(),
            },
        }
    }
}

/// Where lines go.
pub(super) enum Place {
    /// Into the store.
    Store(Producer, Store),
    /// Through a server.
    Server(Server),
}

/// Submits one line.
pub(super) async fn submit(place: &Place, line: u64, text: Result<String, Failure>) -> LineResult {
    match try_submit(place, text).await {
        Ok(accepted) => LineResult {
            line,
            outcome: Outcome::Accepted(accepted),
        },
        Err(failure) => LineResult::failed(line, &failure),
    }
}

async fn try_submit(place: &Place, text: Result<String, Failure>) -> Result<Accepted, Failure> {
    let (asking, terms) = read(&text?)?;
    let (producer, store) = match place {
        Place::Store(producer, store) => (producer, store),
        Place::Server(server) => return super::remote::line(server, (asking, terms)).await,
    };
    let terms = super::with_job(terms, store, &asking.account)?;
    let submitted = producer.submit(&asking, &terms).await;
    Ok(submitted
        .map_err(|error| super::failure(error, &terms))?
        .into())
}

fn read(text: &str) -> Result<(Asking, Terms), Failure> {
    let line: Line = serde_json::from_str(text).map_err(|error| {
        // The reader counts lines within this text, which is one line of the file.
        let error = error.to_string().replace(" at line 1 column", " at column");
        Failure::new(Kind::BadLine, format!("not a job: {error}"))
    })?;
    let max = line.max_credits.map(|credits| match credits {
        Value::String(text) => positive_credits(&text),
        other => positive_credits(&other.to_string()),
    });
    let terms = Terms {
        idempotency_key: line.idempotency_key,
        job: line.job,
        priority: line.priority,
        delay_ms: line.delay_ms,
        max: max.transpose()?,
    };
    let (account, tool) = (line.account, line.tool);
    Ok((
        Asking {
            account,
            tool,
            params: line.params,
            route: line.route,
        },
        terms,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credits::Ucr;

    #[test]
    fn a_line_is_a_whole_request() {
        let (asking, terms) = read(
            r#"{"account":"acme","tool":"clip","params":{"duration_ms":5000},"route":"sim",
                "idempotency_key":"k","priority":"high","max_credits":35.5,"delay_ms":10}"#,
        )
        .unwrap();
        assert_eq!(
            (asking.tool.as_str(), asking.route.as_deref()),
            ("clip", Some("sim"))
        );
        assert_eq!(asking.params["duration_ms"], 5000);
        assert_eq!((terms.priority, terms.delay_ms), (Priority::High, 10));
        assert_eq!(terms.max.map(Ucr::get), Some(35_500_000));
        let text = read(r#"{"account":"acme","tool":"clip","max_credits":"0.1"}"#).unwrap();
        assert_eq!(text.1.max.map(Ucr::get), Some(100_000));
    }

    #[test]
    fn a_line_that_is_none_says_why() {
        for (line, kind, part) in [
            ("{", Kind::BadLine, "EOF"),
            ("[]", Kind::BadLine, "not a job"),
            (r#"{"account":"acme"}"#, Kind::BadLine, "tool"),
            (r#"{"account":"a b","tool":"x"}"#, Kind::BadLine, "a b"),
            (
                r#"{"account":"acme","tool":"x","parms":{}}"#,
                Kind::BadLine,
                "parms",
            ),
            (
                r#"{"account":"acme","tool":"x","max_credits":0}"#,
                Kind::BadAmount,
                "above zero",
            ),
            (
                r#"{"account":"acme","tool":"x","max_credits":-1}"#,
                Kind::BadAmount,
                "negative",
            ),
            (
                r#"{"account":"acme","tool":"x","max_credits":9007199255}"#,
                Kind::BadAmount,
                "above",
            ),
        ] {
            let failure = read(line).unwrap_err();
            assert_eq!(failure.kind(), kind, "{line}");
            assert!(failure.message().contains(part), "{}", failure.message());
        }
    }
}
