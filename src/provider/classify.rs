//! From a provider's error to a failure class.
//!
//! A preset's rules come first, in order; where none fits, the HTTP status decides. What providers
//! write is untrusted text and is cleaned before it goes anywhere.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::answer::Failure;
use super::cost::Usage;
use super::pointer::Path;
use super::predicate::Predicate;
use super::retry_after;
use crate::domain::failure::FailureClass;

/// No error text of a provider is kept longer than this, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// Where errors stand in an answer and what they mean.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Errors {
    /// The provider's code.
    code: Option<Path>,
    /// The provider's words.
    message: Option<Path>,
    /// Seconds to wait, where a provider writes them into the body instead of a header.
    retry_after_s: Option<Path>,
    /// The rules, first match wins.
    classify: Vec<Rule>,
}

/// A rule fits when everything it names fits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// One of these HTTP statuses.
    #[serde(default)]
    status: Option<Vec<u16>>,
    /// One of these codes, exactly.
    #[serde(default)]
    code: Option<Vec<String>>,
    /// The code starts with this.
    #[serde(default)]
    code_prefix: Option<String>,
    /// The message contains this, in any case.
    #[serde(default)]
    message_contains: Option<String>,
    /// This holds for the JSON answer.
    #[serde(default)]
    when: Option<Predicate>,
    /// What it means.
    class: FailureClass,
}

/// An answer that is no success.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal<'a> {
    /// HTTP status.
    pub(super) status: u16,
    /// The body, where it is JSON.
    pub(super) json: Option<&'a Value>,
    /// The wait that the headers ask for, in milliseconds.
    pub(super) wait_ms: Option<u64>,
}

/// A failure, and whether the preset says so itself.
#[derive(Debug, Clone)]
pub(super) struct Classified {
    pub(super) failure: Failure,
    /// A rule of the preset fitted; otherwise the class is a guess.
    pub(super) by_rule: bool,
}

/// What is known of one error.
struct Seen<'a> {
    status: u16,
    code: Option<&'a str>,
    message: &'a str,
    json: Option<&'a Value>,
}

impl Errors {
    /// The failure that an answer stands for; `fallback` says what it is where no rule fits and
    /// the body has no message.
    pub(super) fn failure(&self, seen: Refusal<'_>, fallback: (FailureClass, &str)) -> Classified {
        let Refusal {
            status,
            json,
            wait_ms,
        } = seen;
        let read = |path: &Option<Path>| {
            let text = path
                .as_ref()
                .zip(json)
                .and_then(|(path, json)| path.text(json));
            text.map(|text| clean(&text))
                .filter(|text| !text.is_empty())
        };
        let code = read(&self.code);
        let message = read(&self.message).unwrap_or_else(|| clean(fallback.1));
        let seen = Seen {
            status,
            code: code.as_deref(),
            message: &message,
            json,
        };
        let fitting = self.classify.iter().find(|rule| rule.fits(&seen));
        let class = fitting.map_or(fallback.0, |rule| rule.class);
        let retry_after_ms = wait_ms.or_else(|| self.wait_in_body(json));
        Classified {
            failure: Failure {
                class,
                message,
                code,
                retry_after_ms,
                usage: Usage::default(),
            },
            by_rule: fitting.is_some(),
        }
    }

    fn wait_in_body(&self, json: Option<&Value>) -> Option<u64> {
        let seconds: f64 = self.retry_after_s.as_ref()?.text(json?)?.parse().ok()?;
        retry_after::capped(seconds * 1000.0)
    }
}

impl Rule {
    fn fits(&self, seen: &Seen<'_>) -> bool {
        let code = |test: &dyn Fn(&str) -> bool| seen.code.is_some_and(test);
        self.status
            .as_ref()
            .is_none_or(|list| list.contains(&seen.status))
            && self
                .code
                .as_ref()
                .is_none_or(|list| code(&|code| list.iter().any(|c| c == code)))
            && self
                .code_prefix
                .as_ref()
                .is_none_or(|start| code(&|code| code.starts_with(start)))
            && self
                .message_contains
                .as_ref()
                .is_none_or(|part| seen.message.to_lowercase().contains(&part.to_lowercase()))
            && self
                .when
                .as_ref()
                .is_none_or(|test| seen.json.is_some_and(|json| test.holds(json)))
    }
}

/// The class of a submit's HTTP status where the preset says nothing else.
///
/// 408, 502, 504, 520 and 524 come from something between us and the provider, which may have started
/// the work: they are unknown outcomes. 404 and 405 mean that our URL or model name is wrong, which is
/// never the user's fault.
pub(super) fn class_of_status(status: u16) -> FailureClass {
    match status {
        401 | 403 => FailureClass::OurAuth,
        402 => FailureClass::OurBalance,
        404 | 405 | 409 | 410 => FailureClass::ProviderFault,
        408 | 502 | 504 | 520 | 524 => FailureClass::UnknownOutcome,
        429 => FailureClass::RateLimited,
        425 | 503 => FailureClass::Capacity,
        400..=499 => FailureClass::UserInput,
        _ => FailureClass::ProviderFault,
    }
}

