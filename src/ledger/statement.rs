//! An account's spending over a stretch of time, added up from the journal by day, tool or kind of
//! grant.
//!
//! Whatever it is sorted by, the lines add up to the same total, and the total's net is exactly by how
//! much available + held - debt differ between the two ends. A line is as much memory as it needs,
//! however many entries there are.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use super::history::{History, sequence};
use super::moved::Moved;
use super::postgres::Error;
use crate::domain::ids::AccountId;
use crate::store::{JournalBody, Store};

/// Entries read at a time.
const PAGE: usize = 1_000;

/// What the lines of a statement stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Days of UTC.
    Day,
    /// Tools; what belongs to none stands under `-`.
    Tool,
    /// Kinds of grant; what no grant had part in, because it was owed, stands under `debt`.
    Grant,
}

/// One line of a statement. Amounts are micro-credits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Jobs that were charged.
    pub jobs: u64,
    /// Granted.
    pub granted_ucr: i64,
    /// Charged.
    pub captured_ucr: i64,
    /// Charged and given back.
    pub refunded_ucr: i64,
    /// Corrected, up or down.
    pub adjusted_ucr: i64,
    /// Expired.
    pub expired_ucr: i64,
    /// By how much available + held - debt changed.
    pub net_ucr: i64,
}

/// What happened to an account's credits from one time (included) to another (not included).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Lines with anything on them, by day, tool or kind.
    pub lines: BTreeMap<String, Line>,
    /// Their sum.
    pub total: Line,
    /// The journal is kept only from then on, ms since 1970, and what was before is missing here.
    pub kept_from_ms: Option<u64>,
    /// Postgres knows more and did not answer: why.
    pub history_away: Option<String>,
}

/// Adds up an account's entries of `from_ms..to_ms`. Reads only that stretch of the partition's journal, and
/// what the store no longer has of it from Postgres, where it is on. By sequence: whatever is trimmed
/// meanwhile, no entry counts twice, and none is left out unsaid.
pub async fn statement(
    history: &History,
    account: &AccountId,
    from_ms: u64,
    to_ms: u64,
    by: By,
) -> Result<Statement, Error> {
    let store = history.store();
    let partition = account.partition(store.partitions());
    let mut statement = Statement {
        lines: BTreeMap::new(),
        total: Line::default(),
        kept_from_ms: None,
        history_away: None,
    };
    // The sequence that comes next; everything before it is counted or too old.
    let mut next_seq = 0;
    let mut from = Some(store.journal_from(partition, from_ms).await?);
    while let Some(at) = from {
        let page = store.journal(partition, &at, PAGE).await?;
        let first = page.entries.first().and_then(|entry| sequence(&entry.id));
        if let Some(first) = first.filter(|first| *first > next_seq) {
            let gap = (next_seq..first, from_ms..to_ms);
            statement.fill(history, account, gap, by).await?;
        }
        for body in page.entries.iter().filter_map(|e| e.body_of(account)) {
            if (from_ms..to_ms).contains(&body.at_ms) {
                statement.add(&body, by);
            }
        }
        let last = page.entries.last();
        next_seq = last
            .and_then(|l| sequence(&l.id))
            .map_or(next_seq, |seq| seq + 1);
        let last = last.and_then(|entry| entry.body());
        from = page.next.filter(|_| last.is_none_or(|l| l.at_ms < to_ms));
    }
    Ok(statement)
}

/// Since when a partition's journal is kept in the store, where that is later than `from_ms`.
async fn kept_from(store: &Store, partition: u16, from_ms: u64) -> Result<Option<u64>, Error> {
    let first = store.journal(partition, "-", 1).await?.entries;
    let first = first.first().and_then(|entry| entry.body());
    Ok(first.map(|body| body.at_ms).filter(|at| *at > from_ms))
}

impl Statement {
    /// Adds what the store no longer has of a stretch: sequences and times.
    async fn fill(
        &mut self,
        history: &History,
        account: &AccountId,
        (seqs, times_ms): (Range<u64>, Range<u64>),
        by: By,
    ) -> Result<(), Error> {
        let store = history.store();
        let (partition, from_ms) = (account.partition(store.partitions()), times_ms.start);
        // What was not trimmed lies before the stretch.
        let trimmed = store.trimmed_head(partition).await?.seq;
        if trimmed == 0 || seqs.end > trimmed + 1 {
            return Ok(());
        }
        let Some(archive) = history.archive() else {
            self.kept_from_ms = kept_from(store, partition, from_ms).await?;
            return Ok(());
        };
        let older = async {
            let begins = archive.begins(partition).await?;
            let bodies = archive.entries_of(account, seqs, times_ms).await?;
            Ok::<_, Error>((begins, bodies))
        };
        match older.await {
            Ok((begins, bodies)) => {
                self.kept_from_ms = begins.filter(|at| *at > from_ms);
                bodies.iter().for_each(|body| self.add(body, by));
            }
            Err(error) => {
                self.kept_from_ms = kept_from(store, partition, from_ms).await?;
                self.history_away = Some(error.to_string());
            }
        }
        Ok(())
    }

