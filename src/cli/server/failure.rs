//! What a server refuses, in the words and exit codes of this command line.

use serde_json::Value;

use crate::cli::failure::{Failure, Kind};
use crate::client::{Error, Refused};
use crate::desk::refusal;

/// Problems of the API that are called the same here, besides the refusals that both doors know.
const SAME: [Kind; 10] = [
    Kind::UnknownQueue,
    Kind::UnknownWorker,
    Kind::UnknownKey,
    Kind::UnknownPlan,
    Kind::NoReward,
    Kind::AlreadyEnded,
    Kind::NotFrozen,
    Kind::StoreFull,
    Kind::Unauthorized,
    Kind::Forbidden,
];

/// Of a problem's word: a refusal that this version does not know is one all the same.
fn kind(word: &str, status: u16) -> Kind {
    let refused = refusal::Kind::ALL.iter().copied().map(Kind::from);
    if let Some(same) = refused.chain(SAME).find(|kind| kind.word() == word) {
        return same;
    }
    match (word, status) {
        (
            "bad_request" | "idempotency_key_required" | "unsupported_media" | "body_too_large",
            _,
        ) => Kind::Usage,
        ("rate_limited" | "overloaded", _) => Kind::Overloaded,
        ("store_unavailable", _) => Kind::Unreachable,
        ("internal", _) => Kind::StoreError,
        ("no_such_route" | "method_not_allowed", _) | (_, 500..) => Kind::ForeignServer,
        _ => Kind::Refused,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = format!("failed to {error}");
        match error {
            Error::Setup(_) => Self::new(Kind::Usage, message),
            Error::Unreachable(_) => Self::new(Kind::Unreachable, message),
            Error::Foreign(_) => Self::new(Kind::ForeignServer, message),
            Error::Unknown { key: None, .. } => Self::new(Kind::Unreachable, message),
            Error::Unknown { key: Some(key), .. } => {
                Self::new(Kind::UnknownOutcome, message).with("idempotency_key", key)
            }
            Error::Refused(refused) => (*refused).into(),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let problem = refused.problem;
        let kind = kind(problem.word(), problem.status);
        let said = if problem.detail.is_empty() {
            problem.title.clone()
        } else {
            problem.detail.clone()
        };
        let mut failure = Self::new(kind, said);
        if matches!(kind, Kind::Refused | Kind::ForeignServer | Kind::StoreError) {
            failure = failure.with("problem", problem.word());
            if let Some(id) = refused.request_id {
                failure = failure.with("request_id", id);
            }
        }
        let more = problem.more.into_iter();
        more.fold(failure, |failure, (name, value): (String, Value)| {
            failure.with(&name, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;
    use crate::wire::ProblemBody;

    #[test]
    fn a_problem_ends_with_the_exit_code_that_the_store_would() {
        for (word, status, exit) in [
            ("insufficient", 402, Exit::Refused),
            ("unknown_job", 404, Exit::NotFound),
            ("bad_parameter", 422, Exit::Usage),
            ("bad_request", 400, Exit::Usage),
            ("unauthorized", 401, Exit::Refused),
            ("rate_limited", 429, Exit::Failed),
            ("store_unavailable", 503, Exit::Failed),
            ("no_such_route", 404, Exit::Failed),
            ("from_a_later_version", 409, Exit::Refused),
            ("from_a_later_version", 503, Exit::Failed),
        ] {
            assert_eq!(kind(word, status).exit(), exit, "{word}");
        }
    }

    #[test]
    fn a_lost_answer_names_the_key_and_a_lost_look_is_as_good_as_none() {
        let lost = |key: Option<&str>| {
            Failure::from(Error::Unknown {
                message: "x".to_owned(),
                key: key.map(str::to_owned),
            })
        };
        assert_eq!(lost(None).kind(), Kind::Unreachable);
        assert_eq!(lost(Some("k1")).kind(), Kind::UnknownOutcome);
        assert_eq!(lost(Some("k1")).json()["idempotency_key"], "k1");
    }

    #[test]
    fn what_a_problem_says_more_stands_in_the_failure() {
        let problem: ProblemBody = serde_json::from_str(
            r#"{"type":"/problems/insufficient","title":"t","status":402,"detail":"d","need_ucr":7}"#,
        )
        .unwrap();
        let failure = Failure::from(Refused {
            problem,
            retry_after_s: None,
            request_id: None,
            key: None,
        });
        assert_eq!(failure.json()["need_ucr"], 7);
        assert_eq!(
            (failure.kind(), failure.message()),
            (Kind::Insufficient, "d")
        );
    }
}
