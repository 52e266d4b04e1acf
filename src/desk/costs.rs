//! What providers' work cost over a stretch of whole days, with the margin at a credit's worth.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::ledger::{CostLine, CostsBy, History, postgres};
use crate::store::Store;
use crate::wire::{Costs, CostsLine};

/// Which costs.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// What a line stands for.
    pub by: CostsBy,
    /// First day, of UTC; where nothing is said, the first of this month.
    pub from: Option<Date>,
    /// Last day, of UTC; where nothing is said, today.
    pub to: Option<Date>,
}

/// Why there are none to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No day lies between.
    #[error("{0} is after {1}")]
    Reversed(Date, Date),
    /// No clock goes that far.
    #[error("{0} is out of reach")]
    OutOfReach(Date),
    /// Who keeps them does not answer.
    #[error("failed to {0}")]
    History(#[from] postgres::Error),
}

/// Adds up.
///
/// # Errors
/// [`Error`]; nothing is ever changed.
pub async fn costs(
    store: &Store,
    history: &History,
    asked: Asked,
    credit_usd_micros: u64,
) -> Result<Costs, Error> {
    let now_ms = store.server_ms().await.map_err(postgres::Error::from)?;
    let now = i64::try_from(now_ms).ok();
    let now = now.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let today = now.unwrap_or_default().to_zoned(TimeZone::UTC).date();
    let from = asked.from.unwrap_or_else(|| today.first_of_month());
    let to = asked.to.unwrap_or(today);
    let stretch = (
        starts(from)?,
        starts(to.saturating_add(jiff::Span::new().days(1)))?,
    );
    if stretch.0 >= stretch.1 {
        return Err(Error::Reversed(from, to));
    }
    let (found, in_history) = history.costs(asked.by, stretch).await?;
    let mut total = CostLine::default();
    for line in found.values() {
        total.plus(*line);
    }
    let shown = |name: &str, line: &CostLine| CostsLine {
        name: name.to_owned(),
        submissions: line.submissions,
        wasted: line.wasted,
        cost_usd_micros: line.cost_usd_micros,
        waste_usd_micros: line.waste_usd_micros,
        paid_ucr: line.paid_ucr,
        margin_usd_micros: line.margin_usd_micros(credit_usd_micros),
    };
    Ok(Costs {
        by: asked.by.as_str().to_owned(),
        from: from.to_string(),
        to: to.to_string(),
        source: if in_history { "history" } else { "store" }.to_owned(),
        credit_usd_micros,
        lines: found.iter().map(|(name, line)| shown(name, line)).collect(),
        total: shown("total", &total),
    })
}

/// When a day begins, ms since 1970.
fn starts(day: Date) -> Result<u64, Error> {
    let zoned = day
        .to_zoned(TimeZone::UTC)
        .map_err(|_| Error::OutOfReach(day))?;
    u64::try_from(zoned.timestamp().as_millisecond()).map_err(|_| Error::OutOfReach(day))
}
