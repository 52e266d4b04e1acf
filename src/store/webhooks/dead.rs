//! Messages that were given up: looked at, and put back by hand.

use super::Happened;
use crate::domain::ids::EndpointId;
use crate::store::{Error, Store, scripts};

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadMessage {
    /// Its place among the dead ones.
    pub entry: String,
    /// What it was about.
    pub happened: Happened,
    /// Tries that failed.
    pub tries: u32,
    /// What came of the last one.
    pub why: String,
    /// When it was given up, ms since 1970.
    pub died_ms: i64,
}

/// A page of an endpoint's dead letters, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadMessages {
    /// As many as were asked for.
    pub messages: Vec<DeadMessage>,
    /// All there are.
    pub all: u64,
}

/// What came of putting dead letters back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivered {
    /// These are due now.
    Redelivered {
        /// How many.
        messages: u32,
        /// Dead letters that are left.
        left: u32,
    },
    /// The outbox has no room, and nothing that waits there is dropped for them.
    Full,
    /// The endpoint is disabled: enable it first.
    Disabled,
    /// There is no such endpoint.
    Unknown,
    /// There is no such dead letter, or none at all.
    Nothing,
}

type Row = (String, Vec<(String, String)>);

impl Store {
    /// The newest dead letters of an endpoint, or those older than the entry `before`.
    ///
    /// # Errors
    /// As any reading. An entry that is none is as one that is older than all.
    pub async fn dead_messages(
        &self,
        endpoint: &EndpointId,
        limit: usize,
        before: Option<&str>,
    ) -> Result<DeadMessages, Error> {
        if before.is_some_and(|entry| !is_entry(entry)) {
            let (messages, all) = (Vec::new(), 0);
            return Ok(DeadMessages { messages, all });
        }
        let newest = before.map_or_else(|| "+".to_owned(), |entry| format!("({entry}"));
        let dead = self
            .keys(endpoint.partition())?
            .endpoint("outdead", endpoint);
        let mut ask = redis::pipe();
        ask.cmd("XREVRANGE")
            .arg(&dead)
            .arg(newest)
            .arg("-")
            .arg("COUNT")
            .arg(limit);
        ask.cmd("XLEN").arg(&dead);
        let (rows, all): (Vec<Row>, u64) = self.read("dead messages", &ask).await?;
        let messages = rows.into_iter().map(message).collect();
        Ok(DeadMessages { messages, all })
    }

    /// Puts dead letters back: one, or the oldest hundred. Those that are back are no dead letters any
    /// more, so that repeating a call sends none twice.
    pub async fn redeliver(
        &self,
        endpoint: &EndpointId,
        entry: Option<&str>,
        outbox_max: u32,
        reason: &str,
        actor: &str,
    ) -> Result<Redelivered, Error> {
        if endpoint.partition() >= self.partitions() {
            return Ok(Redelivered::Unknown);
        }
        if entry.is_some_and(|entry| !is_entry(entry)) {
            return Ok(Redelivered::Nothing);
        }
        let keys = self.keys(endpoint.partition())?;
        let keys = [
            keys.meta(),
            keys.endpoint("hook", endpoint),
            keys.endpoint("outbox", endpoint),
            keys.endpoint("outdue", endpoint),
            keys.endpoint("outdead", endpoint),
            keys.part("hooks"),
            keys.part("acts"),
        ];
        let args = [
            endpoint.to_string(),
            entry.unwrap_or_default().to_owned(),
            "100".to_owned(),
            outbox_max.to_string(),
            reason.to_owned(),
            actor.to_owned(),
        ];
        let reply = self.run(&scripts::HOOK_REDELIVER, &keys, &args).await?;
        match reply.word()?.as_str() {
            "redelivered" => Ok(Redelivered::Redelivered {
                messages: reply.number(1)?,
                left: reply.number(2)?,
            }),
            "full" => Ok(Redelivered::Full),
            "disabled" => Ok(Redelivered::Disabled),
            "unknown" => Ok(Redelivered::Unknown),
            "nothing" => Ok(Redelivered::Nothing),
            _ => reply.unknown(),
        }
    }
}

/// Whether a text is the id of a stream's entry.
fn is_entry(text: &str) -> bool {
    let digits = |part: &str| part.parse::<u64>().is_ok();
    text.split_once('-')
        .is_some_and(|(ms, n)| digits(ms) && digits(n))
}

fn message((entry, fields): Row) -> DeadMessage {
    let happened = Happened::new(fields.into_iter().collect(), String::new());
    DeadMessage {
        entry,
        tries: happened.number("tries").unwrap_or(0),
        why: happened.text("why").unwrap_or_default().to_owned(),
        died_ms: happened.number("died_at").unwrap_or(0),
        happened,
    }
}
