//! What providers' work cost, beside what was paid for it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Costs of a stretch of days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Costs {
    /// What a line stands for: `provider`, `route` (with its provider), `tool` or `day`.
    pub by: String,
    /// First day, of UTC.
    #[schema(format = Date)]
    pub from: String,
    /// Last day, of UTC.
    #[schema(format = Date)]
    pub to: String,
    /// `history`, or `store`: then it is what that still keeps, and refunds and what the house paid are not
    /// taken off.
    pub source: String,
    /// What a credit is worth, as the settings say; 0 = they do not.
    pub credit_usd_micros: u64,
    /// By name.
    pub lines: Vec<CostsLine>,
    /// All of them.
    pub total: CostsLine,
}

/// The sums of one line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostsLine {
    /// Of what; `total` for all.
    pub name: String,
    /// Submissions with a booked cost.
    pub submissions: u64,
    /// How many of them came to nothing.
    pub wasted: u64,
    /// What they cost.
    pub cost_usd_micros: u64,
    /// How much of that was for nothing.
    pub waste_usd_micros: u64,
    /// What accounts paid for what they brought.
    pub paid_ucr: i64,
    /// What is left of that, at a credit's worth; null where nobody says what it is.
    pub margin_usd_micros: Option<i64>,
}
