//! What providers' work cost beside what was paid for it: by provider, route, tool or day.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::store::{CostEntry, Error, Store};

/// Entries of one round trip.
const PAGE: usize = 500;

/// What a line stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostsBy {
    /// A provider.
    Provider,
    /// A route, with its provider.
    Route,
    /// A tool.
    Tool,
    /// A day of UTC on which costs were booked.
    Day,
}

impl CostsBy {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Provider, Self::Route, Self::Tool, Self::Day];

    /// The word on the command line and over HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Route => "route",
            Self::Tool => "tool",
            Self::Day => "day",
        }
    }

    /// What a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.as_str() == word)
    }
}

/// The sums of one line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CostLine {
    /// Submissions with a booked cost.
    pub submissions: u64,
    /// How many of them came to nothing.
    pub wasted: u64,
    /// What they cost.
    pub cost_usd_micros: u64,
    /// How much of that was for nothing.
    pub waste_usd_micros: u64,
    /// What accounts paid for what they brought, micro-credits.
    pub paid_ucr: i64,
}

impl CostLine {
    /// Both together.
    pub fn plus(&mut self, other: Self) {
        self.submissions += other.submissions;
        self.wasted += other.wasted;
        self.cost_usd_micros += other.cost_usd_micros;
        self.waste_usd_micros += other.waste_usd_micros;
        self.paid_ucr += other.paid_ucr;
    }

    /// What is left of a credit's worth, USD micros; `None` where nobody says what it is worth.
    pub fn margin_usd_micros(&self, credit_usd_micros: u64) -> Option<i64> {
        if credit_usd_micros == 0 {
            return None;
        }
        let income = i128::from(self.paid_ucr) * i128::from(credit_usd_micros) / 1_000_000;
        i64::try_from(income - i128::from(self.cost_usd_micros)).ok()
    }

    fn of(entry: &CostEntry) -> Self {
        let cost = entry.spent.cost.usd_micros;
        let succeeded = entry.outcome == "succeeded";
        Self {
            submissions: 1,
            wasted: u64::from(!succeeded),
            cost_usd_micros: cost,
            waste_usd_micros: if succeeded { 0 } else { cost },
            paid_ucr: entry.captured_ucr,
        }
    }
}

/// What the store still has of costs that were booked from `from_ms` until before `to_ms`, by name. What
/// was refunded later, or paid by the house, stands in the history alone.
pub async fn costs_in_store(
    store: &Store,
    by: CostsBy,
    (from_ms, to_ms): (u64, u64),
) -> Result<BTreeMap<String, CostLine>, Error> {
    let mut lines = BTreeMap::<String, CostLine>::new();
    for partition in 0..store.partitions() {
        let mut from = "-".to_owned();
        loop {
            let page = store.costs(partition, &from, PAGE).await?;
            for entry in &page {
                if (from_ms..to_ms).contains(&entry.at_ms) {
                    let line = lines.entry(name_of(entry, by)).or_default();
                    line.plus(CostLine::of(entry));
                }
            }
            match page.last() {
                Some(last) => from = format!("({}", last.id),
                None => break,
            }
        }
    }
    Ok(lines)
}

fn name_of(entry: &CostEntry, by: CostsBy) -> String {
    match by {
        CostsBy::Provider => entry.spent.provider.clone(),
        CostsBy::Route => format!("{}/{}", entry.spent.provider, entry.spent.route),
        CostsBy::Tool => entry.tool.clone(),
        CostsBy::Day => {
            let ms = i64::try_from(entry.at_ms).ok();
            let at = ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
            let day = at.map(|at| at.to_zoned(TimeZone::UTC).date());
            day.map_or("-".to_owned(), |day| day.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_is_what_credits_are_worth_less_what_the_work_cost() {
        let line = CostLine {
            cost_usd_micros: 300_000,
            paid_ucr: 35_000_000,
            ..CostLine::default()
        };
        assert_eq!(line.margin_usd_micros(0), None);
        assert_eq!(line.margin_usd_micros(20_000), Some(400_000));
        assert_eq!(line.margin_usd_micros(1_000), Some(-265_000));
    }
}
