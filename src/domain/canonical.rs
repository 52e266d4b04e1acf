//! One spelling for every JSON value, so that equal requests have equal hashes.
//!
//! Keys are sorted, nothing is indented, and a number that is whole is written as an integer: a
//! producer that sends `5000.0` means `5000`.

use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

/// Above this a float no longer stands for one whole number only.
const WHOLE_MAX: f64 = 9_007_199_254_740_991.0;

/// The canonical text of a value.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

/// The value with every whole number as an integer; it equals the value its canonical text has.
pub fn canonical_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(canonical_number(number)),
        Value::Array(items) => Value::Array(items.into_iter().map(canonical_numbers).collect()),
        Value::Object(map) => Value::Object(canonical_map(map)),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

/// [`canonical_numbers`] for the members of an object.
pub fn canonical_map(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter()
        .map(|(key, value)| (key, canonical_numbers(value)))
        .collect()
}

/// The first `chars` (at most 64) hex digits of the SHA-256 of a text.
pub fn sha256_hex(text: &str, chars: usize) -> String {
    let mut digest = hex::encode(Sha256::digest(text.as_bytes()));
    digest.truncate(chars);
    digest
}

fn canonical_number(number: Number) -> Number {
    match number.as_f64() {
        // The cast is exact: the value is whole and below 2^53.
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= WHOLE_MAX => {
            Number::from(float as i64)
        }
        Some(_) | None => number,
    }
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            // Sorted here, because the map keeps insertion order under one of its features.
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_by_key(|&(key, _)| key);
            text.push('{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(&Value::String(key.clone()), text);
                text.push(':');
                write_value(member, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(item, text);
            }
            text.push(']');
        }
        Value::Number(number) => text.push_str(&canonical_number(number.clone()).to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_and_whole_numbers_are_integers() {
        let value = json!({"b": [1.0, 1.5, -0.0, 1e15], "a": {"d": null, "c": "x\n\"é"}});
        assert_eq!(
            canonical_json(&value),
            r#"{"a":{"c":"x\n\"é","d":null},"b":[1,1.5,0,1000000000000000]}"#
        );
    }

    #[test]
    fn numbers_that_are_not_one_whole_number_stay_as_they_are() {
        for value in [json!(1e300), json!(0.1), json!(u64::MAX), json!(i64::MIN)] {
            assert_eq!(canonical_numbers(value.clone()), value);
        }
        assert_eq!(
            canonical_numbers(json!({"a": [5000.0]})),
            json!({"a": [5000]})
        );
    }

    #[test]
    fn a_hash_is_cut_to_the_digits_asked_for() {
        assert_eq!(sha256_hex("", 12), "e3b0c44298fc");
        assert_eq!(sha256_hex("", 64).len(), 64);
    }
}