    fn add(&mut self, body: &JournalBody, by: By) {
        let moved = Moved::of(body);
        let jobs = u64::from(body.kind == "settle");
        self.total.add(&moved);
        self.total.jobs += jobs;
        if by == By::Grant {
            for (kind, moved) in by_kind(body, &moved) {
                let line = self.lines.entry(kind).or_default();
                line.jobs += u64::from(moved.captured > 0);
                line.add(&moved);
            }
        } else if moved != Moved::default() || jobs > 0 {
            let name = if by == By::Day {
                day(body.at_ms)
            } else if body.tool.is_empty() || body.kind == "release" {
                "-".to_owned()
            } else {
                body.tool.clone()
            };
            let line = self.lines.entry(name).or_default();
            line.jobs += jobs;
            line.add(&moved);
        }
    }
}

impl Line {
    fn add(&mut self, moved: &Moved) {
        self.granted_ucr += moved.granted;
        self.captured_ucr += moved.captured;
        self.refunded_ucr += moved.refunded;
        self.adjusted_ucr += moved.adjusted;
        self.expired_ucr += moved.expired;
        self.net_ucr += moved.net();
    }
}

/// The same by the kinds of the grants that had part in it.
fn by_kind(body: &JournalBody, whole: &Moved) -> BTreeMap<String, Moved> {
    let mut kinds: BTreeMap<String, Moved> = BTreeMap::new();
    let mut rest = *whole;
    let mut part = |grants: &str, count: &dyn Fn(&mut Moved, i64)| {
        for (grant, ucr) in amounts(grants) {
            let row = body.grants.get(grant).map_or("", String::as_str);
            let kind = row.split('|').next().filter(|kind| !kind.is_empty());
            count(
                kinds.entry(kind.unwrap_or("debt").to_owned()).or_default(),
                ucr,
            );
            count(&mut rest, -ucr);
        }
    };
    match body.kind.as_str() {
        "grant" => part(&body.given, &|moved, ucr| moved.granted += ucr),
        "refund" => part(&body.given, &|moved, ucr| moved.refunded += ucr),
        "settle" => part(&body.taken, &|moved, ucr| moved.captured += ucr),
        "adjust" => {
            part(&body.given, &|moved, ucr| moved.adjusted += ucr);
            part(&body.taken, &|moved, ucr| moved.adjusted -= ucr);
        }
        _ => {}
    }
    part(&body.lost, &|moved, ucr| moved.expired += ucr);
    if matches!(body.kind.as_str(), "hold" | "settle" | "release") && rest.granted != 0 {
        let house = kinds.entry("house".to_owned()).or_default();
        house.granted += std::mem::take(&mut rest.granted);
    }
    if rest != Moved::default() {
        kinds.insert("debt".to_owned(), rest);
    }
    kinds
}

/// Reads `id=amount;id=amount`.
fn amounts(text: &str) -> impl Iterator<Item = (&str, i64)> {
    text.split(';').filter_map(|pair| {
        let (grant, ucr) = pair.split_once('=')?;
        Some((grant, ucr.parse().ok()?))
    })
}

/// The day of UTC that a time lies in: 2026-11-22.
fn day(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok();
    let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(
        || "-".to_owned(),
        |at| at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, post: &[(&str, i64)], more: &serde_json::Value) -> JournalBody {
        let mut body = serde_json::json!({
            "seq": 1, "at_ms": 1_800_000_000_000_u64, "kind": kind, "op": "", "account": "acme",
            "account_seq": 1, "job": "", "post": post,
            "grants": {"g1": "daily|0|0|9|1", "g2": "purchase|5|0|0|2"},
        });
        for (name, value) in more.as_object().expect("members") {
            body[name] = value.clone();
        }
        serde_json::from_value(body).expect("a body")
    }

    #[test]
    fn what_is_owed_stands_on_a_line_of_its_own() {
        let down = entry(
            "adjust",
            &[("available", -3), ("debt", -4), ("world", 7)],
            &serde_json::json!({"taken": "g1=1;g2=2"}),
        );
        let kinds = by_kind(&down, &Moved::of(&down));
        let adjusted: Vec<(&str, i64)> = kinds
            .iter()
            .map(|(k, m)| (k.as_str(), m.adjusted))
            .collect();
        assert_eq!(adjusted, [("daily", -1), ("debt", -4), ("purchase", -2)]);
    }

    #[test]
    fn a_capture_is_counted_at_the_grants_it_came_from() {
        let settled = entry(
            "settle",
            &[
                ("held", -9),
                ("revenue", 8),
                ("absorbed", -2),
                ("available", 2),
                ("breakage", 1),
            ],
            &serde_json::json!({"taken": "g1=5;g2=1", "lost": "g1=1", "tool": "upscale"}),
        );
        let mut statement = Statement {
            lines: BTreeMap::new(),
            total: Line::default(),
            kept_from_ms: None,
            history_away: None,
        };
        statement.add(&settled, By::Grant);
        let line = |kind: &str| {
            let line = &statement.lines[kind];
            (line.captured_ucr, line.expired_ucr, line.net_ucr)
        };
        assert_eq!((line("daily"), line("purchase")), ((5, 1, -6), (1, 0, -1)));
        assert_eq!((statement.lines.len(), statement.total.net_ucr), (2, -7));
        statement.lines.clear();
        statement.add(&settled, By::Tool);
        assert_eq!(statement.lines["upscale"].jobs, 1);
        statement.lines.clear();
        statement.add(&settled, By::Day);
        assert_eq!(statement.lines["2027-01-15"].captured_ucr, 6);
    }
}
