//! What operators did: who, when, to what, and why. Written by the scripts that do it.

use serde::Serialize;

use super::{Error, Store};

/// One act of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Act {
    /// Its place in the partition's log.
    #[serde(skip)]
    pub id: String,
    /// When, ms since 1970.
    pub at_ms: u64,
    /// Who.
    pub actor: String,
    /// What was done: `freeze`, `pause`, `adjust`, ...
    pub act: String,
    /// To whom or what: an account, a queue, a job.
    pub subject: String,
    /// The reason given.
    pub reason: String,
    /// What came of it.
    pub detail: String,
}

/// A stream's entry: its id, then its fields.
type Row = (String, Vec<(String, String)>);

impl Store {
    /// A page of a partition's acts, oldest first, from an id on (`-` for the first, `(<id>` for what
    /// follows one).
    pub async fn acts(&self, partition: u16, from: &str, limit: usize) -> Result<Vec<Act>, Error> {
        let mut ask = redis::pipe();
        ask.cmd("XRANGE")
            .arg(self.keys(partition)?.part("acts"))
            .arg(from)
            .arg("+")
            .arg("COUNT")
            .arg(limit);
        let (rows,): (Vec<Row>,) = self.read("acts", &ask).await?;
        Ok(rows.into_iter().map(act).collect())
    }
}

fn act((id, fields): Row) -> Act {
    let field = |name: &str| {
        let found = fields.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    Act {
        id,
        at_ms: field("t").parse().unwrap_or(0),
        actor: field("by"),
        act: field("act"),
        subject: field("on"),
        reason: field("why"),
        detail: field("d"),
    }
}
