//! Ten thousand who follow their accounts on one server process.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::door::{Door, Submitter};
use super::finding::Finding;
use super::load::Load;
use super::measure::{Spread, round, rss_kib};
use super::{ACCOUNTS, Ground, progress};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::client::{Client, Happened};
use crate::domain::ids::AccountId;

/// Connections that are made at a time: fewer than a server works on.
const CONNECTING: usize = 200;
/// What has not come by then is missing.
const MISSING_AFTER: Duration = Duration::from_secs(60);

/// Can one server process have ten thousand followers?
///
/// All of this process, on one server of its own: each follows an account, several follow the same. Jobs are
/// submitted over HTTP with and without them; every follower is to hear of every job of its account, once.
/// Then the server is killed, each account submits a job meanwhile, and all come again at once with the id of
/// the last event they have seen. Ends with 1 where anybody misses an event or hears of it twice.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline bench streams --clients 10000")]
pub(super) struct Args {
    /// Followers
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Accounts that they follow
    #[arg(long, default_value_t = ACCOUNTS, value_parser = clap::value_parser!(u32).range(1..))]
    accounts: u32,
    /// Submits a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long they are submitted, with followers and without, s
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    room_for(u64::from(args.clients))?;
    let ground = Ground::of(call, false).await?;
    let load = Load::new(ground.store.clone(), args.accounts, 0)?;
    load.fund(u32::MAX).await?;
    let folder = tempfile::tempdir()?;
    let mut door = Door::open(call, &ground, folder.path(), "127.0.0.1:0").await?;
    let client = door.client(&ground).await?;
    let over_http = Submitter::Http(client.clone());
    let bar = progress(u64::from(args.clients));

    bar.set_message("without followers");
    over_http.paced(load.accounts(), args.rate, 1).await?;
    let alone = over_http
        .paced(load.accounts(), args.rate, args.seconds)
        .await?;

    bar.set_message("connecting");
    let before_kib = rss_kib(&door.pid());
    let began = Instant::now();
    let mut crowd = Crowd::gather(&client, load.accounts(), args.clients, || bar.inc(1)).await?;
    let connected_s = began.elapsed().as_secs_f64();
    let kib_each = rss_kib(&door.pid()).saturating_sub(before_kib) as f64 / f64::from(args.clients);

    bar.set_message("with followers");
    let submitting = over_http.paced(load.accounts(), args.rate, args.seconds);
    let (crowded, heard) = {
        let submits = args.rate * args.seconds;
        let expected = crowd.expected(load.accounts(), submits);
        tokio::join!(submitting, crowd.hear(expected))
    };
    let crowded = crowded?;

    bar.set_message("killed and back");
    door.kill()?;
    let straight = Submitter::Straight(ground.house.producer(ground.store.clone()));
    stream::iter(load.accounts())
        .map(|account| straight.submit(account))
        .buffer_unordered(CONNECTING)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await?;
    let address = door.address.clone();
    let door = Door::open(call, &ground, folder.path(), &address).await?;
    let expected = crowd.expected(load.accounts(), args.accounts);
    let began = Instant::now();
    let again = crowd.hear(expected).await;
    let storm_s = began.elapsed().as_secs_f64();
    let rss_mib = rss_kib(&door.pid()) / 1024;
    bar.finish_and_clear();
    let twice = crowd.end().await;

    let [alone, crowded] = [alone, crowded].map(|us| Spread::of(us.into_iter().map(f64::from)));
    let spread = |s: Spread| format!("{:.2} / {:.2} / {:.2} ms", s.p50_ms, s.p90_ms, s.p99_ms);
    let missing = heard.missing + again.missing;
    let delivery = Spread::of(heard.after_us.iter().copied());
    let lines = vec![
        (
            "followers, accounts",
            format!("{}, {}", args.clients, args.accounts),
        ),
        ("connected within", format!("{connected_s:.1} s")),
        ("server's memory a follower", format!("{kib_each:.1} KiB")),
        ("submit alone, p50 / p90 / p99", spread(alone)),
        ("submit with followers", spread(crowded)),
        ("from an event to its follower", spread(delivery)),
        ("heard", format!("{} events", heard.after_us.len())),
        (
            "heard after a kill -9",
            format!(
                "{} events, half of them {:.1} s and the last {storm_s:.1} s after the restart",
                again.after_us.len(),
                again.half_s
            ),
        ),
        ("missing", missing.to_string()),
        ("heard twice", twice.to_string()),
        ("server's memory at the end", format!("{rss_mib} MiB")),
    ];
    let json = json!({"clients": args.clients, "accounts": args.accounts, "connected_s": round(connected_s),
        "kib_each": round(kib_each), "submit_alone": alone, "submit_with_followers": crowded, "delivery": delivery,
        "heard": heard.after_us.len(), "heard_after_kill": again.after_us.len(), "storm_half_s": round(again.half_s), "storm_s": round(storm_s),
        "missing": missing, "twice": twice, "server_rss_mib": rss_mib});
    Finding {
        json,
        lines,
        reached: missing == 0 && twice == 0,
    }
    .show(call)
}

