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

    fn get<T: FromRedisValue>(&self, index: usize) -> Result<T, Error> {
        let value = self.values.get(index).cloned().unwrap_or(Value::Nil);
        T::from_redis_value(value).map_err(|error| Error::Reply {
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

    /// The error for a word that this version does not know.
    pub(super) fn unknown<T>(&self) -> Result<T, Error> {
        Err(Error::Reply {
            script: self.script,
            detail: format!("{:?}", self.values),
        })
    }
}
