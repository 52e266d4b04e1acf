//! Where each open job stands: in exactly the one place where somebody will find it.

use std::collections::{BTreeMap, BTreeSet};

use meterline::domain::ids::JobId;
use meterline::store::{JobView, Store};

use super::raw::{Raw, key};
use super::view_of;

/// Where a job is looked for.
struct Places<'a> {
    raw: &'a Raw,
    active: BTreeMap<String, BTreeSet<String>>,
    entries: i64,
    wrong: Vec<String>,
}

/// Open video jobs that stand nowhere, or twice, and places that stand for nothing.
pub(crate) async fn misplaced(store: &Store, raw: &Raw) -> Vec<String> {
    let mut places = Places {
        raw,
        active: BTreeMap::new(),
        entries: 0,
        wrong: Vec::new(),
    };
    for id in store.open_jobs(0).await.expect("open jobs") {
        places.look(&id, &view_of(store, &id).await).await;
    }
    for class in ["resume", "high", "normal", "low"] {
        let stream = key("ready", &format!("video:{class}"));
        places.entries -= raw.run::<i64>(&["XLEN", &stream]).await;
    }
    if places.entries != 0 {
        let words = format!("{} jobs above what stands in the streams", places.entries);
        places.wrong.push(words);
    }
    for id in store.accounts_in(0).await.expect("accounts") {
        let members = key("active", &format!("{id}:video"));
        let members: BTreeSet<String> = raw.run(&["SMEMBERS", &members]).await;
        let expected = places.active.remove(id.as_str()).unwrap_or_default();
        if members != expected {
            let words = format!("active jobs of {id} are {members:?}, not {expected:?}");
            places.wrong.push(words);
        }
    }
    places.wrong
}

impl Places<'_> {
    async fn look(&mut self, id: &JobId, view: &JobView) {
        let payer = view.text("account").to_owned();
        let of_queue = format!("{payer}:video");
        let lane = self.is_scored(&key("lane", &of_queue), id).await;
        let due = self.is_scored(&key("part", "due"), id).await;
        let entry = self.entry_of(view).await;
        let (state, has_entry) = (view.text("state"), !view.text("entry").is_empty());
        self.entries += i64::from(has_entry);
        match (state, lane, due, entry.as_deref() == Some(id.as_str())) {
            ("running", false, false, true)
            | ("queued", true, false, false)
            | ("queued", false, false, true)
            | ("scheduled", false, true, false) => {}
            elsewhere => self.wrong.push(format!("{id} stands in {elsewhere:?}")),
        }
        let active = key("active", &of_queue);
        let is_active: i64 = self.raw.run(&["SISMEMBER", &active, id.as_str()]).await;
        // A scheduled job may be one that was deferred, which keeps its place.
        if state != "scheduled" && (is_active == 1) != has_entry {
            let words = format!("{id} has an entry: {has_entry}, is active: {is_active}");
            self.wrong.push(words);
        }
        if is_active == 1 {
            self.active.entry(payer).or_default().insert(id.to_string());
        }
    }

    async fn is_scored(&self, index: &str, id: &JobId) -> bool {
        let score: Option<f64> = self.raw.run(&["ZSCORE", index, id.as_str()]).await;
        score.is_some()
    }

    /// The job that a job's own entry stands for.
    async fn entry_of(&self, view: &JobView) -> Option<String> {
        if view.text("entry").is_empty() {
            return None;
        }
        let (stream, id) = (key("ready", view.text("stream")), view.text("entry"));
        let rows: Vec<(String, Vec<(String, String)>)> =
            self.raw.run(&["XRANGE", &stream, id, id]).await;
        let first = rows.into_iter().next();
        first.map(|(_, fields)| fields[0].1.clone())
    }
}
