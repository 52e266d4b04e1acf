//! What can go wrong between this process and the store.

use redis::RedisError;

use super::way::is_not_local;

/// A call to the store that has no outcome of its own.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No connection could be made: nothing was sent, nothing happened.
    #[error("reach the store: {0}")]
    Unreachable(String),
    /// The call was sent and its answer never came: it may have happened or not. Repeating it with
    /// the same operation id, idempotency key or token says which.
    #[error("learn the outcome, the connection was lost: {0}")]
    Unknown(String),
    /// The server's memory is full; the script was refused before its first line.
    #[error("write, the store's memory is full (raise maxmemory, or free some)")]
    Full,
    /// The server cannot be used as a store as it is.
    #[error("use this server as a store: {0}")]
    Unfit(String),
    /// The store was made by another version or with other settings.
    #[error("open the store: {0}")]
    Incompatible(String),
    /// The server answered a script with an error; nothing after the error was done.
    #[error("run {script}: {message}")]
    Script {
        /// The script's name.
        script: &'static str,
        /// The server's words.
        message: String,
    },
    /// The answer is not one that this version knows.
    #[error("understand the answer of {script}: {detail}")]
    Reply {
        /// The script's name, or the command's.
        script: &'static str,
        /// What was found instead.
        detail: String,
    },
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unknown(_) => true,
            Self::Full
            | Self::Unfit(_)
            | Self::Incompatible(_)
            | Self::Script { .. }
            | Self::Reply { .. } => false,
        }
    }

    /// Sorts an error of the client by what is known about the call.
    pub(super) fn of(script: &'static str, error: &RedisError) -> Self {
        match error.code() {
            Some("OOM") => Self::Full,
            // The server is up but not ready, cannot save, or is no longer the one that may write.
            Some(
                "LOADING" | "BUSY" | "READONLY" | "MASTERDOWN" | "NOREPLICAS" | "CLUSTERDOWN"
                | "TRYAGAIN" | "MISCONF",
            ) => Self::Unreachable(error.to_string()),
            // A slot on its way to another node: the script ended at its first command.
            Some(_) if is_not_local(error) => Self::Unreachable(error.to_string()),
            Some("MOVED" | "ASK") => Self::Unfit(
                "it is a node of a cluster: write redis+cluster:// instead of redis:// in its address"
                    .to_owned(),
            ),
            Some(_) => Self::Script {
                script,
                message: error.to_string(),
            },
            None if error.is_connection_refusal() => Self::Unreachable(error.to_string()),
            None => Self::Unknown(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reply: &str) -> Error {
        let value = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes());
        let error = match value.and_then(redis::Value::extract_error) {
            Err(error) => error,
            Ok(value) => panic!("{reply} is {value:?}"),
        };
        Error::of("settle", &error)
    }

    #[test]
    fn what_the_server_did_not_do_for_now_is_asked_again() {
        for reply in [
            "LOADING Redis is loading the dataset in memory",
            "MISCONF Redis is configured to save RDB snapshots, but is unable to persist to disk",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "READONLY You can't write against a read only replica.",
            "ERR Script attempted to access a non local key in a cluster node script: 94f0",
        ] {
            assert!(of(reply).is_transient(), "{reply}");
        }
        assert!(matches!(of("OOM command not allowed"), Error::Full));
        assert!(!of("WRONGTYPE Operation against a key").is_transient());
    }
}
