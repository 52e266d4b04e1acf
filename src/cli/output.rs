//! What commands print: one JSON document a line for programs, tables and sentences for people.

use std::io::Write;

use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::json;

use super::failure::{Failure, Kind};
use crate::domain::credits::Ucr;
use crate::telemetry;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs: one document a line, amounts as whole micro-credits.
    Json,
    /// For spreadsheets: account statement only.
    Csv,
}

/// Prints results on stdout and failures on stderr.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    format: Format,
}

impl Out {
    pub(super) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(super) fn format(self) -> Format {
        self.format
    }

    pub(super) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints a result in the form that was asked for.
    pub(super) fn show(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.json(value),
            Format::Table | Format::Csv => self.text(&text()),
        }
    }

    /// One JSON document on a line of its own.
    pub(super) fn json(self, value: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value)
            .map_err(|error| Failure::new(Kind::Io, format!("failed to write JSON: {error}")))?;
        self.text(&line)
    }

    /// One text, with a line end.
    pub(super) fn text(self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{text}")?;
        Ok(stdout.flush()?)
    }

    /// Says on stderr why a command failed. Nobody is told that nobody listens.
    pub(super) fn failure(self, failure: &Failure) {
        if failure.kind() == Kind::BrokenPipe {
            return;
        }
        let text = match self.format {
            Format::Json => json!({"error": failure.json()}).to_string(),
            Format::Table | Format::Csv => format!("{} {}", error_word(), failure.message()),
        };
        note(&text);
    }
}

/// One line for people on stderr. With stderr closed there is nobody left to tell.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn error_word() -> &'static str {
    if telemetry::colours(&std::io::stderr()) {
        "\u{1b}[1;31merror:\u{1b}[0m"
    } else {
        "error:"
    }
}

/// A table with these headings.
pub(super) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    table
}

/// A table of names and values, without headings.
pub(super) fn facts() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// The table as text; `nothing` where it has no rows.
pub(super) fn rows(table: &Table, nothing: &str) -> String {
    if table.is_empty() {
        return nothing.to_owned();
    }
    table.trim_fmt()
}

/// Micro-credits as people say them.
pub(super) fn credits(ucr: i64) -> String {
    let amount = i64::try_from(ucr.unsigned_abs())
        .ok()
        .and_then(|ucr| Ucr::new(ucr).ok());
    let Some(amount) = amount else {
        return format!("{ucr} micro-credits");
    };
    let sign = if ucr < 0 { "-" } else { "" };
    let unit = if ucr.abs() == 1_000_000 {
        "credit"
    } else {
        "credits"
    };
    format!("{sign}{} {unit}", amount.credits())
}

/// A length of time as people say it: `5.25 s`, `3 min 2 s`, `2 h 5 min`.
pub(super) fn duration(ms: u64) -> String {
    let (seconds, millis) = (ms / 1000, ms % 1000);
    match seconds {
        0..60 if millis == 0 => format!("{seconds} s"),
        0..60 => format!("{seconds}.{}", format!("{millis:03}").trim_end_matches('0')) + " s",
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600.. => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time in ms since 1970 as RFC 3339, in UTC.
pub(super) fn rfc3339(ms: i64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(ms).ok()?;
    Some(format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_said_in_credits() {
        for (ucr, text) in [
            (35_000_000, "35 credits"),
            (1_000_000, "1 credit"),
            (0, "0 credits"),
            (-500_000, "-0.5 credits"),
            (i64::MIN, "-9223372036854775808 micro-credits"),
        ] {
            assert_eq!(credits(ucr), text);
        }
    }

    #[test]
    fn lengths_are_said_in_the_units_that_fit() {
        for (ms, text) in [
            (0, "0 s"),
            (5_250, "5.25 s"),
            (5_005, "5.005 s"),
            (59_000, "59 s"),
            (182_999, "3 min 2 s"),
            (7_500_000, "2 h 5 min"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(
            rfc3339(1_800_000_000_000).as_deref(),
            Some("2027-01-15T08:00:00.000Z")
        );
        assert_eq!(rfc3339(i64::MAX), None);
    }
}
