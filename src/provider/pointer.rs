//! Paths into a provider's JSON: RFC 6901 pointers, plus `*` for every element of an array or object.
//!
//! A path is one pointer or an ordered list of alternatives; the first one that finds anything
//! other than `null` counts. Looking up costs at most one walk over the document per alternative,
//! however hostile the document is.

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

/// No lookup returns more values than this; the rest is ignored.
const MATCHES_MAX: usize = 1000;

/// What is wrong with a pointer as written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error("read pointer `{0}`: it must be empty or start with `/`")]
    NoSlash(String),
    #[error("read pointer `{0}`: `~` must be followed by 0 or 1")]
    BadEscape(String),
    #[error("read an empty list of pointers")]
    NoAlternative,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Key(String),
    All,
}

/// One or more pointers in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<Vec<Token>>);

impl Path {
    /// A path of these alternatives.
    pub(super) fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let alternatives = texts
            .into_iter()
            .map(tokens)
            .collect::<Result<Vec<_>, _>>()?;
        if alternatives.is_empty() {
            return Err(Error::NoAlternative);
        }
        Ok(Self(alternatives))
    }

    /// Every value other than `null` under the first alternative that has any.
    pub(super) fn all<'v>(&self, document: &'v Value) -> Vec<&'v Value> {
        for pointer in &self.0 {
            let mut found = Vec::new();
            collect(document, pointer, &mut found);
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// The first of [`Path::all`].
    pub(super) fn first<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.all(document).into_iter().next()
    }

    /// The first string, number or boolean as text. An alternative that finds an object or array
    /// is passed over, because providers change an error between text and object.
    pub(super) fn text(&self, document: &Value) -> Option<String> {
        self.0.iter().find_map(|pointer| {
            let mut found = Vec::new();
            collect(document, pointer, &mut found);
            found.into_iter().find_map(scalar_text)
        })
    }
}

/// A string as it is, a number or boolean as JSON writes it, nothing for other values.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let rest = text
        .strip_prefix('/')
        .ok_or_else(|| Error::NoSlash(text.to_owned()))?;
    rest.split('/')
        .map(|part| match part {
            "*" => Ok(Token::All),
            key => unescape(key)
                .map(Token::Key)
                .ok_or_else(|| Error::BadEscape(text.to_owned())),
        })
        .collect()
}

fn unescape(part: &str) -> Option<String> {
    let mut plain = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            plain => plain,
        };
        plain.push(c);
    }
    Some(plain)
}

fn collect<'v>(value: &'v Value, pointer: &[Token], found: &mut Vec<&'v Value>) {
    if found.len() >= MATCHES_MAX {
        return;
    }
    let Some((token, rest)) = pointer.split_first() else {
        if !value.is_null() {
            found.push(value);
        }
        return;
    };
    match (value, token) {
        (Value::Array(items), Token::All) => {
            items.iter().for_each(|item| collect(item, rest, found));
        }
        (Value::Object(fields), Token::All) => {
            fields
                .values()
                .for_each(|field| collect(field, rest, found));
        }
        (Value::Array(items), Token::Key(key)) => {
            if let Some(item) = index(key).and_then(|at| items.get(at)) {
                collect(item, rest, found);
            }
        }
        (Value::Object(fields), Token::Key(key)) => {
            if let Some(field) = fields.get(key) {
                collect(field, rest, found);
            }
        }
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => {}
    }
}

/// An array index as RFC 6901 writes it: digits without a leading zero.
fn index(key: &str) -> Option<usize> {
    let plain = key.bytes().all(|b| b.is_ascii_digit()) && (key == "0" || !key.starts_with('0'));
    if plain { key.parse().ok() } else { None }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathVisitor)
    }
}

struct PathVisitor;

impl<'de> Visitor<'de> for PathVisitor {
    type Value = Path;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON pointer or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Path, E> {
        Path::parse([text]).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Path, A::Error> {
        let mut texts: Vec<String> = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Path::parse(texts.iter().map(String::as_str)).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(pointers: &[&str], document: &Value) -> Vec<Value> {
        Path::parse(pointers.iter().copied())
            .unwrap()
            .all(document)
            .into_iter()
            .cloned()
            .collect()
    }

    #[test]
    fn pointers_find_what_rfc_6901_says() {
        let doc = json!({"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, "n": null, "~1": 5});
        let table: [(&str, Vec<Value>); 12] = [
            ("", vec![doc.clone()]),
            ("/foo", vec![json!(["bar", "baz"])]),
            ("/foo/0", vec![json!("bar")]),
            ("/foo/00", vec![]),
            ("/foo/2", vec![]),
            ("/foo/-", vec![]),
            ("/foo/+1", vec![]),
            ("/", vec![json!(0)]),
            ("/a~1b", vec![json!(1)]),
            ("/m~0n", vec![json!(8)]),
            ("/~01", vec![json!(5)]),
            ("/n", vec![]),
        ];
        for (pointer, want) in table {
            assert_eq!(found(&[pointer], &doc), want, "{pointer}");
        }
    }

    #[test]
    fn a_star_stands_for_every_element_and_passes_over_what_does_not_fit() {
        let doc = json!({"o": [{"u": "a"}, {"u": null}, 7, {"v": 1}, {"u": "b"}],
                         "nodes": {"9": {"f": ["x"]}, "3": {"f": ["y", "z"]}}});
        assert_eq!(found(&["/o/*/u"], &doc), vec![json!("a"), json!("b")]);
        assert_eq!(
            found(&["/nodes/*/f/*"], &doc),
            vec![json!("y"), json!("z"), json!("x")]
        );
        assert_eq!(found(&["/o/*/u/*"], &doc), Vec::<Value>::new());
    }

    #[test]
    fn the_first_alternative_that_finds_anything_counts() {
        let doc = json!({"a": null, "b": [], "c": "x", "d": "y"});
        assert_eq!(found(&["/a", "/none", "/c", "/d"], &doc), vec![json!("x")]);
        assert_eq!(found(&["/b/*", "/d"], &doc), vec![json!("y")]);
    }

    #[test]
    fn text_takes_the_first_scalar_and_passes_over_objects() {
        let path = Path::parse(["/error/message", "/error", "/detail"]).unwrap();
        assert_eq!(
            path.text(&json!({"error": "plain"})),
            Some("plain".to_owned())
        );
        assert_eq!(
            path.text(&json!({"error": {"message": "m"}})),
            Some("m".to_owned())
        );
        assert_eq!(
            path.text(&json!({"error": {"x": 1}, "detail": 42})),
            Some("42".to_owned())
        );
        assert_eq!(path.text(&json!({"error": {}})), None);
    }

    #[test]
    fn malformed_pointers_are_refused() {
        let refused = |texts: &[&str]| Path::parse(texts.iter().copied()).unwrap_err();
        assert_eq!(refused(&["id"]), Error::NoSlash("id".to_owned()));
        assert_eq!(refused(&["/a~2"]), Error::BadEscape("/a~2".to_owned()));
        assert_eq!(refused(&["/a~"]), Error::BadEscape("/a~".to_owned()));
        assert_eq!(refused(&[]), Error::NoAlternative);
    }

    #[test]
    fn no_document_makes_a_lookup_return_more_than_the_limit() {
        let doc = json!([vec![vec![1; 50]; 50], vec![vec![1; 50]; 50]]);
        assert_eq!(found(&["/*/*/*"], &doc).len(), MATCHES_MAX);
    }
}
