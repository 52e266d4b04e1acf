//! What an account may spend in a day and in a month of UTC.

use jiff::{Timestamp, ToSpan, tz::TimeZone};

use super::account::Purse;
use super::{Account, DAY_MS, Period, Reply};

/// A cap for each period, micro-credits; 0 = none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Caps {
    /// By day.
    pub day_ucr: i64,
    /// By month.
    pub month_ucr: i64,
}

/// What is held and captured in the periods that run. A period is named by its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spent {
    /// The day's end, ms.
    pub day_until_ms: u64,
    /// In the day, micro-credits.
    pub day_ucr: i64,
    /// The month's end, ms.
    pub month_until_ms: u64,
    /// In the month, micro-credits.
    pub month_ucr: i64,
}

/// When the day that a time lies in is over, ms.
fn day_end_ms(at_ms: u64) -> u64 {
    (at_ms / DAY_MS + 1) * DAY_MS
}

/// When the month that a time lies in is over, ms; the day's end for a time that no calendar has.
fn month_end_ms(at_ms: u64) -> u64 {
    let next_month = || {
        let at = Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
        let date = at.to_zoned(TimeZone::UTC).date().first_of_month();
        let next = date.checked_add(1.month()).ok()?;
        let at = next.to_zoned(TimeZone::UTC).ok()?.timestamp();
        u64::try_from(at.as_millisecond()).ok()
    };
    next_month().unwrap_or_else(|| day_end_ms(at_ms))
}

impl Account {
    /// What counts now: a period that is over counts nothing any more.
    pub(super) fn spent_at(&self, now_ms: u64) -> Spent {
        let mut spent = self.spent.unwrap_or(Spent {
            day_until_ms: 0,
            day_ucr: 0,
            month_until_ms: 0,
            month_ucr: 0,
        });
        if now_ms >= spent.day_until_ms || spent.day_until_ms > now_ms + DAY_MS {
            (spent.day_until_ms, spent.day_ucr) = (day_end_ms(now_ms), 0);
        }
        if now_ms >= spent.month_until_ms || spent.month_until_ms > now_ms + 31 * DAY_MS {
            (spent.month_until_ms, spent.month_ucr) = (month_end_ms(now_ms), 0);
        }
        spent
    }

    /// The refusal where a hold of `need_ucr` would pass a cap. Where both are passed it is the month's.
    pub(super) fn over_cap(&self, spent: &Spent, need_ucr: i64) -> Option<Reply> {
        let month = (
            Period::Month,
            self.caps.month_ucr,
            spent.month_ucr,
            spent.month_until_ms,
        );
        let day = (
            Period::Day,
            self.caps.day_ucr,
            spent.day_ucr,
            spent.day_until_ms,
        );
        let over =
            |&(_, cap, spent, _): &(Period, i64, i64, u64)| cap > 0 && spent + need_ucr > cap;
        [month, day]
            .into_iter()
            .find(over)
            .map(|(period, cap, spent, until_ms)| Reply::CapExceeded {
                period,
                until_ms,
                need_ucr,
                left_ucr: (cap - spent).max(0),
            })
    }
}

impl Purse {
    /// Counts a hold; returns the periods' ends, by which its job remembers where it counts.
    pub(super) fn count(&mut self, mut spent: Spent, ucr: i64) -> (u64, u64) {
        spent.day_ucr += ucr;
        spent.month_ucr += ucr;
        self.account.spent = Some(spent);
        (spent.day_until_ms, spent.month_until_ms)
    }

    /// What a hold or a capture gave back leaves the periods that it was counted in, if they still run.
    pub(super) fn uncount(&mut self, counted_in: Option<(u64, u64)>, ucr: i64) {
        let (Some((day_until_ms, month_until_ms)), Some(spent)) =
            (counted_in, &mut self.account.spent)
        else {
            return;
        };
        if spent.day_until_ms == day_until_ms {
            spent.day_ucr = (spent.day_ucr - ucr).max(0);
        }
        if spent.month_until_ms == month_until_ms {
            spent.month_ucr = (spent.month_ucr - ucr).max(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_with_its_last_day() {
        let ms = |text: &str| {
            u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
        };
        for (at, end) in [
            ("2027-01-31T23:59:59.999Z", "2027-02-01T00:00:00Z"),
            ("2028-02-28T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2027-12-01T00:00:00Z", "2028-01-01T00:00:00Z"),
        ] {
            assert_eq!(month_end_ms(ms(at)), ms(end), "{at}");
        }
    }
}
