//! Times as texts. Which time it is, is handed in.

/// A time in ms since 1970 as RFC 3339, in UTC; `None` for 0, which stands for none, and for what is no time.
pub fn rfc3339(ms: u64) -> Option<String> {
    let ms = i64::try_from(ms).ok().filter(|ms| *ms > 0)?;
    let time = jiff::Timestamp::from_millisecond(ms).ok()?;
    Some(format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_to_the_millisecond_and_nothing_is_said_of_none() {
        let at = rfc3339(1_800_000_000_001);
        assert_eq!(at.as_deref(), Some("2027-01-15T08:00:00.001Z"));
        assert_eq!((rfc3339(0), rfc3339(u64::MAX)), (None, None));
        assert_eq!(rfc3339(i64::MAX as u64), None);
    }
}
