//! Calls: how a script or a read is sent, and what is known of it when no answer comes.

use std::sync::Arc;

use redis::aio::ConnectionLike;
use redis::{Cmd, RedisResult, Value};

use super::cluster::Connections;
use super::connection::{Line, Node};
use super::keys;
use super::reply::Reply;
use super::scripts::Script;
use super::way::{By, Reached, Way};
use super::{Error, Store};

impl Store {
    /// Runs a script. The first argument, the time, is added here.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: &[String],
        args: &[String],
    ) -> Result<Reply, Error> {
        self.run_on(Line::Words, script, keys, &[args]).await
    }

    /// Runs a script on one of the shared connections; the arguments stand one list after the other.
    pub(super) async fn run_on(
        &self,
        line: Line,
        script: &Script,
        keys: &[String],
        args: &[&[String]],
    ) -> Result<Reply, Error> {
        let mut way = self.way_to(keys, By::Shared(line));
        loop {
            let mut reached = way.reach().await?;
            match self.send(&mut reached, script, keys, args).await {
                Ok(value) => return Reply::new(script.name, value),
                Err(error) if way.goes_on(&error).await => {}
                Err(error) => return Err(self.failed(script.name, &error)),
            }
        }
    }

    /// The way of a script to whoever has its keys.
    pub(super) fn way_to<'a>(&'a self, keys: &'a [String], by: By) -> Way<'a> {
        let key = keys.first().map_or(keys::STORE_META, String::as_str);
        Way::to(&self.inner.connections, key, by)
    }

    /// Sends a script through a connection, and again where the server did not know it.
    pub(super) async fn send(
        &self,
        reached: &mut Reached,
        script: &Script,
        keys: &[String],
        args: &[&[String]],
    ) -> RedisResult<Value> {
        let count = args.iter().map(|list| list.len()).sum::<usize>() + 1;
        debug_assert!(
            script.fits(keys.len(), count),
            "{}: {} keys, {count} arguments",
            script.name,
            keys.len(),
        );
        let command = self.command(script, keys, args, count);
        let answer = reached.ask(&command).await;
        if answer.as_ref().is_err_and(is_not_loaded) {
            // Nothing happened: the server does not know the script yet, or no longer.
            script.code.load_async(&mut reached.connection).await?;
            return reached.ask(&command).await;
        }
        answer
    }

    /// The command is written once, straight into the bytes that are sent.
    fn command(&self, script: &Script, keys: &[String], args: &[&[String]], count: usize) -> Cmd {
        let texts = || keys.iter().chain(args.iter().copied().flatten());
        let bytes = texts().map(String::len).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + keys.len() + count, bytes + 100);
        command
            .arg("EVALSHA")
            .arg(script.code.get_hash())
            .arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        if self.now_ms == 0 {
            command.arg("");
        } else {
            command.arg(self.now_ms);
        }
        for arg in args.iter().copied().flatten() {
            command.arg(arg);
        }
        command
    }

    pub(super) fn failed(&self, what: &'static str, error: &redis::RedisError) -> Error {
        let is_cluster = self.inner.connections.is_cluster;
        match (Error::of(what, error), error.code()) {
            (_, Some("MOVED" | "ASK")) if is_cluster => Error::Unreachable(error.to_string()),
            (known, _) => known,
        }
    }

    /// Runs a pipeline of reading commands about one partition. A read that failed changed nothing, so that
    /// one on a connection which the server has closed meanwhile is simply made again on a new one.
    pub(super) async fn read<T: redis::FromRedisValue>(
        &self,
        what: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, Error> {
        match self.read_once(what, pipeline).await {
            Err(Error::Unknown(_)) => {}
            answered => return answered,
        }
        known(self.read_once(what, pipeline).await)
    }

    async fn read_once<T: redis::FromRedisValue>(
        &self,
        what: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, Error> {
        let connections = &self.inner.connections;
        let values = match read_whole(connections, pipeline).await {
            Err(Cut::Late(error)) => return Err(error),
            Err(Cut::Refused(error)) => return Err(self.failed(what, &error)),
            Ok(values) => values,
        };
        let unknown = |error: redis::RedisError| self.failed(what, &error);
        let values = Value::Array(values).extract_error().map_err(unknown)?;
        redis::from_redis_value(values).map_err(|error| unknown(error.into()))
    }

    /// Asks one server about itself.
    pub(super) async fn read_from<T: redis::FromRedisValue>(
        &self,
        node: &Arc<Node>,
        command: &Cmd,
        what: &'static str,
    ) -> Result<T, Error> {
        let mut asked = self.read_from_once(node, command, what).await;
        if matches!(asked, Err(Error::Unknown(_))) {
            asked = self.read_from_once(node, command, what).await;
        }
        known(asked)
    }

    async fn read_from_once<T: redis::FromRedisValue>(
        &self,
        node: &Arc<Node>,
        command: &Cmd,
        what: &'static str,
    ) -> Result<T, Error> {
        let mut connection = node.get(Line::Words).await.inspect_err(|_| {
            self.inner.connections.doubt(&node.name());
        })?;
        let answer = command.query_async(&mut connection).await;
        if answer.as_ref().is_err_and(|error| error.code().is_none()) {
            node.forget(Line::Words);
            self.inner.connections.doubt(&node.name());
        }
        answer.map_err(|error| self.failed(what, &error))
    }
}

/// A read whose answer was lost has not happened.
fn known<T>(answer: Result<T, Error>) -> Result<T, Error> {
    match answer {
        Err(Error::Unknown(text)) => Err(Error::Unreachable(text)),
        answered => answered,
    }
}

/// Why a pipeline has no answers.
enum Cut {
    /// No connection.
    Late(Error),
    /// An error for all of it.
    Refused(redis::RedisError),
}

/// Sends a pipeline to whoever has its keys. What is not there any more while its slot moves is asked for
/// again, command by command.
async fn read_whole(
    connections: &Arc<Connections>,
    pipeline: &redis::Pipeline,
) -> Result<Vec<Value>, Cut> {
    let first = pipeline.cmd_iter().find_map(key_of);
    let key = first.unwrap_or(keys::STORE_META);
    let mut way = Way::to(connections, key, By::Shared(Line::Words));
    let mut values = loop {
        let mut reached = way.reach().await.map_err(Cut::Late)?;
        let count = pipeline.len();
        let asked = reached.connection.req_packed_commands(pipeline, 0, count);
        match asked.await {
            Ok(values) => break values,
            Err(error) if way.goes_on(&error).await => {}
            Err(error) => return Err(Cut::Refused(error)),
        }
    };
    if connections.is_cluster {
        for (value, command) in values.iter_mut().zip(pipeline.cmd_iter()) {
            if let Value::ServerError(error) = value {
                let error = redis::RedisError::from(error.clone());
                let key = key_of(command).unwrap_or(key);
                *value = read_redirected(connections, key, command, error).await?;
            }
        }
    }
    Ok(values)
}

async fn read_redirected(
    connections: &Arc<Connections>,
    key: &str,
    command: &Cmd,
    error: redis::RedisError,
) -> Result<Value, Cut> {
    let mut way = Way::to(connections, key, By::Shared(Line::Words));
    way.reach().await.map_err(Cut::Late)?;
    let mut last = error;
    while way.goes_on(&last).await {
        let mut reached = way.reach().await.map_err(Cut::Late)?;
        match reached.ask(command).await {
            Ok(value) => return Ok(value),
            Err(error) => last = error,
        }
    }
    Err(Cut::Refused(last))
}

/// The first of the store's keys that a command names.
fn key_of(command: &Cmd) -> Option<&str> {
    command.args_iter().find_map(|arg| {
        let redis::Arg::Simple(bytes) = arg else {
            return None;
        };
        let text = std::str::from_utf8(bytes).ok()?;
        text.starts_with("ml:{").then_some(text)
    })
}

impl Reached {
    /// Sends one command. `ASKING` holds for the one that follows it, so both go together.
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        if !self.is_asking {
            return command.query_async(&mut self.connection).await;
        }
        let mut both = redis::pipe();
        both.cmd("ASKING");
        both.add_command(command.clone());
        let answered = self.connection.req_packed_commands(&both, 0, 2).await?;
        let answer = answered.into_iter().nth(1).unwrap_or(Value::Nil);
        answer.extract_error()
    }
}

fn is_not_loaded(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
}
