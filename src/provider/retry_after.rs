//! How long a provider asks us to wait, read from its headers.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// No wish for a longer wait is heard: what runs here has a deadline of minutes.
const WAIT_MAX_MS: u64 = 600_000;

/// The wait in milliseconds that the headers ask for, at most ten minutes.
///
/// `retry-after-ms` is taken before `Retry-After`, which holds seconds or a date. A date is
/// compared with the answer's own `Date` where there is one, so that a wrong clock on either side
/// does not matter; `now` stands in for it. A header that cannot be read is no wish at all.
pub(super) fn from_headers(headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    if let Some(ms) = text("retry-after-ms")
        .and_then(|ms| ms.parse::<f64>().ok())
        .and_then(capped)
    {
        return Some(ms);
    }
    let wish = text(RETRY_AFTER.as_str())?;
    match wish.parse::<f64>() {
        Ok(seconds) => capped(seconds * 1000.0),
        Err(_) => {
            let sent_at = text(DATE.as_str()).and_then(date).unwrap_or(now);
            let wait_ms = date(wish)?
                .as_millisecond()
                .saturating_sub(sent_at.as_millisecond());
            Some(u64::try_from(wait_ms).unwrap_or(0).min(WAIT_MAX_MS))
        }
    }
}

/// A wish in milliseconds as an integer, rounded up and capped; nothing for negative numbers and
/// for what is no number.
pub(super) fn capped(ms: f64) -> Option<u64> {
    // A float-to-integer cast saturates, so that a huge wish ends at the cap.
    (ms >= 0.0).then(|| (ms.ceil() as u64).min(WAIT_MAX_MS))
}

fn date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    fn wait(headers: Headers) -> Option<u64> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)))
            .collect();
        let now = "2026-11-09T10:00:00Z".parse().unwrap();
        from_headers(&headers, now)
    }

    #[test]
    fn the_wait_is_read_from_every_form_and_capped() {
        let table: [(Headers, Option<u64>); 13] = [
            (&[("retry-after", "7")], Some(7_000)),
            (&[("retry-after", " 0 ")], Some(0)),
            (&[("retry-after", "1.5")], Some(1_500)),
            (&[("retry-after", "99999999")], Some(600_000)),
            (&[("retry-after", "-3")], None),
            (&[("retry-after", "nan")], None),
            (&[("retry-after", "soon")], None),
            (
                &[("retry-after-ms", "250"), ("retry-after", "7")],
                Some(250),
            ),
            (
                &[("retry-after-ms", "x"), ("retry-after", "7")],
                Some(7_000),
            ),
            (
                &[("retry-after", "Mon, 09 Nov 2026 10:00:30 GMT")],
                Some(30_000),
            ),
            (&[("retry-after", "Mon, 09 Nov 2026 09:59:00 GMT")], Some(0)),
            (
                &[
                    ("date", "Mon, 09 Nov 2026 08:00:00 GMT"),
                    ("retry-after", "Mon, 09 Nov 2026 08:00:05 GMT"),
                ],
                Some(5_000),
            ),
            (&[], None),
        ];
        for (headers, want) in table {
            assert_eq!(wait(headers), want, "{headers:?}");
        }
    }
}
