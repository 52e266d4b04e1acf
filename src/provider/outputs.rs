//! Picking the outputs out of a successful answer.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::answer::Output;
use super::pointer::Path;

/// No answer gives more outputs than this; the rest is ignored.
const OUTPUTS_MAX: usize = 256;

/// Some providers leave the padding away.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where outputs stand and how they are written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputRule {
    #[serde(default)]
    at: Option<Path>,
    pub(super) kind: OutputKind,
}

/// How an output is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OutputKind {
    /// An http or https URL; a `data:` URL in its place is accepted too.
    Url,
    /// A `data:` URL.
    DataUrl,
    /// The file in base64.
    Base64,
    /// The body of the answer is the file.
    BytesBody,
}

impl OutputRule {
    /// Whether the rule has a place exactly where it needs one.
    pub(super) fn is_complete(&self) -> bool {
        self.at.is_some() == (self.kind != OutputKind::BytesBody)
    }
}

/// The outputs the rules find, in order. What is not of the announced kind is left out: fewer
/// outputs than asked are a cheaper success, none is a failure.
pub(super) fn collect(rules: &[OutputRule], json: &Value) -> Vec<Output> {
    rules
        .iter()
        .filter_map(|rule| rule.at.as_ref().map(|at| (at, rule.kind)))
        .flat_map(|(at, kind)| at.all(json).into_iter().map(move |value| (value, kind)))
        .filter_map(|(value, kind)| output(value.as_str()?, kind))
        .take(OUTPUTS_MAX)
        .collect()
}

fn output(text: &str, kind: OutputKind) -> Option<Output> {
    match kind {
        OutputKind::Url => web_url(text).map(Output::Url).or_else(|| data_url(text)),
        OutputKind::DataUrl => data_url(text),
        OutputKind::Base64 => {
            let bare: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
            let bytes = LENIENT
                .decode(bare)
                .ok()
                .filter(|bytes| !bytes.is_empty())?;
            Some(Output::Bytes(Bytes::from(bytes)))
        }
        OutputKind::BytesBody => None,
    }
}

fn web_url(text: &str) -> Option<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
}

fn data_url(text: &str) -> Option<Output> {
    let scheme = text.get(..5)?;
    scheme
        .eq_ignore_ascii_case("data:")
        .then(|| Output::DataUrl(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(rules: &str, json: &Value) -> Vec<Output> {
        #[derive(Deserialize)]
        struct File {
            outputs: Vec<OutputRule>,
        }
        let file: File = toml::from_str(rules).unwrap();
        collect(&file.outputs, json)
    }

    fn url(text: &str) -> Output {
        Output::Url(text.parse().unwrap())
    }

    #[test]
    fn outputs_are_picked_in_order_and_by_kind() {
        let rules =
            r#"outputs = [{ at = "/o/*/url", kind = "url" }, { at = "/b", kind = "base64" }]"#;
        let json = json!({
            "o": [{"url": "https://a.test/1"}, {"url": "s3://b/2"}, {"url": 7}, {"url": ""},
                  {"url": "DATA:image/png;base64,AA=="}, {"url": "https://a.test/1"}],
            "b": "aGk\n"
        });
        let want = vec![
            url("https://a.test/1"),
            Output::DataUrl("DATA:image/png;base64,AA==".to_owned()),
            url("https://a.test/1"),
            Output::Bytes(Bytes::from_static(b"hi")),
        ];
        assert_eq!(found(rules, &json), want);
    }

    #[test]
    fn what_is_not_of_its_kind_is_no_output() {
        let data = r#"outputs = [{ at = "/x", kind = "data_url" }]"#;
        let base64 = r#"outputs = [{ at = "/x", kind = "base64" }]"#;
        for text in ["https://a.test/1", "da", "ddata:x", "daté:"] {
            assert_eq!(found(data, &json!({"x": text})), vec![], "{text}");
        }
        for text in ["", "%%%", "a"] {
            assert_eq!(found(base64, &json!({"x": text})), vec![], "{text}");
        }
    }

    #[test]
    fn no_answer_gives_more_outputs_than_the_limit() {
        let many: Vec<String> = (0..500).map(|n| format!("https://a.test/{n}")).collect();
        let rules = r#"outputs = [{ at = "/o/*", kind = "url" }, { at = "/o/*", kind = "url" }]"#;
        assert_eq!(found(rules, &json!({"o": many})).len(), OUTPUTS_MAX);
    }
}
