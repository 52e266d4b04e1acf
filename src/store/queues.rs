//! Queues over all partitions: what waits and runs in each, and operators' orders to halt one.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::reply::Reply;
use super::{Error, Store, scripts};

/// Starts are looked at this far back, ms.
const STARTS_WINDOW_MS: u64 = 15 * 60_000;
/// Claims whose starts are read in each partition.
const STARTS_MAX: u32 = 200;
/// Due jobs that are counted one by one in each partition: the sweep moves them on within moments.
const DUE_MAX: u32 = 500;
/// Lanes that are counted in one round trip.
const LANES_AT_ONCE: usize = 1_000;

/// What an operator does to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueAct {
    /// Workers are given nothing new. Jobs are taken, and what had begun goes on.
    Pause,
    /// No new jobs are taken. What is there is worked off.
    Drain,
    /// Both at an end.
    Resume,
}

impl QueueAct {
    /// The word in the store and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Drain => "drain",
            Self::Resume => "resume",
        }
    }
}

/// Who halted a queue, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Halt {
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// When, ms since 1970.
    pub at_ms: u64,
    /// Partitions in which it stands.
    pub partitions: u16,
    /// It does not stand in all of them: the command was interrupted, or another one was under way.
    pub partly: bool,
}

/// One queue over all partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueView {
    /// Its name.
    pub queue: String,
    /// Nothing new is handed out.
    pub paused: Option<Halt>,
    /// Nothing new is taken.
    pub draining: Option<Halt>,
    /// Ready for a worker.
    pub ready: u64,
    /// Waiting in their accounts' lanes.
    pub lane: u64,
    /// Due, and made ready by the next sweep.
    pub due: u64,
    /// In a worker's hands.
    pub running: u64,
    /// All that have not ended: those above, and those that are due later.
    pub open: u64,
    /// What is held for them, micro-credits.
    pub held_ucr: i64,
    /// How long the one that waits longest has been due, ms: of the first of each stream and lane.
    pub oldest_ms: Option<u64>,
    /// How long jobs waited from when they were due to their first start, ms, recent ones, ascending.
    pub start_waits_ms: Vec<u64>,
}

impl QueueView {
    /// Those that could start now.
    pub fn waiting(&self) -> u64 {
        self.ready + self.lane + self.due
    }

    /// Those that are due later.
    pub fn scheduled(&self) -> u64 {
        self.open.saturating_sub(self.waiting() + self.running)
    }

    /// The wait that so many percent of recent starts did not pass, ms.
    pub fn start_wait_ms(&self, percent: usize) -> Option<u64> {
        let rank = (self.start_waits_ms.len() * percent).div_ceil(100);
        self.start_waits_ms.get(rank.saturating_sub(1)).copied()
    }

    fn grew_old(&mut self, due_at_ms: Option<u64>, now_ms: u64) {
        let age = due_at_ms.map(|due| now_ms.saturating_sub(due));
        self.oldest_ms = self.oldest_ms.max(age);
    }
}

/// A halt as the store has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HaltText {
    by: String,
    why: String,
    t: String,
}

/// Queues by name while they are added up.
type Views = BTreeMap<String, QueueView>;

impl Store {
    /// Halts a queue or lets it go on, partition by partition. Interrupted in the middle it stands in
    /// some of them; repeating it does the rest. Returns how many it changed.
    pub async fn act_on_queue(
        &self,
        queue: &str,
        act: QueueAct,
        reason: &str,
        actor: &str,
    ) -> Result<u16, Error> {
        let mut changed = 0;
        for partition in 0..self.partitions() {
            let keys = self.keys(partition)?;
            let keys = ["meta", "halts", "control", "acts"].map(|id| keys.part(id));
            let args = [queue, act.as_str(), reason, actor].map(str::to_owned);
            let reply = self.run(&scripts::QUEUE_ACT, &keys, &args).await?;
            changed += match reply.word()?.as_str() {
                "changed" => 1,
                "already" => 0,
                _ => return reply.unknown(),
            };
        }
        Ok(changed)
    }

    /// What waits and runs, by queue: those that ever had a job, and those that are halted. The price
    /// does not grow with the number of waiting jobs, only with that of accounts whose lanes wait.
    pub async fn queue_views(&self) -> Result<Vec<QueueView>, Error> {
        let mut views = Views::new();
        for partition in 0..self.partitions() {
            let now_ms = self.look_at_queues(partition, &mut views).await?;
            self.add_lanes(partition, now_ms, &mut views).await?;
        }
        for view in views.values_mut() {
            view.start_waits_ms.sort_unstable();
            for halt in [&mut view.paused, &mut view.draining].into_iter().flatten() {
                halt.partly = halt.partitions < self.partitions();
            }
        }
        Ok(views.into_values().collect())
    }

