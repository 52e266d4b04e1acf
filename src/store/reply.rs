//! Reading a script's reply: words with values, never bare numbers.

use redis::{FromRedisValue, Value};

use super::error::Error;

/// The reply of one script: a word, then its values.
pub(super) struct Reply {
    script: &'static str,
    values: Vec<Value>,
}

impl Reply {
    pub(super) fn new(script: &'static str, value: Value) -> Result<Self, Error> {
        match value {
            Value::Array(values) => Ok(Self { script, values }),
            other => Err(Error::Reply {
                script,
                detail: format!("{other:?}"),
            }),
        }
    }

    /// The answers to the items of one call. An item that raised an error has that for its answer.
    pub(super) fn answers(self) -> Result<Vec<Result<Self, Error>>, Error> {
        let script = self.script;
        let answer = |value| {
            let answer = Self::new(script, value)?;
            match answer.word()?.as_str() {
                "error" => Err(Error::Script {
                    script,
                    message: answer.text(1)?,
                }),
                _ => Ok(answer),
            }
        };
        Ok(self.values.into_iter().map(answer).collect())
    }

    /// Whether its word, or that of one of the items that it answers, is among these.
    pub(super) fn says_one_of(&self, words: &[&str]) -> bool {
        let is_one = |value: &Value| {
            let word = String::from_redis_value_ref(value);
            word.is_ok_and(|word| words.contains(&word.as_str()))
        };
        self.values.iter().take(1).any(is_one)
            || self.values.iter().any(|value| match value {
                Value::Array(item) => item.first().is_some_and(is_one),
                _ => false,
            })
    }

    fn get<T: FromRedisValue>(&self, index: usize) -> Result<T, Error> {
        let value = self.values.get(index).unwrap_or(&Value::Nil);
        T::from_redis_value_ref(value).map_err(|error| Error::Reply {
            script: self.script,
            detail: format!("value {index}: {error}"),
        })
    }

    /// The outcome's word.
    pub(super) fn word(&self) -> Result<String, Error> {
        self.get(0)
    }

    pub(super) fn text(&self, index: usize) -> Result<String, Error> {
        self.get(index)
    }

    pub(super) fn texts(&self, index: usize) -> Result<Vec<String>, Error> {
        self.get(index)
    }

    /// A number that travels as a decimal string.
    pub(super) fn number<T: std::str::FromStr>(&self, index: usize) -> Result<T, Error> {
        let text = self.text(index)?;
        text.parse().map_err(|_| Error::Reply {
            script: self.script,
            detail: format!("value {index} is {text:?}, not a number"),
        })
    }

    /// Rows of a nested reply.
    pub(super) fn rows(&self, index: usize) -> Result<Vec<Self>, Error> {
        let values: Vec<Value> = self.get(index)?;
        values
            .into_iter()
            .map(|value| Self::new(self.script, value))
            .collect()
    }

    /// Rows of a nested reply, taken out of it: for those that carry payloads.
    pub(super) fn take_rows(&mut self, index: usize) -> Result<Vec<Self>, Error> {
        let value = self.values.get_mut(index).map(std::mem::take);
        let nested = Self::new(self.script, value.unwrap_or_default())?;
        let row = |value| Self::new(self.script, value);
        nested.values.into_iter().map(row).collect()
    }

    /// The error for a word that this version does not know.
    pub(super) fn unknown<T>(&self) -> Result<T, Error> {
        Err(Error::Reply {
            script: self.script,
            detail: format!("{:?}", self.values),
        })
    }
}
