//! Amounts of credits, as whole micro-credits.
//!
//! Every amount in the house is a [`Ucr`]: never negative, never above 2^53 - 1, so that a script
//! in the store can compare it as a double without losing a digit. Nothing here rounds: text with
//! more than six decimals is refused, sums that leave the range are refused, and nothing saturates.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Micro-credits in one credit.
pub const UCR_PER_CREDIT: i64 = 1_000_000;

/// Decimals of a credit that a micro-credit can hold.
const DECIMALS_MAX: usize = 6;

/// An amount in micro-credits (ucr), from zero up to [`Ucr::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ucr(i64);

/// Why a number or a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// An amount is never below zero; direction is said by the operation, not by a sign.
    #[error("read the amount: it is negative")]
    Negative,
    /// Above 2^53 - 1 micro-credits, where a double starts to lose digits.
    #[error("read the amount: it is above {} credits", Ucr::MAX.credits())]
    TooLarge,
    /// More decimals than a micro-credit has; rounding it silently would change somebody's money.
    #[error("read the amount: it has more than six decimals")]
    TooPrecise,
    /// Not a decimal number.
    #[error("read the amount: {0:?} is not a plain decimal number")]
    NotANumber(String),
}

impl Ucr {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount, 2^53 - 1: the last whole number a double can tell from its neighbours.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The amount of `ucr` micro-credits; refused when negative or above [`Ucr::MAX`].
    pub const fn new(ucr: i64) -> Result<Self, AmountError> {
        if ucr < 0 {
            return Err(AmountError::Negative);
        }
        if ucr > Self::MAX.0 {
            return Err(AmountError::TooLarge);
        }
        Ok(Self(ucr))
    }

    /// Whole credits. Every `u32` fits: 2^32 credits are less than half of [`Ucr::MAX`].
    pub const fn from_credits(credits: u32) -> Self {
        Self(credits as i64 * UCR_PER_CREDIT)
    }

    /// Reads credits as people write them: `100`, `0.5`. Zero is allowed; callers that need a
    /// positive amount refuse it themselves. Signs, exponents, spaces and bare dots are refused.
    pub fn parse_credits(text: &str) -> Result<Self, AmountError> {
        let unreadable = || AmountError::NotANumber(text.to_owned());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        if is_digits(whole.strip_prefix('-').unwrap_or(whole)) && is_digits(decimals) {
            if whole.starts_with('-') {
                return Err(AmountError::Negative);
            }
        } else {
            return Err(unreadable());
        }
        if decimals.len() > DECIMALS_MAX {
            return Err(AmountError::TooPrecise);
        }
        let whole: i64 = whole.parse().map_err(|_| AmountError::TooLarge)?;
        let micros: i64 = format!("{decimals:0<DECIMALS_MAX$}")
            .parse()
            .map_err(|_| unreadable())?;
        let ucr = whole
            .checked_mul(UCR_PER_CREDIT)
            .and_then(|ucr| ucr.checked_add(micros));
        Self::new(ucr.ok_or(AmountError::TooLarge)?)
    }

    /// The number of micro-credits.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// True for an amount of nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` when it is above [`Ucr::MAX`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::new(self.0.checked_add(other.0)?).ok()
    }

    /// The difference, or `None` when `other` is the larger one.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::new(self.0.checked_sub(other.0)?).ok()
    }

    /// Credits as people read them, without trailing zeros: `35`, `0.5`.
    pub fn credits(self) -> String {
        let (whole, micros) = (self.0 / UCR_PER_CREDIT, self.0 % UCR_PER_CREDIT);
        if micros == 0 {
            return whole.to_string();
        }
        let decimals = format!("{micros:0DECIMALS_MAX$}");
        format!("{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl fmt::Display for Ucr {
    /// The decimal integer of micro-credits, as it travels to the store.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Ucr {
    type Err = AmountError;

    /// Reads what `Display` writes: micro-credits, digits only.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        if !is_digits(text.strip_prefix('-').unwrap_or(text)) {
            return Err(AmountError::NotANumber(text.to_owned()));
        }
        if text.starts_with('-') {
            return Err(AmountError::Negative);
        }
        Self::new(text.parse().map_err(|_| AmountError::TooLarge)?)
    }
}

impl Serialize for Ucr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Ucr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credits_are_read_as_people_write_them() {
        for (text, ucr) in [
            ("0", 0),
            ("100", 100_000_000),
            ("0.5", 500_000),
            ("1.000001", 1_000_001),
            ("007.50", 7_500_000),
            ("9007199254.740991", Ucr::MAX.get()),
        ] {
            assert_eq!(Ucr::parse_credits(text).map(Ucr::get), Ok(ucr), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_amount_is_refused_by_its_reason() {
        for text in [
            "", ".", "5.", ".5", "+5", " 5", "1e3", "5,0", "5.5.5", "0x10", "--5", "-", "٣",
        ] {
            assert!(
                matches!(Ucr::parse_credits(text), Err(AmountError::NotANumber(_))),
                "{text:?}"
            );
        }
        assert_eq!(Ucr::parse_credits("-5"), Err(AmountError::Negative));
        assert_eq!(
            Ucr::parse_credits("0.0000001"),
            Err(AmountError::TooPrecise)
        );
        for text in ["9007199254.740992", "9007199255", "99999999999999999999999"] {
            assert_eq!(
                Ucr::parse_credits(text),
                Err(AmountError::TooLarge),
                "{text}"
            );
        }
    }

    #[test]
    fn micro_credits_are_plain_digits() {
        assert_eq!("35000000".parse(), Ok(Ucr::from_credits(35)));
        assert_eq!("-1".parse::<Ucr>(), Err(AmountError::Negative));
        assert_eq!(
            "9007199254740992".parse::<Ucr>(),
            Err(AmountError::TooLarge)
        );
        for text in ["", "+1", "1.0", "1e6", " 1"] {
            assert!(
                matches!(text.parse::<Ucr>(), Err(AmountError::NotANumber(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn sums_leave_the_range_only_as_none() {
        let one = Ucr::from_credits(1);
        assert_eq!(Ucr::MAX.checked_add(one), None);
        assert_eq!(Ucr::ZERO.checked_sub(one), None);
        assert_eq!(one.checked_sub(one), Some(Ucr::ZERO));
        assert_eq!(
            Ucr::from_credits(u32::MAX).get(),
            i64::from(u32::MAX) * UCR_PER_CREDIT
        );
    }

    #[test]
    fn amounts_are_integers_in_json() {
        let json = serde_json::to_string(&Ucr::from_credits(35)).unwrap();
        assert_eq!(json, "35000000");
        assert_eq!(
            serde_json::from_str::<Ucr>(&json).unwrap(),
            Ucr::from_credits(35)
        );
        for json in ["-1", "1.5", "\"35\"", "9007199254740992"] {
            assert!(serde_json::from_str::<Ucr>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_survives_both_of_its_texts(ucr in 0..=Ucr::MAX.get()) {
            let amount = Ucr::new(ucr).unwrap();
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
            prop_assert_eq!(Ucr::parse_credits(&amount.credits()), Ok(amount));
        }
    }
}
