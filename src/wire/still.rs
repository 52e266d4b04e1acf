//! What stands still or is set aside: freezes, and open holds.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::AccountId;

/// An account or a partition that stands still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Freeze {
    /// Where.
    pub partition: u16,
    /// Which account; missing where the whole partition stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Since when.
    pub at: Option<String>,
    /// Who: `audit`, `sweep`, or an operator.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What an audit found to differ, in words.
    pub differed: Vec<String>,
}

/// What is to stand still, or to go on: an account or a whole partition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FreezeRequest {
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub account: Option<AccountId>,
    /// The partition, in place of an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u16>,
    /// Why, for the log of operators' acts.
    #[schema(required, min_length = 1)]
    pub reason: String,
}

/// It goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cleared {
    /// What had stood there.
    pub was: Freeze,
    /// Jobs that had been put off and are due now.
    pub jobs_due: u32,
    /// What an audit still finds, in words, the first twenty: the next round of the continuous audit freezes
    /// it again.
    pub still_differs: Vec<String>,
}

/// Which holds; all that is said has to fit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HoldQuery {
    /// Only this account's.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub account: Option<AccountId>,
    /// Only those that are held for at least so long.
    #[param(maximum = 3155760000000u64)]
    pub older_than_ms: Option<u64>,
    /// How many are listed, 1 to 100, 20 where nothing is said.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<usize>,
}

/// The oldest holds that fit, and what all that fit come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Holds {
    /// The oldest first.
    pub data: Vec<Hold>,
    /// How many fit.
    pub holds: u64,
    /// What they come to.
    pub held_ucr: i64,
}

/// Credits that are set aside for a job that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// The job.
    pub job: String,
    /// Whose credits.
    pub account: String,
    /// The job's tool.
    pub tool: String,
    /// Where the job stands.
    pub state: String,
    /// `account`, or `house` where the house pays.
    pub payer: String,
    /// How much is held.
    pub hold_ucr: i64,
    /// Since when.
    pub since: Option<String>,
    /// By when it ends at the latest.
    pub until: Option<String>,
    /// The grants it pins, in the order in which they are charged.
    pub grants: Vec<Pinned>,
}

/// A part of a hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pinned {
    /// The grant.
    pub grant: String,
    /// How much of it.
    pub pinned_ucr: i64,
}
