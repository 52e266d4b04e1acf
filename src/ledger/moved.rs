//! What one journal entry moved for its account, sorted the way promise 1 adds it up.

use crate::store::JournalBody;

/// Entries about a job's hold.
const HOLDS: [&str; 3] = ["hold", "settle", "release"];

/// Amounts in micro-credits, by the account's totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) granted: i64,
    pub(super) refunded: i64,
    /// Up or down.
    pub(super) adjusted: i64,
    pub(super) captured: i64,
    pub(super) expired: i64,
}

impl Moved {
    pub(super) fn of(body: &JournalBody) -> Self {
        let gained = post(body, "available") + post(body, "debt");
        let mut moved = Self {
            expired: post(body, "breakage"),
            ..Self::default()
        };
        match body.kind.as_str() {
            "grant" => moved.granted = gained,
            // Also what came back into an expired grant, and expired at once.
            "refund" => moved.refunded = -post(body, "revenue"),
            "adjust" => moved.adjusted = gained,
            "settle" => moved.captured = captured(body),
            _ => {}
        }
        if HOLDS.contains(&body.kind.as_str()) {
            // What the house gives for one hold is granted with it, and the rest of it taken back.
            moved.granted = -post(body, "promo");
        }
        moved
    }

    /// What it did to available + held - debt.
    pub(super) fn net(&self) -> i64 {
        self.granted + self.refunded + self.adjusted - self.captured - self.expired
    }
}

/// What the entry moved in a book.
pub(super) fn post(body: &JournalBody, book: &str) -> i64 {
    body.post
        .iter()
        .filter(|(name, _)| name == book)
        .fold(0, |sum, (_, delta)| sum.saturating_add(*delta))
}

/// What the account paid: the revenue without what the platform put in itself.
pub(super) fn captured(body: &JournalBody) -> i64 {
    post(body, "revenue") + post(body, "absorbed")
}
