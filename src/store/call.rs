//! Calls: how a script or a read is sent, and what is known of it when no answer comes.

use redis::aio::MultiplexedConnection;

use super::connection::Line;
use super::reply::Reply;
use super::scripts::Script;
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
        let mut connection = self.inner.connections.get(line).await?;
        let answer = self.send(&mut connection, script, keys, args).await;
        match answer {
            Ok(value) => Reply::new(script.name, value),
            Err(error) => Err(self.failed(line, script.name, &error).await),
        }
    }

    /// Sends a script through a connection, and again where the server did not know it.
    pub(super) async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        script: &Script,
        keys: &[String],
        args: &[&[String]],
    ) -> redis::RedisResult<redis::Value> {
        let count = args.iter().map(|list| list.len()).sum::<usize>() + 1;
        debug_assert!(
            script.fits(keys.len(), count),
            "{}: {} keys, {count} arguments",
            script.name,
            keys.len(),
        );
        let command = self.command(script, keys, args, count);
        let answer = command.query_async::<redis::Value>(connection).await;
        if answer.as_ref().is_err_and(is_not_loaded) {
            // Nothing happened: the server does not know the script yet, or no longer.
            script.code.load_async(connection).await?;
            return command.query_async(connection).await;
        }
        answer
    }

    /// The command is written once, straight into the bytes that are sent.
    fn command(
        &self,
        script: &Script,
        keys: &[String],
        args: &[&[String]],
        count: usize,
    ) -> redis::Cmd {
        let texts = || keys.iter().chain(args.iter().copied().flatten());
        let bytes = texts().map(String::len).sum::<usize>();
        let mut command = redis::Cmd::with_capacity(3 + keys.len() + count, bytes + 100);
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

    async fn failed(&self, line: Line, what: &'static str, error: &redis::RedisError) -> Error {
        if error.code().is_none() {
            self.inner.connections.forget(line).await;
        }
        Error::of(what, error)
    }

    /// Runs a pipeline of reading commands. A read that failed changed nothing, so that one on a
    /// connection which the server has closed meanwhile is simply made again on a new one.
    pub(super) async fn read<T: redis::FromRedisValue>(
        &self,
        what: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, Error> {
        match self.read_once(what, pipeline).await {
            Err(Error::Unknown(_)) => {}
            answered => return answered,
        }
        match self.read_once(what, pipeline).await {
            Err(Error::Unknown(text)) => Err(Error::Unreachable(text)),
            answered => answered,
        }
    }

    async fn read_once<T: redis::FromRedisValue>(
        &self,
        what: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, Error> {
        let mut connection = self.inner.connections.get(Line::Words).await?;
        match pipeline.query_async(&mut connection).await {
            Ok(value) => Ok(value),
            Err(error) => Err(self.failed(Line::Words, what, &error).await),
        }
    }
}

fn is_not_loaded(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
}
