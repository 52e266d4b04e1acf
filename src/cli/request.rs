//! What `quote` and `submit` have in common: reading a request from flags.

use serde_json::{Map, Value};

use super::failure::{Failure, Kind};
use crate::domain::catalogue::Catalogue;
use crate::domain::credits::Ucr;
use crate::domain::failure::FailureClass;
use crate::domain::ids::AccountId;
use crate::producer::Asking;

/// A tool and what it is given.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RequestArgs {
    /// The tool, by its name in the catalogue
    #[arg(long, value_name = "NAME")]
    pub(super) tool: Option<String>,
    /// One of the tool's parameters; may be repeated. Texts as they are, everything else as JSON
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(super) params: Vec<String>,
    /// Pin one of the tool's routes
    #[arg(long, value_name = "NAME")]
    pub(super) route: Option<String>,
}

impl RequestArgs {
    /// The tool, which has to be named.
    pub(super) fn tool(&self) -> Result<String, Failure> {
        let missing = || Failure::new(Kind::Usage, "--tool NAME is missing");
        self.tool.clone().ok_or_else(missing)
    }

    /// The request as the producer takes it. Values are read by the types the catalogue gives them.
    pub(super) fn asking(
        self,
        account: AccountId,
        catalogue: &Catalogue,
    ) -> Result<Asking, Failure> {
        let tool = self.tool()?;
        let known = catalogue.tool(&tool);
        let params = params(&self.params, |name, text| {
            known.map_or_else(
                || Value::String(text.to_owned()),
                |tool| tool.parameters.value_from_text(name, text),
            )
        })?;
        Ok(Asking {
            account,
            tool,
            params,
            route: self.route,
        })
    }
}

/// Parameters out of `NAME=VALUE`, each read as its type asks.
pub(super) fn params(
    pairs: &[String],
    read: impl Fn(&str, &str) -> Value,
) -> Result<Map<String, Value>, Failure> {
    let mut params = Map::new();
    for pair in pairs {
        let (name, text) = pair.split_once('=').ok_or_else(|| {
            Failure::new(Kind::Usage, format!("--param {pair:?} is not NAME=VALUE"))
        })?;
        if params.insert(name.to_owned(), read(name, text)).is_some() {
            let message = format!("--param {name} is given twice");
            return Err(Failure::new(Kind::Usage, message));
        }
    }
    Ok(params)
}

/// Credits as they are written on a command line, above zero.
pub(super) fn positive_credits(text: &str) -> Result<Ucr, Failure> {
    let amount = Ucr::parse_credits(text)?;
    if amount.is_zero() {
        return Err(Failure::new(
            Kind::BadAmount,
            "the amount must be above zero",
        ));
    }
    Ok(amount)
}

/// A length of time as it is written on a command line (`90s`, `1h 30m`), in ms.
pub(super) fn span_ms(text: &str) -> Result<u64, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "write a time such as 10s, 5m or 1h30m".to_owned())?;
    u64::try_from(span.as_millis()).map_err(|_| "a length of time cannot be negative".to_owned())
}

/// A time in the future as it is written on a command line, in ms since 1970.
pub(super) fn time_ms(text: &str) -> Result<u64, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| "write a time such as 2027-01-31T12:00:00Z".to_owned())?;
    u64::try_from(time.as_millisecond()).map_err(|_| "that is before 1970".to_owned())
}

/// A failure class as it is written on a command line.
pub(super) fn failure_class(word: &str) -> Result<FailureClass, String> {
    let known = FailureClass::ALL.map(FailureClass::as_str);
    FailureClass::from_word(word).ok_or_else(|| format!("it is one of {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_need_a_unit() {
        for (text, ms) in [
            ("10s", Some(10_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("0s", Some(0)),
            ("10", None),
            ("-5s", None),
            ("soon", None),
        ] {
            assert_eq!(span_ms(text).ok(), ms, "{text}");
        }
    }

    #[test]
    fn times_need_an_offset() {
        assert_eq!(time_ms("2027-01-15T08:00:00Z"), Ok(1_800_000_000_000));
        assert_eq!(time_ms("2027-01-15T09:00:00+01:00"), Ok(1_800_000_000_000));
        for text in ["2027-01-15", "2027-01-15T08:00:00", "1960-01-01T00:00:00Z"] {
            assert!(time_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_above_zero() {
        assert_eq!(positive_credits("0.5").ok().map(Ucr::get), Some(500_000));
        for text in ["0", "0.000000", "-1", "9007199254.740992", "many", ""] {
            let refused = positive_credits(text).unwrap_err();
            assert_eq!(refused.kind(), Kind::BadAmount, "{text}");
        }
    }
}
