//! A server process of its own on the store that is measured, and the submits that are asked of both: of the
//! server over HTTP, and straight of the store.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};

use super::Ground;
use super::load::us_since;
use crate::cli::Call;
use crate::cli::failure::{Failure, Kind};
use crate::client::{Client, Options};
use crate::dev::child::{Child, Traces};
use crate::domain::ids::AccountId;
use crate::producer::{Asking, Producer, Terms};
use crate::store::{ApiSecret, KeyKind, KeyScope, NewKey};
use crate::wire::JobRequest;

/// How long a server may take to answer its first request.
const START_MAX: Duration = Duration::from_secs(20);
/// Between two looks at what nothing announces.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a job of the load asks for.
const TOOL: &str = "text-to-image";
/// Bytes of its prompt, as in the jobs of the other trials.
const PROMPT_BYTES: usize = 600;
/// Submits under way at a time.
const PAR: usize = 50;

/// A server process, without limits that a bench would run into.
pub(super) struct Door {
    child: Child,
    /// Where it listens, `127.0.0.1:PORT`.
    pub(super) address: String,
}

impl Door {
    /// Starts one; `listen` is `127.0.0.1:0` or where one listened before.
    pub(super) async fn open(
        call: &Call,
        ground: &Ground,
        folder: &Path,
        listen: &str,
    ) -> Result<Self, Failure> {
        let config = call.global.config.as_ref();
        let config = config.map(|dir| dir.display().to_string());
        let mut arguments = vec!["--redis", ground.url.as_str()];
        if let Some(config) = &config {
            arguments.extend(["--config", config]);
        }
        arguments.extend(["serve", "--role", "api", "--listen", listen]);
        let many = || OsString::from("100000");
        let environment = [
            ("METERLINE__API__CONNECTIONS_MAX", many()),
            ("METERLINE__API__STREAMS_MAX", many()),
            ("METERLINE__API__KEY_REQUESTS_PER_MINUTE", "0".into()),
        ];
        let (log, pid_file) = (folder.join("server.log"), folder.join("server.pid"));
        let _none_of_before = std::fs::remove_file(&log);
        let traces = Traces {
            log: &log,
            pid_file: &pid_file,
            clear: None,
        };
        let program = std::env::current_exe()?;
        let child = Child::spawn(&program, &arguments, &environment, traces)?;
        let began = Instant::now();
        loop {
            let printed = child.printed();
            let address = printed
                .lines()
                .find_map(|line| line.strip_prefix("listening http://"));
            if let Some(address) = address {
                let address = address.to_owned();
                return Ok(Self { child, address });
            }
            if !child.is_alive() || began.elapsed() > START_MAX {
                let message = format!("the server did not start: {}", printed.trim());
                return Err(Failure::new(Kind::Io, message));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A client of this server with a key for everything.
    pub(super) async fn client(&self, ground: &Ground) -> Result<Client, Failure> {
        let secret = ApiSecret::new(KeyKind::Key);
        let new = NewKey {
            kind: KeyKind::Key,
            name: "bench".to_owned(),
            scopes: vec![KeyScope::Produce, KeyScope::Operate, KeyScope::Admin],
            account: None,
            ttl_ms: 0,
            reason: "bench".to_owned(),
            actor: "bench".to_owned(),
        };
        ground.store.create_key(&secret, &new).await?;
        let url = format!("http://{}", self.address);
        Ok(Client::new(&Options::new(&url, secret.reveal().into()))?)
    }

    /// The server's process id, as text.
    pub(super) fn pid(&self) -> String {
        self.child.pid().to_string()
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.child.kill()?)
    }
}

/// Who submits.
#[derive(Clone)]
pub(super) enum Submitter {
    /// Of the store.
    Straight(Producer),
    /// Of a server.
    Http(Client),
}

impl Submitter {
    /// Submits one job of `account`. Returns its id, and how long the call took, us.
    pub(super) async fn submit(&self, account: &AccountId) -> Result<(String, u32), Failure> {
        let params = Map::from_iter([("prompt".to_owned(), Value::from("p".repeat(PROMPT_BYTES)))]);
        let key = uuid::Uuid::now_v7().simple().to_string();
        let began = Instant::now();
        let job = match self {
            Self::Straight(producer) => {
                let asking = Asking {
                    account: account.clone(),
                    tool: TOOL.to_owned(),
                    params,
                    route: None,
                };
                let terms = Terms {
                    idempotency_key: Some(key.parse()?),
                    ..Terms::default()
                };
                producer.submit(&asking, &terms).await?.job.to_string()
            }
            Self::Http(client) => {
                let asked = JobRequest {
                    account: Some(account.clone()),
                    tool: Some(TOOL.to_owned()),
                    params,
                    ..JobRequest::default()
                };
                client.submit(&asked, Some(&key)).await?.body.job
            }
        };
        Ok((job, us_since(began)))
    }

    /// Submits at an even pace, each account's turn after the other. Returns how long each call took, us.
    pub(super) async fn paced(
        &self,
        accounts: &[AccountId],
        rate: u32,
        seconds: u32,
    ) -> Result<Vec<u32>, Failure> {
        let every = Duration::from_secs(1) / rate.max(1);
        let began = tokio::time::Instant::now();
        let accounts = accounts.iter().cycle();
        stream::iter((0..rate * seconds).zip(accounts))
            .then(|(n, account)| async move {
                tokio::time::sleep_until(began + every * n).await;
                account
            })
            .map(|account| Ok(self.submit(account)))
            .try_buffer_unordered(PAR)
            .map_ok(|(_, took_us)| took_us)
            .try_collect()
            .await
    }
}
