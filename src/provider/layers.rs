//! Inheritance between provider files: a variant states only what differs from its base.
//!
//! Tables are merged key by key. A table that states its own `kind` replaces the base's whole
//! table, because the other keys belong to another kind; lists replace lists. `drop` takes away
//! what the variant does not want. Overridden base URLs are applied to the base first, so that
//! moving a provider moves its variants.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use toml::{Table, Value};

/// Why a file does not become a preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("find `{0}`, which this file extends")]
    UnknownBase(String),
    #[error("follow `extends`: it leads back to `{0}`")]
    Circle(String),
    #[error("read `{0}`: it must be {1}")]
    WrongType(&'static str, &'static str),
    #[error("drop `{0}`: the base has no such key")]
    NothingToDrop(String),
}

/// The file `name` with everything it inherits and with `base_urls` applied.
pub(super) fn merged(
    files: &BTreeMap<String, Table>,
    base_urls: &BTreeMap<String, String>,
    name: &str,
) -> Result<Table, Error> {
    follow(files, base_urls, name, &mut Vec::new())
}

fn follow(
    files: &BTreeMap<String, Table>,
    base_urls: &BTreeMap<String, String>,
    name: &str,
    seen: &mut Vec<String>,
) -> Result<Table, Error> {
    if seen.iter().any(|known| known == name) {
        return Err(Error::Circle(name.to_owned()));
    }
    seen.push(name.to_owned());
    let mut own = files
        .get(name)
        .cloned()
        .ok_or_else(|| Error::UnknownBase(name.to_owned()))?;
    let unwanted = dropped(own.remove("drop"))?;
    let mut table = match own.remove("extends") {
        Some(Value::String(base)) => follow(files, base_urls, &base, seen)?,
        Some(_) => return Err(Error::WrongType("extends", "the name of a provider")),
        None => Table::new(),
    };
    for path in unwanted {
        remove(&mut table, &path).ok_or(Error::NothingToDrop(path))?;
    }
    overlay(&mut table, own);
    if let Some(url) = base_urls.get(name) {
        table.insert("base_url".to_owned(), Value::String(url.clone()));
    }
    Ok(table)
}

/// A short name for exactly this content.
pub(super) fn version(table: &Table) -> String {
    // Display writes tables in a fixed order, so equal content gives equal text.
    let digest = Sha256::digest(table.to_string().as_bytes());
    hex::encode(&digest[..6])
}

fn dropped(list: Option<Value>) -> Result<Vec<String>, Error> {
    let wrong = Error::WrongType("drop", "a list of keys");
    match list {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|item| {
                item.as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| wrong.clone())
            })
            .collect(),
        Some(_) => Err(wrong),
    }
}

/// Removes the value at a dotted path.
fn remove(table: &mut Table, path: &str) -> Option<Value> {
    match path.split_once('.') {
        None => table.remove(path),
        Some((first, rest)) => remove(table.get_mut(first)?.as_table_mut()?, rest),
    }
}

fn overlay(base: &mut Table, own: Table) {
    for (key, value) in own {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) if !over.contains_key("kind") => {
                overlay(under, over);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(
        files: &[(&str, &str)],
        base_urls: &[(&str, &str)],
        name: &str,
    ) -> Result<Table, Error> {
        let files = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.parse().unwrap()))
            .collect();
        let pairs = base_urls
            .iter()
            .map(|(name, url)| ((*name).to_owned(), (*url).to_owned()));
        merged(&files, &pairs.collect(), name)
    }

    const BASE: &str = r#"
        base_url = "http://a.test"
        list = [1, 2]
        [auth]
        kind = "header"
        name = "x"
        [submit]
        url = "/a"
        body = { model = "m", input = "i" }
        [poll]
        method = "GET"
    "#;

    #[test]
    fn a_variant_changes_only_what_it_states() {
        let variant = r#"
            extends = "base"
            drop = ["poll", "submit.body.model"]
            list = [3]
            auth = { kind = "none" }
            submit = { url = "/b", body = { more = 1 } }
        "#;
        let want: Table = r#"
            base_url = "http://a.test"
            list = [3]
            auth = { kind = "none" }
            submit = { url = "/b", body = { input = "i", more = 1 } }
        "#
        .parse()
        .unwrap();
        assert_eq!(merge(&[("base", BASE), ("v", variant)], &[], "v"), Ok(want));
    }

    #[test]
    fn moving_a_provider_moves_its_variants_unless_they_move_themselves() {
        let files = [
            ("base", BASE),
            ("v", "extends = 'base'"),
            ("w", "extends = 'v'"),
        ];
        let moved = |urls: &[(&str, &str)], name: &str| {
            merge(&files, urls, name).unwrap()["base_url"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(moved(&[("base", "http://b.test")], "w"), "http://b.test");
        assert_eq!(
            moved(&[("base", "http://b.test"), ("v", "http://c.test")], "w"),
            "http://c.test"
        );
        assert_eq!(moved(&[("v", "http://c.test")], "base"), "http://a.test");
    }

    #[test]
    fn faulty_inheritance_is_refused() {
        let one = |text: &str| merge(&[("base", BASE), ("v", text)], &[], "v").unwrap_err();
        assert_eq!(one("extends = 'x'"), Error::UnknownBase("x".to_owned()));
        assert_eq!(one("extends = 'v'"), Error::Circle("v".to_owned()));
        assert!(matches!(one("extends = 3"), Error::WrongType("extends", _)));
        assert!(matches!(
            one("extends = 'base'\ndrop = 'poll'"),
            Error::WrongType("drop", _)
        ));
        let drop = one("extends = 'base'\ndrop = ['submit.nothing']");
        assert_eq!(drop, Error::NothingToDrop("submit.nothing".to_owned()));
    }

    #[test]
    fn the_version_follows_the_content() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let first = version(&table("a = 1\nb = 2"));
        assert_eq!(first, version(&table("b = 2\na = 1")));
        assert_ne!(first, version(&table("a = 1\nb = 3")));
        assert_eq!(first.len(), 12);
    }
}
