//! What submissions cost us: a ledger of its own beside the journal, written by the scripts that end them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wake::position;
use super::{Error, Store, scripts};
use crate::domain::cost::{Cost, CostSource};

/// Costs that one call takes away at most.
const BATCH: usize = 100;

/// What one submission cost, and whom we owe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionCost {
    /// How much, and how that is known.
    pub cost: Cost,
    /// The provider that was asked.
    pub provider: String,
    /// The route, by its name.
    pub route: String,
    /// What the provider was told to run.
    pub model: String,
}

impl SubmissionCost {
    /// As the store keeps it. A model may have any name: it comes last.
    fn text(&self) -> String {
        let Cost { usd_micros, source } = self.cost;
        let [provider, route] = [&self.provider, &self.route].map(|name| name.replace('|', "/"));
        format!(
            "{usd_micros}|{}|{provider}|{route}|{}",
            source.as_str(),
            self.model
        )
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '|');
        let mut next = || parts.next();
        Some(Self {
            cost: Cost {
                usd_micros: next()?.parse().ok()?,
                source: CostSource::from_word(next()?)?,
            },
            provider: next()?.to_owned(),
            route: next()?.to_owned(),
            model: next()?.to_owned(),
        })
    }
}

/// The argument that scripts take for a cost.
pub(super) fn text_of(cost: Option<&SubmissionCost>) -> String {
    cost.map(SubmissionCost::text).unwrap_or_default()
}

/// One booked cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostEntry {
    /// Its place in the partition's ledger of costs.
    pub id: String,
    /// The job.
    pub job: String,
    /// The number of the submission within the job.
    pub submission: u32,
    /// Whose job it was.
    pub account: String,
    /// The tool.
    pub tool: String,
    /// How the submission ended: `succeeded`, a failure class, or the ending of its job.
    pub outcome: String,
    /// What the account was charged in the same step, micro-credits.
    pub captured_ucr: i64,
    /// When it was booked, ms since 1970.
    pub at_ms: u64,
    /// What it cost.
    pub spent: SubmissionCost,
}

/// What one provider has cost since the store was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderSpend {
    /// The provider.
    pub provider: String,
    /// Submissions with a booked cost.
    pub submissions: u64,
    /// What they cost, USD micros.
    pub cost_usd_micros: u64,
    /// How much of that was for submissions that came to nothing, USD micros.
    pub waste_usd_micros: u64,
}

/// A stream's entry: its id, then its fields.
type Row = (String, Vec<(String, String)>);

impl Store {
    /// A page of a partition's costs, oldest first, from an id on (`-` for the first, `(<id>` for what
    /// follows one). Entries that this version cannot read are left out.
    pub async fn costs(
        &self,
        partition: u16,
        from: &str,
        limit: usize,
    ) -> Result<Vec<CostEntry>, Error> {
        let (entries, _) = self.costs_and_last(partition, from, limit).await?;
        Ok(entries)
    }

    /// The costs behind an entry, oldest first. `None` where the ledger ends before that entry: it is
    /// another than the one that had it.
    pub async fn costs_behind(
        &self,
        partition: u16,
        id: &str,
        limit: usize,
    ) -> Result<Option<Vec<CostEntry>>, Error> {
        let from = format!("({id}");
        let (entries, last) = self.costs_and_last(partition, &from, limit).await?;
        let ends_before = last.is_some_and(|last| position(&last) < position(id));
        Ok((!ends_before).then_some(entries))
    }

    /// With the id of the last entry of all.
    async fn costs_and_last(
        &self,
        partition: u16,
        from: &str,
        limit: usize,
    ) -> Result<(Vec<CostEntry>, Option<String>), Error> {
        let stream = self.keys(partition)?.part("costs");
        let mut ask = redis::pipe();
        ask.cmd("XRANGE").arg(&stream).arg(from).arg("+");
        ask.arg("COUNT").arg(limit);
        ask.cmd("XREVRANGE").arg(&stream).arg("+").arg("-");
        ask.arg("COUNT").arg(1);
        let (rows, last): (Vec<Row>, Vec<Row>) = self.read("costs", &ask).await?;
        let last = last.into_iter().next().map(|(id, _)| id);
        Ok((rows.into_iter().filter_map(entry).collect(), last))
    }

    /// What each provider has cost, in all partitions.
    pub async fn provider_spend(&self) -> Result<Vec<ProviderSpend>, Error> {
        let mut found = BTreeMap::<String, ProviderSpend>::new();
        for partition in 0..self.partitions() {
            let mut ask = redis::pipe();
            ask.cmd("HGETALL")
                .arg(self.keys(partition)?.part("costsums"));
            let (sums,): (BTreeMap<String, u64>,) = self.read("costsums", &ask).await?;
            for (name, sum) in sums {
                let Some((what, provider)) = name.split_once(':') else {
                    continue;
                };
                let spend = found.entry(provider.to_owned()).or_default();
                match what {
                    "cost" => spend.cost_usd_micros += sum,
                    "waste" => spend.waste_usd_micros += sum,
                    "submissions" => spend.submissions += sum,
                    _ => {}
                }
            }
        }
        let named = |(provider, spend)| ProviderSpend { provider, ..spend };
        Ok(found.into_iter().map(named).collect())
    }

    /// Takes costs away that are older than `keep_ms`, as far as a history outside has them where there
    /// is one. Returns whether there are more.
    pub async fn trim_costs(&self, partition: u16, keep_ms: u64) -> Result<bool, Error> {
        self.trim_costs_to(partition, keep_ms, "").await
    }

    /// Notes that a partition's costs are committed elsewhere up to this entry (`0-0` = none yet):
    /// nothing behind it is taken away. The mark never goes back.
    pub async fn note_costs(&self, partition: u16, id: &str) -> Result<(), Error> {
        // Nothing is that old: this call only notes.
        self.trim_costs_to(partition, 1 << 52, id).await.map(drop)
    }

    async fn trim_costs_to(&self, partition: u16, keep_ms: u64, id: &str) -> Result<bool, Error> {
        let keys = self.keys(partition)?;
        let keys = [keys.meta(), keys.part("costs")];
        let args = [keep_ms.to_string(), BATCH.to_string(), id.to_owned()];
        let reply = self.run(&scripts::TRIM_COSTS, &keys, &args).await?;
        match reply.word()?.as_str() {
            "trimmed" => Ok(reply.text(2)? == "1"),
            _ => reply.unknown(),
        }
    }
}

fn entry((id, fields): Row) -> Option<CostEntry> {
    let field = |name: &str| {
        let found = fields.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.clone())
    };
    Some(CostEntry {
        job: field("j")?,
        submission: field("n")?.parse().ok()?,
        account: field("a")?,
        tool: field("t")?,
        outcome: field("o")?,
        captured_ucr: field("k")?.parse().ok()?,
        at_ms: field("m")?.parse().ok()?,
        spent: SubmissionCost::read(&field("c")?)?,
        id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_reads_as_it_was_written_whatever_the_model_is_called() {
        for model in ["", "owner/model:1", "a|b|c"] {
            let cost = SubmissionCost {
                cost: Cost {
                    usd_micros: 12_300,
                    source: CostSource::Reported,
                },
                provider: "sim".to_owned(),
                route: "fast".to_owned(),
                model: model.to_owned(),
            };
            assert_eq!(SubmissionCost::read(&cost.text()), Some(cost));
        }
        for broken in ["", "1", "x|reported|p|r|m", "1|guessed|p|r|m"] {
            assert_eq!(SubmissionCost::read(broken), None, "{broken}");
        }
    }
}
