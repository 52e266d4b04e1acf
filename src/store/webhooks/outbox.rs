//! What waits to be told: handed out under leases, and what came of each try.

use std::collections::HashMap;

use crate::domain::ids::EndpointId;
use crate::store::reply::Reply;
use crate::store::{Error, Store, scripts};

/// How messages are handed out.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// How long nobody else gets them, ms: longer than one try takes.
    pub lease_ms: u64,
    /// Under way at one endpoint at a time, over all processes.
    pub at_a_time: u32,
    /// Messages of one call at most.
    pub room: usize,
    /// Messages of one outbox at most.
    pub outbox_max: u32,
}

/// A message in a sender's hands.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// For whom.
    pub endpoint: EndpointId,
    /// Its place in the outbox.
    pub entry: String,
    /// When its lease ends, as the store knows it: the fence for what is reported.
    pub lease: String,
    /// Tries that failed before this one.
    pub tries: u32,
    /// Where it goes.
    pub url: String,
    /// What it is signed with, the newest first.
    pub secrets: Vec<String>,
    /// What it is about.
    pub happened: Happened,
}

/// What a message is about, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// The id that the receiver tells repetitions by.
    pub message: String,
    /// The event: `succeeded`, `running`, ..., or `test`.
    pub event: String,
    /// When it was, ms since 1970.
    pub at_ms: i64,
    /// The job's stored artifact record, JSON, or empty.
    pub artifact: String,
    fields: HashMap<String, String>,
}

impl Happened {
    pub(super) fn new(mut fields: HashMap<String, String>, artifact: String) -> Self {
        let of = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let message = match of("m") {
            own if own.is_empty() => format!("msg_{}_{}", of("j"), of("n")),
            own => own,
        };
        let (event, at_ms) = (of("e"), of("t").parse().unwrap_or(0));
        fields.retain(|_, value| !value.is_empty());
        Self {
            message,
            event,
            at_ms,
            artifact,
            fields,
        }
    }

    /// A value by its name: `j` job, `a` account, `n` sequence, `s` state, `d` detail, `tool`, `queue`,
    /// `hold`, `captured`, `released`, `class`, `message`, `flags`, `measured_ms`, `billable_ms`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The same as a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }
}

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// The receiver has it.
    Taken,
    /// Later again.
    Again {
        /// How much later, ms.
        delay_ms: u64,
    },
    /// It was the last try: among the dead letters.
    Dead,
    /// The receiver wants nothing any more: among the dead letters, and the endpoint is disabled.
    Gone,
}

/// A try and its circumstances.
#[derive(Debug, Clone)]
pub struct Reported {
    /// What became of it.
    pub tried: Tried,
    /// In short words.
    pub words: String,
    /// How long the endpoint is left alone, ms; 0 = not at all.
    pub throttle_ms: u64,
    /// How long every try may fail before the endpoint is disabled, ms.
    pub disable_after_ms: u64,
    /// Dead letters of one endpoint at most.
    pub dead_letters_max: u32,
}

/// The answer to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOutcome {
    /// It stands in the store.
    Noted,
    /// So does that, and the endpoint is disabled now.
    Disabled,
    /// The lease was over, or the message or its endpoint is gone: nothing changed.
    Stale,
}

impl Store {
    /// Takes messages of one partition that are due.
    pub async fn take_messages(
        &self,
        partition: u16,
        sending: &Sending,
    ) -> Result<Vec<Delivery>, Error> {
        let keys = self.keys(partition)?;
        let keys = [keys.meta(), keys.part("hooks")];
        let args = [
            sending.lease_ms.to_string(),
            sending.at_a_time.to_string(),
            sending.room.min(100).to_string(),
            sending.outbox_max.to_string(),
        ];
        let reply = self.run(&scripts::HOOK_CLAIM, &keys, &args).await?;
        match reply.word()?.as_str() {
            "claimed" => reply.rows(1)?.iter().map(delivery).collect(),
            _ => reply.unknown(),
        }
    }

    /// Says what became of a message.
    pub async fn report_message(
        &self,
        delivery: &Delivery,
        reported: &Reported,
    ) -> Result<ReportOutcome, Error> {
        let endpoint = &delivery.endpoint;
        let keys = self.keys(endpoint.partition())?;
        let own = ["hook", "outbox", "outdue", "outfly", "outtry", "outdead"];
        let mut all = vec![keys.meta()];
        all.extend(own.map(|noun| keys.endpoint(noun, endpoint)));
        all.push(keys.part("hooks"));
        let (word, delay_ms) = match reported.tried {
            Tried::Taken => ("taken", 0),
            Tried::Again { delay_ms } => ("again", delay_ms),
            Tried::Dead => ("dead", 0),
            Tried::Gone => ("gone", 0),
        };
        let args = [
            endpoint.to_string(),
            delivery.entry.clone(),
            delivery.lease.clone(),
            word.to_owned(),
            reported.words.clone(),
            delay_ms.to_string(),
            reported.throttle_ms.to_string(),
            reported.disable_after_ms.to_string(),
            reported.dead_letters_max.to_string(),
        ];
        let reply = self.run(&scripts::HOOK_REPORT, &all, &args).await?;
        match reply.word()?.as_str() {
            "noted" => Ok(ReportOutcome::Noted),
            "disabled" => Ok(ReportOutcome::Disabled),
            "stale" => Ok(ReportOutcome::Stale),
            _ => reply.unknown(),
        }
    }
}

fn delivery(row: &Reply) -> Result<Delivery, Error> {
    let id = row.text(0)?;
    let Ok(endpoint) = id.parse() else {
        return row.unknown();
    };
    let mut fields = pairs(row.texts(7)?);
    let names = ["message", "flags", "measured_ms", "billable_ms"];
    let more = names.map(str::to_owned).into_iter().zip(row.texts(8)?);
    fields.extend(more);
    let secrets = [row.text(5)?, row.text(6)?];
    Ok(Delivery {
        endpoint,
        entry: row.text(1)?,
        lease: row.text(2)?,
        tries: row.number(3)?,
        url: row.text(4)?,
        secrets: secrets.into_iter().filter(|s| !s.is_empty()).collect(),
        happened: Happened::new(fields, row.text(9)?),
    })
}

/// A stream entry's names and values.
pub(super) fn pairs(flat: Vec<String>) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    let mut rest = flat.into_iter();
    while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
        fields.insert(name, value);
    }
    fields
}
