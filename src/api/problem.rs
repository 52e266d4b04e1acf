//! Problems: every answer that is no success, as RFC 9457 has it. One table says each kind's status, its
//! title and its mend; the pages under `/problems/` and docs/http-api.md say the same.

use std::collections::BTreeMap;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::wire::ProblemBody;

/// Where the page of a problem is, below the server's own address: `type` is this and the kind's word.
pub(super) const PAGES: &str = "/problems/";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $status:ident, $title:literal, $mend:literal;)*) => {
        /// What went wrong. The word never changes; programs go by it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word at the end of `type`.
            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The status it is answered with.
            pub(super) fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// What it is, in a few words that are the same each time.
            pub(super) fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What to do about it.
            pub(super) fn mend(self) -> &'static str {
                match self { $(Self::$name => $mend,)* }
            }
        }
    };
}

kinds! {
    /// No key, or none of ours.
    Unauthorized = "unauthorized", UNAUTHORIZED, "No valid API key",
        "Send `Authorization: Bearer mlk_...`. A key that expired, was revoked or was rotated away is not valid any more.";
    /// The key lacks the scope.
    Forbidden = "forbidden", FORBIDDEN, "The key may not do this",
        "Use a key with the scope that `scope` names; `meterline key create --scope` makes one.";
    /// Nothing is at this address.
    NoSuchRoute = "no_such_route", NOT_FOUND, "There is nothing at this address",
        "Compare the path and the method with the document at /v1/openapi.json.";
    /// The address is there, the method is not.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This address has no such method",
        "Use one of the methods in the header `Allow`.";
    /// The body or a parameter of the address cannot be read.
    BadRequest = "bad_request", BAD_REQUEST, "The request cannot be read",
        "`detail` says where: a missing or unknown field, a wrong type, a value out of its bounds.";
    /// The body is no JSON.
    UnsupportedMedia = "unsupported_media", UNSUPPORTED_MEDIA_TYPE, "The body is not declared as JSON",
        "Send the body with `Content-Type: application/json`.";
    /// The body is too long.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too long",
        "Send less, or several requests; api.body_max_bytes of the settings is the limit.";
    /// The operation needs a key that makes it happen once.
    IdempotencyKeyRequired = "idempotency_key_required", BAD_REQUEST, "An idempotency key is needed",
        "Send `Idempotency-Key` with an id of your own, such as the payment's: what moves credits must be repeatable.";
    /// Too many requests of one key.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests",
        "Wait for `Retry-After` seconds. The headers `RateLimit` and `RateLimit-Policy` say how much is left.";
    /// Too much is under way in this process.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "The server has as much to do as it takes",
        "Repeat after `Retry-After` seconds. Nothing was held.";
    /// The store is away.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The store cannot be reached",
        "Repeat after `Retry-After` seconds. Nothing happened.";
    /// The store's memory is full.
    StoreFull = "store_full", SERVICE_UNAVAILABLE, "The store's memory is full",
        "Repeat later; the house has to give the store more memory. Nothing was held.";
    /// Nobody knows whether it happened.
    UnknownOutcome = "unknown_outcome", SERVICE_UNAVAILABLE, "The outcome is not known",
        "Repeat the same request with the same `Idempotency-Key`: it happens once, and the answer says what came of it.";
    /// Something is wrong on our side.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong on our side",
        "Repeat once; then tell the house the `X-Request-Id` of the answer.";
    /// No such job, or one of somebody else.
    UnknownJob = "unknown_job", NOT_FOUND, "There is no such job",
        "Look at the id. Finished jobs are forgotten after store.retention_days.";
    /// No such account, or one of somebody else.
    UnknownAccount = "unknown_account", NOT_FOUND, "There is no such account",
        "Create it with `POST /v1/accounts`, or look at the spelling.";
    /// No such tool.
    UnknownTool = "unknown_tool", NOT_FOUND, "There is no such tool",
        "`GET /v1/tools` lists the tools; `detail` names the nearest ones.";
    /// No such queue.
    UnknownQueue = "unknown_queue", NOT_FOUND, "There is no such queue",
        "`GET /v1/queues` lists the queues.";
    /// No such worker.
    UnknownWorker = "unknown_worker", NOT_FOUND, "There is no such worker",
        "`GET /v1/workers` lists the workers that have a lease.";
    /// No such API key.
    UnknownKey = "unknown_key", NOT_FOUND, "There is no such API key",
        "`GET /v1/keys` lists the keys; an id is the middle part of a secret.";
    /// No such endpoint, or one of somebody else.
    UnknownEndpoint = "unknown_endpoint", NOT_FOUND, "There is no such webhook endpoint",
        "`GET /v1/accounts/{account}/webhooks` lists an account's endpoints.";
    /// No such message was given up.
    UnknownMessage = "unknown_message", NOT_FOUND, "There is no such dead letter of the endpoint",
        "`GET /v1/webhooks/{endpoint}/dead-letters` lists them; what was sent again is none any more.";
    /// The job has no such output to hand out.
    UnknownOutput = "unknown_output", NOT_FOUND, "The job has no such output",
        "Outputs are counted from 0, in the order of the job's `outputs`; there are none before it has succeeded.";
    /// This process sees no artifact folder.
    OutputsElsewhere = "outputs_elsewhere", NOT_FOUND, "This server has no outputs",
        "Ask a server that sees the workers' folder: media.artifacts_dir of the settings.";
    /// The file is not in the folder.
    OutputMissing = "output_missing", NOT_FOUND, "The output's file is not there",
        "Somebody removed it, or the workers keep theirs in another folder than this server's media.artifacts_dir.";
    /// The condition of the request.
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, "The output is not the one that If-Match names",
        "Compare it with the header `ETag`, which is the output's hash.";
    /// A range outside of the file.
    BadRange = "bad_range", RANGE_NOT_SATISFIABLE, "The output has no such range",
        "Stay below the length that `Content-Range` names, or ask without `Range`.";
    /// An address that messages are never posted to.
    BadUrl = "bad_url", UNPROCESSABLE_ENTITY, "Messages are not posted to this address",
        "Use https at a public address; for hosts of its own the house sets webhooks.allow_cidr.";
    /// The endpoint is disabled.
    EndpointDisabled = "endpoint_disabled", CONFLICT, "The webhook endpoint is disabled",
        "Enable it first with `POST /v1/webhooks/{endpoint}/state`.";
    /// The account has as many endpoints as it may.
    TooManyEndpoints = "too_many_endpoints", CONFLICT, "The account has as many webhook endpoints as it may",
        "Remove one; webhooks.endpoints_max of the settings is the limit.";
    /// The endpoint's outbox has no room.
    OutboxFull = "outbox_full", CONFLICT, "The endpoint's outbox is full",
        "Repeat when some of what waits there has gone out; nothing is dropped for a dead letter.";
    /// No such run of a bulk command.
    UnknownRun = "unknown_run", NOT_FOUND, "There is no such run",
        "A run lives in the process that began it. Start it again: what it did is not done twice.";
    /// No such plan.
    UnknownPlan = "unknown_plan", UNPROCESSABLE_ENTITY, "There is no such plan",
        "Plans stand in the settings, under [plans].";
    /// Nothing was granted under the payment's id.
    UnknownPayment = "unknown_payment", NOT_FOUND, "There is no such payment",
        "Name the idempotency key that the payment was granted under.";
    /// A parameter does not fit the tool.
    BadParameter = "bad_parameter", UNPROCESSABLE_ENTITY, "A parameter does not fit",
        "`parameter` points at it; `GET /v1/tools/{tool}` has the schema.";
    /// The output would be longer than the tool makes.
    DurationAboveMaximum = "duration_above_maximum", UNPROCESSABLE_ENTITY, "The output would be too long",
        "Ask for at most `longest_ms`.";
    /// The tool has no such route.
    UnknownRoute = "unknown_route", UNPROCESSABLE_ENTITY, "The tool has no such route",
        "Leave `route` out, or take one that `GET /v1/tools/{tool}` lists.";
    /// The deadline cannot be that.
    DeadlineOutOfBounds = "deadline_out_of_bounds", UNPROCESSABLE_ENTITY, "The deadline is out of bounds",
        "Stay within the bounds in `detail`.";
    /// The request has no price.
    NoPrice = "no_price", UNPROCESSABLE_ENTITY, "The request has no price",
        "`detail` says what is missing.";
    /// The parameters are too long.
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "The parameters are too long",
        "Send links instead of data; `max_bytes` is the limit.";
    /// Too far in the future.
    TooFarAhead = "too_far_ahead", UNPROCESSABLE_ENTITY, "The job would be due too late",
        "Delay it by at most `max_ms`.";
    /// Not enough credits.
    Insufficient = "insufficient", PAYMENT_REQUIRED, "Not enough credits",
        "`need_ucr` has to be available, `available_ucr` is. Grant credits, or wait for open jobs to end.";
    /// A cap would be passed.
    CapExceeded = "cap_exceeded", PAYMENT_REQUIRED, "The account's cap would be passed",
        "Wait until `until`, or raise the cap.";
    /// The ceiling is above what the producer would pay.
    AboveMax = "above_max", UNPROCESSABLE_ENTITY, "The ceiling is above the maximum given",
        "Raise `max_ucr` to `ceiling_ucr`, or ask for less.";
    /// The account is closed.
    AccountClosed = "account_closed", CONFLICT, "The account is closed",
        "Open it again, or use another.";
    /// The account or its partition is frozen.
    Frozen = "frozen", CONFLICT, "The account is frozen",
        "An operator has to clear it: `meterline freeze clear`.";
    /// Nothing is frozen there.
    NotFrozen = "not_frozen", CONFLICT, "It is not frozen",
        "Somebody has cleared it already; GET /v1/freezes lists what stands still.";
    /// The idempotency key was used for something else.
    KeyMismatch = "key_mismatch", CONFLICT, "The idempotency key was used for another request",
        "Send a new key for a new request; `job` is what the key stands for, where it is a job.";
    /// The same request, under the same key, has no answer yet.
    RequestUnderWay = "request_under_way", CONFLICT, "The same request is under way",
        "Repeat after `Retry-After` seconds: then its answer is there.";
    /// The operation id was used for something else.
    OperationMismatch = "operation_mismatch", CONFLICT, "The idempotency key was used for another operation",
        "Send a new key for a new operation; `amount_ucr` is what this one moved.";
    /// The quote is gone.
    QuoteExpired = "quote_expired", CONFLICT, "The quote has expired",
        "Ask for a new quote.";
    /// The store has as many open jobs as it takes.
    QueueFull = "queue_full", SERVICE_UNAVAILABLE, "The queue is full",
        "Repeat after `Retry-After` seconds.";
    /// The queue is run empty.
    QueueDraining = "queue_draining", SERVICE_UNAVAILABLE, "The queue takes no more jobs",
        "Repeat when its operators let it go on.";
    /// The account has as many waiting jobs as it may.
    LaneFull = "lane_full", TOO_MANY_REQUESTS, "The account has too many waiting jobs",
        "Wait for some of its jobs to end.";
    /// The job has ended.
    AlreadyEnded = "already_ended", CONFLICT, "The job has ended",
        "Nothing needs to be done; `state` says how it ended.";
    /// It is no dead letter.
    NotADeadLetter = "not_a_dead_letter", CONFLICT, "The job is no dead letter",
        "Only failed and timed-out jobs that were neither retried nor dropped can be retried.";
    /// It was retried before and somebody else pays.
    PayerMismatch = "payer_mismatch", CONFLICT, "It was retried before, and somebody else pays",
        "`new_job` is what it became.";
    /// Rewards: taken already.
    AlreadyTaken = "already_taken", CONFLICT, "The reward was taken before",
        "The next one is due at `next_at`.";
    /// The settings give no such reward.
    NoReward = "no_reward", CONFLICT, "There is no such reward",
        "The settings under [rewards] say what is given.";
    /// A kind of credit that is made by the store alone.
    NotGrantable = "not_grantable", UNPROCESSABLE_ENTITY, "Credits of this kind are made by the store alone",
        "Use another kind.";
    /// Purchased credits never expire.
    PurchaseExpires = "purchase_expires", UNPROCESSABLE_ENTITY, "Purchased credits never expire",
        "Leave `expires_at` out, or use another kind.";
    /// The expiry is in the past.
    ExpiredAlready = "expired_already", UNPROCESSABLE_ENTITY, "The expiry is not in the future",
        "Send a later `expires_at`.";
    /// The account has as many live grants as it may.
    TooManyGrants = "too_many_grants", CONFLICT, "The account has too many live grants",
        "Grants with the same kind and expiry are one; let some burn or expire.";
    /// The books can hold no more.
    Overflow = "overflow", CONFLICT, "The amount is more than can be counted",
        "Use a smaller amount.";
    /// More than is left of a payment.
    AbovePayment = "above_payment", CONFLICT, "More than is left of the payment",
        "Take back at most `left_ucr`.";
    /// More than is left of a capture.
    AboveCaptured = "above_captured", CONFLICT, "More than is left of the charge",
        "Refund at most `left_ucr`.";
    /// The job was not charged.
    NotCaptured = "not_captured", CONFLICT, "The job was not charged",
        "Only a job that succeeded can be refunded; `state` says how it stands.";
    /// Nothing is left to do it to.
    Nothing = "nothing", CONFLICT, "There is nothing left to do",
        "It was all done before, or the amount is zero.";
    /// The account has open jobs.
    HasOpenJobs = "has_open_jobs", CONFLICT, "The account has open jobs",
        "Cancel them, or wait for them to end.";
}

