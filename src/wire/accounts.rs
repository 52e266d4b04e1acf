//! Accounts: what they have, what came in, where it went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::ids::{AccountId, OperationId};

/// An account. Amounts are micro-credits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its id.
    pub account: String,
    /// `open`, `frozen` or `closed`.
    pub state: String,
    /// What can be spent.
    pub available_ucr: i64,
    /// What open jobs hold.
    pub held_ucr: i64,
    /// What has to be paid back before anything can be spent.
    pub debt_ucr: i64,
    /// Everything ever granted.
    pub granted_ucr: i64,
    /// Everything ever charged.
    pub captured_ucr: i64,
    /// Everything that expired.
    pub expired_ucr: i64,
    /// Charges given back.
    pub refunded_ucr: i64,
    /// Corrections, up or down.
    pub adjusted_ucr: i64,
    /// Jobs that are active at a time in a queue; 0 = as the settings say.
    pub max_active: u32,
    /// The same for queues that have a number of their own.
    pub queue_limits: BTreeMap<String, u32>,
    /// What may be spent in a day of UTC.
    pub day: Cap,
    /// What may be spent in a month of UTC.
    pub month: Cap,
    /// Balance below which an event `low_balance` is written.
    pub low_balance_ucr: Option<i64>,
    /// The plan it is on.
    pub plan: Option<Plan>,
    /// The sequence of its last entry in the books.
    #[serde(default)]
    #[schema(required)]
    pub sequence: u64,
    /// Live grants.
    pub grants: Vec<Grant>,
}

/// A cap and what was spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cap {
    /// The cap; none where it is missing.
    pub cap_ucr: Option<i64>,
    /// Held and captured in the period that runs now.
    pub spent_ucr: i64,
    /// When the period ends.
    pub until: Option<String>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Its name.
    pub plan: String,
    /// What it cost when it was taken, as the settings said it.
    #[serde(default)]
    #[schema(required)]
    pub price: String,
    /// When what was paid for ends.
    pub until: Option<String>,
    /// That time has passed.
    pub lapsed: bool,
}

/// A bucket of credits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// Its id within the account.
    pub grant: String,
    /// Where it came from.
    pub kind: String,
    /// What can be spent.
    pub remaining_ucr: i64,
    /// What open jobs have pinned.
    pub pinned_ucr: i64,
    /// When the rest is gone; never where it is missing.
    pub expires_at: Option<String>,
}

/// An account to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// 1 to 64 letters, digits, or one of . _ @ -
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub account: AccountId,
    /// Jobs that are active at a time in a queue; as the settings say where it is missing.
    #[serde(default)]
    #[schema(value_type = u64, maximum = 4294967295u64)]
    pub max_active: u32,
}

/// Credits for an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantBody {
    /// How many micro-credits, above zero.
    #[schema(minimum = 1, maximum = 9007199254740991u64)]
    pub amount_ucr: i64,
    /// `purchase`, `promo`, `plan`, `signup`, `daily` or `adjustment`.
    #[schema(pattern = "^(purchase|promo|plan|signup|daily|adjustment)$")]
    pub kind: String,
    /// When what is left is gone, RFC 3339; purchased credits never expire.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// Why, for the books.
    #[serde(default)]
    pub reason: String,
}

/// Credits that came in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Granted {
    /// The account.
    pub account: String,
    /// The idempotency key it stands under in the books.
    pub operation: String,
    /// The bucket they went into.
    pub grant: String,
    /// How many.
    pub granted_ucr: i64,
    /// Available right after it.
    pub available_ucr: i64,
    /// Owed right after it.
    pub debt_ucr: i64,
}

/// A correction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustBody {
    /// How many micro-credits: above zero to give, below to take. What is not there becomes debt.
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    pub amount_ucr: i64,
    /// Why, for the books.
    pub reason: String,
}

/// A correction as it was booked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Adjusted {
    /// The account.
    pub account: String,
    /// The idempotency key it stands under in the books.
    pub operation: String,
    /// By how much, up or down.
    pub adjusted_ucr: i64,
    /// How much of a correction down became debt.
    pub debt_made_ucr: i64,
    /// Available right after it.
    pub available_ucr: i64,
    /// Owed right after it.
    pub debt_ucr: i64,
}

/// A payment that was disputed or returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClawbackBody {
    /// The idempotency key that the payment was granted under.
    #[schema(value_type = String, pattern = "^[!-~]{1,128}$")]
    pub payment: OperationId,
    /// How much; all that was not clawed back before where nothing is said.
    #[schema(minimum = 1, maximum = 9007199254740991u64)]
    pub amount_ucr: Option<i64>,
    /// Why, for the books.
    pub reason: String,
}

/// What happened to an account's credits in a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Statement {
    /// The account.
    pub account: String,
    /// From when, included.
    pub from: Option<String>,
    /// Until when, not included.
    pub to: Option<String>,
    /// Lines with anything on them; they add up to the total.
    pub lines: Vec<StatementLine>,
    /// Their sum.
    pub total: StatementLine,
    /// The journal is kept only from then on: what was before is missing here.
    pub kept_from: Option<String>,
}

/// A line of a statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatementLine {
    /// The day, the tool or the kind; `total` for the sum.
    pub name: String,
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

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Its id.
    pub entry: String,
    /// The account's own sequence, without gaps.
    pub account_seq: u64,
    /// When.
    pub at: Option<String>,
    /// `open`, `grant`, `hold`, `settle`, `release`, `expire`, `adjust`, `refund`, `set` or `opening`.
    pub kind: String,
    /// Idempotency key or failure class, by kind.
    pub operation: Option<String>,
    /// The job.
    pub job: Option<String>,
    /// Why, in what operators did.
    pub reason: Option<String>,
    /// Which book, by how much; they sum to zero.
    pub postings: Vec<Posting>,
}

/// A posting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Posting {
    /// The book.
    pub book: String,
    /// By how much.
    pub amount_ucr: i64,
}