/// A provider's text with control characters turned into spaces, trimmed and shortened.
pub(super) fn clean(text: &str) -> String {
    let plain: String = text
        .chars()
        .take(MESSAGE_CHARS_MAX * 4)
        .map(|c| {
            if c.is_control() || is_invisible(c) {
                ' '
            } else {
                c
            }
        })
        .collect();
    let mut short = String::new();
    for word in plain.split_whitespace() {
        if !short.is_empty() {
            short.push(' ');
        }
        short.push_str(word);
    }
    short.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// Characters that reorder or hide text on a terminal or page without being control characters.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors() -> Errors {
        toml::from_str(
            r#"
            code = ["/error/code", "/code"]
            message = ["/error/message", "/error", "/detail"]
            retry_after_s = "/retry_after"
            classify = [
                { status = [429], code = ["insufficient_quota"], class = "our_balance" },
                { code = ["1300", "1301"], class = "content_policy" },
                { code_prefix = "SAFETY.", class = "content_policy" },
                { message_contains = "nsfw", class = "content_policy" },
                { when = { at_least = { at = "/filtered", value = 1.0 } }, class = "content_policy" },
                { status = [418], class = "capacity" },
            ]
            "#,
        )
        .unwrap()
    }

    fn read(status: u16, json: Option<&Value>, wait_ms: Option<u64>) -> Failure {
        let seen = Refusal {
            status,
            json,
            wait_ms,
        };
        errors()
            .failure(seen, (class_of_status(status), "no message"))
            .failure
    }

    fn class(status: u16, body: &Value) -> FailureClass {
        read(status, Some(body), None).class
    }

    #[test]
    fn rules_come_first_and_in_order_then_the_status() {
        use FailureClass::*;
        let table = [
            (
                429,
                json!({"error": {"code": "insufficient_quota"}}),
                OurBalance,
            ),
            (429, json!({"error": {"code": "slow_down"}}), RateLimited),
            (
                400,
                json!({"error": {"code": "insufficient_quota"}}),
                UserInput,
            ),
            (200, json!({"code": 1301}), ContentPolicy),
            (200, json!({"code": 13011}), ProviderFault),
            (
                400,
                json!({"error": {"code": "SAFETY.INPUT.TEXT"}}),
                ContentPolicy,
            ),
            (400, json!({"error": {"code": "X.SAFETY."}}), UserInput),
            (200, json!({"error": "Output was NSFW."}), ContentPolicy),
            (200, json!({"filtered": 1}), ContentPolicy),
            (200, json!({"filtered": 0}), ProviderFault),
            (418, json!({}), Capacity),
            (401, json!({}), OurAuth),
            (403, json!({}), OurAuth),
            (402, json!({}), OurBalance),
            (404, json!({}), ProviderFault),
            (422, json!({}), UserInput),
            (408, json!({}), UnknownOutcome),
            (502, json!({}), UnknownOutcome),
            (504, json!({}), UnknownOutcome),
            (524, json!({}), UnknownOutcome),
            (425, json!({}), Capacity),
            (503, json!({}), Capacity),
            (500, json!({}), ProviderFault),
            (302, json!({}), ProviderFault),
        ];
        for (status, body, want) in table {
            assert_eq!(class(status, &body), want, "{status} {body}");
        }
    }

    #[test]
    fn an_answer_without_json_is_told_by_its_status() {
        let failure = read(503, None, Some(5));
        assert_eq!(failure.class, FailureClass::Capacity);
        assert_eq!(failure.message, "no message");
        assert_eq!((failure.code, failure.retry_after_ms), (None, Some(5)));
    }

    #[test]
    fn a_wait_in_the_body_counts_when_no_header_has_one() {
        let body = json!({"retry_after": 2});
        assert_eq!(read(429, Some(&body), None).retry_after_ms, Some(2_000));
        assert_eq!(read(429, Some(&body), Some(9)).retry_after_ms, Some(9));
    }

    #[test]
    fn text_of_a_provider_is_cut_and_cleaned() {
        assert_eq!(clean("a\u{1b}[31mred\r\n\tb\0"), "a [31mred b");
        assert_eq!(clean("a\u{202e}b\u{200b}c"), "a b c");
        assert_eq!(
            clean(&"é".repeat(100_000)).chars().count(),
            MESSAGE_CHARS_MAX
        );
        let body = json!({"error": {"message": "\n\n"}});
        assert_eq!(read(500, Some(&body), None).message, "no message");
    }
}