/// An answer that is no success.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    more: BTreeMap<String, Value>,
    /// Whole seconds after which it is worth a repetition.
    retry_after_s: Option<u64>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let retry_after_s = match kind.status() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Some(1),
            _ => None,
        };
        Self {
            kind,
            detail: detail.into(),
            more: BTreeMap::new(),
            retry_after_s,
            headers: Vec::new(),
        }
    }

    /// One more thing that a program may want to know.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// When it is worth a repetition, in whole seconds.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds.max(1));
        self
    }

    /// One more header.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The document.
    pub(super) fn body(&self) -> ProblemBody {
        ProblemBody {
            kind: format!("{PAGES}{}", self.kind.word()),
            title: self.kind.title().to_owned(),
            status: self.kind.status().as_u16(),
            detail: self.detail.clone(),
            more: self.more.clone(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!(self.body()).to_string();
        let mut response = (self.kind.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers.extend(self.headers);
        response.extensions_mut().insert(self.kind);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_word_and_a_mend() {
        let words: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|k| k.word()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
            assert!(kind.mend().ends_with('.'), "{}", kind.word());
        }
    }

    #[test]
    fn docs_http_api_md_says_of_each_problem_what_the_server_says() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http-api.md");
        let page = std::fs::read_to_string(page).expect("docs/http-api.md");
        for kind in Kind::ALL {
            let row = format!(
                "| `{}` | {} | {}. {} |",
                kind.word(),
                kind.status().as_u16(),
                kind.title(),
                kind.mend()
            );
            assert!(page.contains(&row), "write into docs/http-api.md:\n{row}");
        }
    }
}
