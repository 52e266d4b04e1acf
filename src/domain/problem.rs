//! What is wrong in a settings text: where it stands, and how to mend it.
//!
//! A text is read as a whole and every problem in it is reported, because mending one key per
//! start is a slow way to a running system.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::domain::nearest::did_you_mean;

/// A place in a text, counted from 1; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that has to be mended before the settings can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or the environment variable; empty for a text that has no name.
    pub origin: String,
    /// Where in the file, where that can be told.
    pub place: Option<Place>,
    /// Dotted path of the key; empty where the text cannot be read at all.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    /// A problem of a key whose place is not known yet.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            origin: String::new(),
            place: None,
            key: key.into(),
            message: message.into(),
        }
    }

    /// The same problem, in a named file or variable.
    #[must_use]
    pub fn in_origin(self, origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            ..self
        }
    }

    /// The same problem, on the line of its key or of the nearest table around it.
    #[must_use]
    pub fn on_line(self, lines: &Lines) -> Self {
        Self {
            place: self.place.or_else(|| lines.of(&self.key)),
            ..self
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(place) = self.place {
            let lead = if self.origin.is_empty() { "line " } else { ":" };
            write!(f, "{lead}{place}")?;
        }
        if !self.origin.is_empty() || self.place.is_some() {
            f.write_str(": ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// The place of every key in a TOML text, by its dotted path (`tools.upscale.rate`, `routes[0]`).
#[derive(Debug, Clone, Default)]
pub struct Lines(BTreeMap<String, Place>);

impl Lines {
    /// Reads the places of all keys; a text that is not TOML is one problem with its line.
    pub fn of_text(text: &str) -> Result<Self, Problem> {
        let table = DeTable::parse(text).map_err(|error| unreadable(text, &error))?;
        let mut lines = Self::default();
        lines.add_table(&Text::of(text), "", table.get_ref());
        Ok(lines)
    }

    /// The place of a key, or of the nearest table around it that stands in the text.
    pub fn of(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(&place) = self.0.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Whether a key stands in the text.
    pub fn stands(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    fn add_table(&mut self, text: &Text<'_>, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            self.0.insert(path.clone(), text.place(&key.span()));
            self.add_value(text, &path, value.get_ref());
        }
    }

    fn add_value(&mut self, text: &Text<'_>, path: &str, value: &DeValue<'_>) {
        if let Some(table) = value.as_table() {
            self.add_table(text, path, table);
        }
        for (index, item) in value
            .as_array()
            .into_iter()
            .flat_map(|items| items.iter())
            .enumerate()
        {
            let path = format!("{path}[{index}]");
            self.0.insert(path.clone(), text.place(&item.span()));
            self.add_value(text, &path, item.get_ref());
        }
    }
}

/// Takes the value at a dotted path (`poll.http[0].means`) out of a table; of a list, the list.
/// `false` where there is nothing to take.
pub fn take_out(table: &mut toml::Table, path: &str) -> bool {
    let path = path.split('[').next().unwrap_or_default();
    match path.split_once('.') {
        None => table.remove(path).is_some(),
        Some((first, rest)) => match table.get_mut(first) {
            Some(toml::Value::Table(inner)) => take_out(inner, rest),
            Some(_) | None => false,
        },
    }
}

/// The dotted path of a key inside a table; either may be empty.
pub fn join(path: &str, key: &str) -> String {
    let separator = if path.is_empty() || key.is_empty() {
        ""
    } else {
        "."
    };
    format!("{path}{separator}{key}")
}

/// Reads a table into a type; a wrong type or a missing key is a problem that names its path.
pub fn read_table<T: DeserializeOwned>(table: toml::Table) -> Result<T, Problem> {
    serde_path_to_error::deserialize(table).map_err(|error| {
        let path = error.path().to_string();
        let key = if path == "." { String::new() } else { path };
        let message = in_words(&one_line(error.inner().message()));
        Problem::new(key.clone(), format!("{message}{}", unit_of(&key, &message)))
    })
}

/// Every key of `table` that the type `T` does not have, with the nearest one it has.
pub fn unknown_keys<'de, T: Deserialize<'de>>(path: &str, table: &toml::Table) -> Vec<Problem> {
    let known = fields::of::<T>();
    let unknown = table.keys().filter(|key| !known.contains(&key.as_str()));
    unknown
        .map(|key| unknown_key(path, key, known.iter().copied()))
        .collect()
}

/// The problem of a key that nothing reads.
pub fn unknown_key<'a>(
    path: &str,
    key: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    let mut mend = did_you_mean(key, known.clone());
    if mend.is_empty() {
        let all: Vec<&str> = known.into_iter().collect();
        mend = format!("; known here: {}", all.join(", "));
    }
    Problem::new(join(path, key), format!("unknown key{mend}"))
}

/// What a parser expects, in the words of the file.
const EXPECTED: [(&str, &str); 6] = [
    ("path string", "a text in quotes"),
    ("a map", "a table"),
    ("a sequence", "a list in [ ]"),
    ("a string", "a text in quotes"),
    ("a boolean", "true or false"),
    ("f64", "a number"),
];

/// A message without the names of types that only we know.
fn in_words(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let whole = ["u8", "u16", "u32", "u64", "usize"].contains(&expected);
    let words = if whole {
        "a whole number"
    } else if expected.starts_with("struct ") || expected.starts_with("internally tagged enum") {
        "a table"
    } else {
        let known = EXPECTED.iter().find(|(theirs, _)| *theirs == expected);
        known.map_or(expected, |(_, ours)| ours)
    };
    let found = found.replace("invalid type: map", "invalid type: table");
    let found = found.replace("invalid type: sequence", "invalid type: list");
    format!("{found}, expected {words}")
}

/// Which unit a number is in, as the end of its key says.
fn unit_of(key: &str, message: &str) -> &'static str {
    let units = [
        ("_ms", " of milliseconds, such as 15000"),
        ("_days", " of days"),
        ("_bytes", " of bytes"),
        ("_percent", " of percent"),
    ];
    let fits = |&&(end, _): &&(&str, &str)| key.ends_with(end) && message.ends_with("whole number");
    units.iter().find(fits).map_or("", |(_, unit)| unit)
}

fn unreadable(text: &str, error: &toml::de::Error) -> Problem {
    let place = error.span().map(|span| Text::of(text).place(&span));
    let mut message = one_line(error.message());
    let key = error.span().and_then(|span| text.get(span));
    if let ("duplicate key", Some(key)) = (message.as_str(), key) {
        message = format!("duplicate key `{key}`: put what belongs to it under the first one");
    }
    let mut problem = Problem::new("", message);
    problem.place = place;
    problem
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(", ")
}

/// A text, and where its lines begin: a settings file is asked for the place of each of its keys.
struct Text<'a> {
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Text<'a> {
    fn of(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            text,
            line_starts: std::iter::once(0)
                .chain(ends.map(|(at, _)| at + 1))
                .collect(),
        }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let line = self
            .line_starts
            .partition_point(|start| *start <= span.start);
        let start = self.line_starts[line - 1];
        let before = self.text.get(start..span.start).unwrap_or_default();
        Place {
            line,
            column: before.chars().count() + 1,
        }
    }
}

/// The field names of a struct, asked of its own `Deserialize`.
mod fields {
    use serde::de::{Deserialize, Deserializer, Error, Visitor};

    /// Empty for a type that is no struct.
    pub(super) fn of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
        T::deserialize(Probe).err().map_or(&[], |answer| answer.0)
    }

    /// Fails at once, with the field names it was asked for.
    struct Probe;

    #[derive(Debug)]
    struct Answer(&'static [&'static str]);

    impl std::fmt::Display for Answer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "list the fields: {:?}", self.0)
        }
    }

    impl std::error::Error for Answer {}

    impl Error for Answer {
        fn custom<T: std::fmt::Display>(_: T) -> Self {
            Self(&[])
        }
    }

    impl<'de> Deserializer<'de> for Probe {
        type Error = Answer;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
            Err(Answer(&[]))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Answer> {
            Err(Answer(fields))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
            ignored_any
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(
        dead_code,
        reason = "only the names and types of the fields matter here"
    )]
    struct Sample {
        lease_ms: u64,
        base_url: String,
    }

    const TEXT: &str =
        "\n[worker]\nlease_ms = 1\n\n[[routes]]\nname = \"a\"\n[[routes]]\nname = \"b\"\n";

    #[test]
    fn a_key_is_found_on_its_line_and_a_missing_one_on_its_table() {
        let lines = Lines::of_text(TEXT).unwrap();
        for (key, line) in [
            ("worker", Some(2)),
            ("worker.lease_ms", Some(3)),
            ("worker.sweep_ms", Some(2)),
            ("routes[1].name", Some(8)),
            ("routes[1].model", Some(7)),
            ("media", None),
        ] {
            assert_eq!(lines.of(key).map(|place| place.line), line, "{key}");
        }
    }

    #[test]
    fn text_that_is_not_toml_names_its_line() {
        let problem = Lines::of_text("a = 1\nb = = 2\n").unwrap_err();
        assert_eq!(problem.place, Some(Place { line: 2, column: 5 }));
        assert!(
            problem
                .in_origin("x.toml")
                .to_string()
                .starts_with("x.toml:2:5: ")
        );
    }

    #[test]
    fn unknown_keys_come_with_the_nearest_known_one() {
        let table: toml::Table = toml::from_str("lease = 1\nbase_ulr = 2\nzebra = 3").unwrap();
        let shown: Vec<String> = unknown_keys::<Sample>("worker", &table)
            .iter()
            .map(Problem::to_string)
            .collect();
        assert_eq!(
            shown,
            [
                "worker.base_ulr: unknown key; did you mean \"base_url\"?",
                "worker.lease: unknown key; did you mean \"lease_ms\"?",
                "worker.zebra: unknown key; known here: lease_ms, base_url",
            ]
        );
    }

    #[test]
    fn a_wrong_type_names_its_path() {
        let table = toml::from_str("lease_ms = \"soon\"\nbase_url = \"x\"").unwrap();
        let problem = read_table::<Sample>(table).unwrap_err();
        assert_eq!(problem.key, "lease_ms");
        assert!(problem.message.contains("soon"), "{problem}");
    }
}