    async fn look_at_queues(&self, partition: u16, views: &mut Views) -> Result<u64, Error> {
        let keys = self.keys(partition)?;
        let keys = ["meta", "queues", "halts", "starts", "due"].map(|id| keys.part(id));
        let args = [STARTS_MAX.to_string(), DUE_MAX.to_string()];
        let reply = self.run(&scripts::LOOK_QUEUES, &keys, &args).await?;
        let now_ms = reply.number(1)?;
        add_tally(&reply.text(2)?, views);
        let halts = reply.texts(3)?;
        for pair in halts.chunks_exact(2) {
            add_halt(&pair[0], &pair[1], views);
        }
        for row in reply.rows(4)? {
            let view = named(views, &row.text(0)?);
            view.ready += row.number::<u64>(1)?;
            view.running += row.number::<u64>(2)?;
            view.grew_old(row.text(3)?.parse().ok(), now_ms);
            view.due += row.number::<u64>(4)?;
        }
        for entry in reply.rows(5)? {
            add_starts(&entry, now_ms, views)?;
        }
        Ok(now_ms)
    }

    async fn add_lanes(&self, partition: u16, now_ms: u64, views: &mut Views) -> Result<(), Error> {
        let keys = self.keys(partition)?;
        let mut ask = redis::pipe();
        ask.cmd("ZRANGE").arg(keys.part("lanes")).arg(0).arg(-1);
        let (lanes,): (Vec<String>,) = self.read("lanes", &ask).await?;
        for lanes in lanes.chunks(LANES_AT_ONCE) {
            let (mut ask, mut heads) = (redis::pipe(), redis::pipe());
            for lane in lanes {
                let lane = keys.lane_of(lane);
                ask.cmd("ZCARD").arg(&lane);
                heads.cmd("ZRANGE").arg(&lane).arg(0).arg(0);
            }
            let lengths: Vec<u64> = self.read("ZCARD", &ask).await?;
            let heads: Vec<Vec<String>> = self.read("ZRANGE", &heads).await?;
            let mut ask = redis::pipe();
            for head in &heads {
                let head = head.first().map_or("", String::as_str);
                ask.cmd("HGET").arg(keys.job_of(head)).arg("due_at");
            }
            let due: Vec<Option<u64>> = self.read("due_at", &ask).await?;
            for (lane, (length, due)) in lanes.iter().zip(lengths.into_iter().zip(due)) {
                let queue = lane.rsplit(':').next().unwrap_or_default();
                let view = named(views, queue);
                view.lane += length;
                view.grew_old(due, now_ms);
            }
        }
        Ok(())
    }
}

fn named<'a>(views: &'a mut Views, queue: &str) -> &'a mut QueueView {
    views.entry(queue.to_owned()).or_insert_with(|| QueueView {
        queue: queue.to_owned(),
        ..QueueView::default()
    })
}

/// Reads ` <queue>=<jobs>:<ucr> ...`.
fn add_tally(text: &str, views: &mut Views) {
    for word in text.split_whitespace() {
        let Some((queue, counts)) = word.split_once('=') else {
            continue;
        };
        let (jobs, ucr) = counts.split_once(':').unwrap_or((counts, ""));
        let view = named(views, queue);
        view.open += jobs.parse().unwrap_or(0);
        view.held_ucr += ucr.parse::<i64>().unwrap_or(0);
    }
}

/// Reads `<queue>:<what>` and who did it. Of several the latest word stands.
fn add_halt(field: &str, json: &str, views: &mut Views) {
    let Some((queue, what)) = field.rsplit_once(':') else {
        return;
    };
    let text: HaltText = serde_json::from_str(json).unwrap_or_default();
    let view = named(views, queue);
    let halt = match what {
        "paused" => &mut view.paused,
        "draining" => &mut view.draining,
        _ => return,
    };
    let halt = halt.get_or_insert_default();
    halt.partitions += 1;
    let at_ms = text.t.parse().unwrap_or(0);
    if at_ms >= halt.at_ms {
        halt.at_ms = at_ms;
        halt.reason = text.why;
        halt.actor = text.by;
    }
}

/// Reads one claim's starts: `t`, then a list of waits for each queue.
fn add_starts(entry: &Reply, now_ms: u64, views: &mut Views) -> Result<(), Error> {
    let fields = entry.texts(1)?;
    let mut waits = HashMap::new();
    for pair in fields.chunks_exact(2) {
        waits.insert(pair[0].as_str(), pair[1].as_str());
    }
    let at_ms: u64 = waits.remove("t").and_then(|t| t.parse().ok()).unwrap_or(0);
    if at_ms.saturating_add(STARTS_WINDOW_MS) < now_ms {
        return Ok(());
    }
    for (queue, list) in waits {
        let waits = list.split(',').filter_map(|ms| ms.parse::<u64>().ok());
        named(views, queue).start_waits_ms.extend(waits);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_wait_that_happened() {
        let view = |waits: &[u64]| QueueView {
            start_waits_ms: waits.to_vec(),
            ..QueueView::default()
        };
        assert_eq!(view(&[]).start_wait_ms(50), None);
        assert_eq!(view(&[7]).start_wait_ms(95), Some(7));
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(view(&hundred).start_wait_ms(50), Some(50));
        assert_eq!(view(&hundred).start_wait_ms(95), Some(95));
    }

    #[test]
    fn the_latest_word_about_a_halt_stands() {
        let mut views = Views::new();
        for (why, t) in [("first", 1), ("last", 3), ("between", 2)] {
            let json = format!(r#"{{"by":"ops","why":"{why}","t":"{t}"}}"#);
            add_halt("video:paused", &json, &mut views);
        }
        let halt = views["video"].paused.clone().unwrap();
        assert_eq!((halt.reason.as_str(), halt.partitions), ("last", 3));
        assert_eq!(views["video"].draining, None);
    }
}
