//! Objects that are objects: left alone, serde takes a list for a struct too, its fields by their order.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A value that stands as a JSON object, not as a list of its fields.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }
        let members = Members(std::marker::PhantomData);
        deserializer.deserialize_map(members).map(Self)
    }
}

/// For a field: `#[serde(deserialize_with = "object::one")]`.
pub(super) fn one<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Object::deserialize(deserializer)?.0)
}

/// For a field that is a list of objects.
pub(super) fn many<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let all = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(all.into_iter().map(|one| one.0).collect())
}

#[cfg(test)]
mod tests {
    use crate::wire::{BatchRequest, DeadFilter, RetryRequest};

    #[test]
    fn a_list_is_no_object() {
        use super::Object;
        assert!(serde_json::from_str::<Object<DeadFilter>>("{}").is_ok());
        assert!(serde_json::from_str::<Object<DeadFilter>>("[]").is_err());
        let batch = r#"{"jobs":[["acme",null,"text-to-image"]]}"#;
        assert!(serde_json::from_str::<BatchRequest>(batch).is_err());
        let retry = r#"{"filter":[null,null],"payer":"house","reason":"x"}"#;
        assert!(serde_json::from_str::<RetryRequest>(retry).is_err());
    }
}