/// Each follower is an open file here and one in the server, which inherits what we may have.
fn room_for(clients: u64) -> Result<(), Failure> {
    let may = crate::cli::files::raise_limit();
    if may.is_none_or(|may| may >= clients + 200) {
        return Ok(());
    }
    let message = format!(
        "{clients} followers need as many open files, and this process may have {}: raise `ulimit -n`",
        may.unwrap_or_default()
    );
    Err(Failure::new(Kind::Usage, message))
}

/// Those who follow, each a task of its own.
struct Crowd {
    tasks: JoinSet<()>,
    heard: mpsc::UnboundedReceiver<f64>,
    twice: Arc<AtomicU64>,
    /// Followers by account.
    of: HashMap<AccountId, u64>,
}

/// What was heard in time.
struct Heard {
    /// Of each, how long after it happened, us.
    after_us: Vec<f64>,
    /// When half of them had come, s since the waiting began.
    half_s: f64,
    /// What was not.
    missing: u64,
}

impl Crowd {
    async fn gather(
        client: &Client,
        accounts: &[AccountId],
        clients: u32,
        joined: impl Fn(),
    ) -> Result<Self, Failure> {
        let (told, heard) = mpsc::unbounded_channel();
        let mut crowd = Self {
            tasks: JoinSet::new(),
            heard,
            twice: Arc::default(),
            of: HashMap::new(),
        };
        let mut connecting = stream::iter(accounts.iter().cycle().take(clients as usize))
            .map(|account| async move {
                let mut events = client.follow_account(account.as_str(), None);
                events.connect().await?;
                Ok::<_, Failure>((account, events))
            })
            .buffer_unordered(CONNECTING);
        while let Some((account, mut events)) = connecting.try_next().await? {
            joined();
            *crowd.of.entry(account.clone()).or_default() += 1;
            let (told, twice) = (told.clone(), Arc::clone(&crowd.twice));
            crowd.tasks.spawn(async move {
                let mut seen = HashSet::new();
                while let Ok(Some(happened)) = events.next().await {
                    // A gap is an event that is missing: it will be found so.
                    let Happened::Event { id, event } = happened else {
                        continue;
                    };
                    if !seen.insert(id) {
                        twice.fetch_add(1, Ordering::Relaxed);
                    }
                    let at = event.at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
                    let after = at.map(|at| jiff::Timestamp::now().duration_since(at));
                    let after_us = after.map_or(0.0, |after| after.as_secs_f64() * 1e6);
                    if told.send(after_us).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(crowd)
    }

    /// How many events are to come, where so many jobs are submitted, each account's turn after the other.
    fn expected(&self, accounts: &[AccountId], submits: u32) -> u64 {
        let submitted = accounts.iter().cycle().take(submits as usize);
        submitted
            .map(|account| self.of.get(account).copied().unwrap_or_default())
            .sum()
    }

    /// Waits for so many events.
    async fn hear(&mut self, expected: u64) -> Heard {
        let (began, mut after_us, mut half_s) = (Instant::now(), Vec::new(), 0.0);
        while (after_us.len() as u64) < expected {
            let next = tokio::time::timeout(MISSING_AFTER, self.heard.recv()).await;
            let Ok(Some(after)) = next else { break };
            after_us.push(after);
            if after_us.len() as u64 * 2 <= expected {
                half_s = began.elapsed().as_secs_f64();
            }
        }
        let missing = expected - after_us.len() as u64;
        Heard {
            after_us,
            half_s,
            missing,
        }
    }

    /// Sends them home. Returns how many events somebody heard of twice, those that nobody waited for
    /// included.
    async fn end(mut self) -> u64 {
        self.tasks.shutdown().await;
        let mut unexpected = 0;
        while self.heard.try_recv().is_ok() {
            unexpected += 1;
        }
        self.twice.load(Ordering::Relaxed).max(unexpected)
    }
}
