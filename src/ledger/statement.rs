//! An account's spending over a stretch of time, added up from the journal by day, tool or kind of
//! grant.
//!
//! Whatever it is sorted by, the lines add up to the same total, and the total's net is exactly by how
//! much available + held - debt differ between the two ends. A line is as much memory as it needs,
//! however many entries there are.

use std::collections::BTreeMap;

use serde::Serialize;

use super::moved::Moved;
use crate::domain::ids::AccountId;
use crate::store::{Error, JournalBody, Store};

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
}

/// Adds up an account's entries of `from_ms..to_ms`. Reads only that stretch of the partition's journal.
pub async fn statement(
    store: &Store,
    account: &AccountId,
    from_ms: u64,
    to_ms: u64,
    by: By,
) -> Result<Statement, Error> {
    let partition = account.partition(store.partitions());
    let mut statement = Statement {
        lines: BTreeMap::new(),
        total: Line::default(),
        kept_from_ms: kept_from(store, partition, from_ms).await?,
    };
    let mut from = Some(store.journal_from(partition, from_ms).await?);
    while let Some(at) = from {
        let page = store.journal(partition, &at, PAGE).await?;
        for body in page.entries.iter().filter_map(|e| e.body_of(account)) {
            if (from_ms..to_ms).contains(&body.at_ms) {
                statement.add(&body, by);
            }
        }
        let last = page.entries.last().and_then(|entry| entry.body());
        from = page.next.filter(|_| last.is_none_or(|l| l.at_ms < to_ms));
    }
    Ok(statement)
}

/// Since when a partition's journal is kept, where that is later than `from_ms`.
async fn kept_from(store: &Store, partition: u16, from_ms: u64) -> Result<Option<u64>, Error> {
    if store.trimmed_head(partition).await?.seq == 0 {
        return Ok(None);
    }
    let first = store.journal(partition, "-", 1).await?.entries;
    let first = first.first().and_then(|entry| entry.body());
    Ok(first.map(|body| body.at_ms).filter(|at| *at > from_ms))
}

impl Statement {
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
