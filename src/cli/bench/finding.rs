//! What a trial found: figures for people and for scripts, and whether its mark is reached.

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{facts, rows};

/// What a trial found, and whether the mark is reached.
pub(super) struct Finding {
    pub(super) json: serde_json::Value,
    pub(super) lines: Vec<(&'static str, String)>,
    pub(super) reached: bool,
}

impl Finding {
    /// Prints it; the exit code says whether the mark is reached.
    pub(super) fn show(self, call: &Call) -> Result<Exit, Failure> {
        call.out.show(&self.json, || {
            let mut table = facts();
            for (name, value) in &self.lines {
                table.add_row([(*name).to_owned(), value.clone()]);
            }
            rows(&table, "")
        })?;
        Ok(if self.reached {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}
