//! The demo: the main job on an embedded store, with everything that can go wrong once.

mod processes;
mod report;
mod scenario;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Map;

use crate::config::{self, Settings};
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, JobId};
use crate::producer::{self, Asking, Producer, Terms};
use crate::store::{Event, GrantKind, GrantRequest, Store, SubmitRefusal};
use processes::Processes;
use scenario::{Expected, Meddling, PAYERS, Play, plays};

/// Every job must have ended by then.
const DEMO_MAX: Duration = Duration::from_secs(60);

/// A job of the demo that was accepted, or the refusal it met.
struct Cast {
    play: Play,
    job: Option<JobId>,
    refusal: Option<SubmitRefusal>,
}

/// Runs the demo. Returns whether everything ended as expected.
pub(super) async fn run(keep: bool) -> anyhow::Result<bool> {
    let began = Instant::now();
    report::line(
        "starting a private Redis (append-only file, noeviction), a simulated provider, two workers",
    );
    let mut processes = tokio::task::spawn_blocking(Processes::start).await??;
    let loaded = Settings::load(Some(&processes.config), config::environment())
        .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let store = Store::open(
        &processes.redis.url(),
        super::house::store_options(&loaded.settings),
    )
    .await?;
    let producer = Producer::new(store.clone(), loaded.catalogue, loaded.settings.retry);

    let mut events = follow_everything(&store).await?;
    fund(&store).await?;
    let cast = submit(&producer).await?;
    watch(&store, &mut processes, &cast, &mut events, began).await?;

    let as_expected = report::print(&store, &cast, began.elapsed()).await?;
    if keep {
        report::line(&processes.keep());
    } else {
        tokio::task::spawn_blocking(move || processes.stop()).await?;
    }
    Ok(as_expected)
}

async fn fund(store: &Store) -> anyhow::Result<()> {
    for payer in PAYERS {
        let account: AccountId = payer.name.parse()?;
        store.open_account(&account, 0).await?;
        let request = GrantRequest {
            operation: format!("demo-{}", payer.name).parse()?,
            account,
            amount: Ucr::from_credits(payer.credits),
            kind: GrantKind::Purchase,
            expires_at_ms: None,
            reason: "demo".to_owned(),
            actor: "demo".to_owned(),
        };
        store.grant(&request).await?;
    }
    Ok(())
}

async fn submit(producer: &Producer) -> anyhow::Result<Vec<Cast>> {
    let mut cast = Vec::new();
    for play in plays() {
        let asking = Asking {
            account: play.account.parse()?,
            tool: play.tool.to_owned(),
            params: Map::clone(&play.params),
            route: play.route.map(str::to_owned),
        };
        let (job, refusal) = match producer.submit(&asking, &Terms::default()).await {
            Ok(submitted) => (Some(submitted.job), None),
            Err(producer::Error::Refused(refusal)) => (None, Some(refusal)),
            Err(error) => return Err(error.into()),
        };
        cast.push(Cast { play, job, refusal });
    }
    Ok(cast)
}

/// The events of every partition in one channel, from before the first job on.
async fn follow_everything(store: &Store) -> anyhow::Result<tokio::sync::mpsc::Receiver<Event>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1_000);
    for partition in 0..store.partitions() {
        let mut reader = store.follow_partition(partition).await?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Ok(events) = reader.next(1_000).await {
                for event in events {
                    if sender.send(event).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    Ok(receiver)
}

/// Shows what happens until every job has ended; kills and cancels at the right moment.
async fn watch(
    store: &Store,
    processes: &mut Processes,
    cast: &[Cast],
    events: &mut tokio::sync::mpsc::Receiver<Event>,
    began: Instant,
) -> anyhow::Result<()> {
    let mut open: BTreeMap<String, &Play> = cast
        .iter()
        .filter_map(|member| Some((member.job.as_ref()?.to_string(), &member.play)))
        .collect();
    let mut to_kill: Option<JobId> = None;
    while !open.is_empty() {
        let left = DEMO_MAX.saturating_sub(began.elapsed());
        let Ok(Some(event)) = tokio::time::timeout(left, events.recv()).await else {
            anyhow::bail!(
                "{} jobs did not end in {} s",
                open.len(),
                DEMO_MAX.as_secs()
            );
        };
        let Some(play) = open.get(&event.job).copied() else {
            continue;
        };
        report::event(&event, play, began.elapsed());
        match (event.event.as_str(), play.meddling) {
            ("handle", Meddling::Cancel) => {
                report::line("         ── cancelling it");
                store.cancel(&event.job.parse()?, "demo").await?;
            }
            ("handle", Meddling::KillWorker) => to_kill = Some(event.job.parse()?),
            ("succeeded" | "failed" | "timed_out" | "cancelled", _) => {
                open.remove(&event.job);
            }
            _ => {}
        }
        if !open.values().any(|play| play.is_disturbed_by_a_death())
            && let Some(job) = to_kill.take()
        {
            kill_worker_of(store, processes, &job).await?;
        }
    }
    Ok(())
}

async fn kill_worker_of(
    store: &Store,
    processes: &mut Processes,
    job: &JobId,
) -> anyhow::Result<()> {
    let view = store.job(job).await?;
    let id = view
        .map(|view| view.text("worker").to_owned())
        .unwrap_or_default();
    if let Some(name) = processes.kill_worker(&id)? {
        report::line(&format!("         ── kill -9 {name}"));
    }
    Ok(())
}

impl Cast {
    /// Whether the job ended as it had to.
    fn as_expected(&self, view: Option<&crate::store::JobView>) -> bool {
        let credits = |field: &str| view.map_or(0, |view| view.number(field)) / 1_000_000;
        let state = view.and_then(crate::store::JobView::state);
        match self.play.expected {
            Expected::Insufficient => {
                matches!(self.refusal, Some(SubmitRefusal::Insufficient { .. }))
            }
            Expected::Charged { captured, absorbed } => {
                state == Some(crate::domain::job::State::Succeeded)
                    && credits("captured_ucr") == i64::from(captured)
                    && credits("absorbed_ucr") == i64::from(absorbed)
            }
            Expected::GivenBack(end) => state == Some(end) && credits("captured_ucr") == 0,
        }
    }
}
