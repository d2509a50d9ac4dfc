//! Sizes, rates and times as people write them: `64MiB`, `5MiB/s`, `10s`.
//!
//! One grammar for configuration files, command lines and answers: a decimal number, perhaps with a fraction, then a unit. Sizes know
//! `B`, `KiB`, `MiB`, `GiB`, `TiB` (powers of 1,024) and `kB`, `MB`, `GB`, `TB` (powers of 1,000); a bare number is bytes. Times know `ms`, `s`,
//! `m`, `h`, `d` and want a unit. What [`Display`](fmt::Display) writes is exact and reads back as the same value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

/// Bytes per second; written with or without `/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Rate(pub u64);

/// A span of time, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub Duration);

/// Why a text is no size, rate or time; says what one looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} such as `{example}`")]
pub struct UnitError {
    text: String,
    kind: &'static str,
    example: &'static str,
}

const KIB: u64 = 1 << 10;
const SIZES: &[(&str, u64)] = &[
    ("TiB", KIB * KIB * KIB * KIB),
    ("GiB", KIB * KIB * KIB),
    ("MiB", KIB * KIB),
    ("KiB", KIB),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];
/// Milliseconds.
const TIMES: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        bytes(text.trim()).map(Self).ok_or_else(|| UnitError {
            text: text.to_owned(),
            kind: "size",
            example: "64MiB",
        })
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let number = text.trim();
        let number = number.strip_suffix("/s").unwrap_or(number);
        bytes(number).map(Self).ok_or_else(|| UnitError {
            text: text.to_owned(),
            kind: "rate",
            example: "5MiB/s",
        })
    }
}

impl FromStr for Time {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text.trim());
        let millis = TIMES
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, scale)| scaled(number, *scale));
        let time = millis.map(|millis| Self(Duration::from_millis(millis)));
        time.ok_or_else(|| UnitError {
            text: text.to_owned(),
            kind: "time",
            example: "10s",
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZES
            .iter()
            .find(|(_, scale)| self.0 != 0 && self.0.is_multiple_of(*scale));
        let (name, scale) = unit.unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / scale)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Size(self.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let unit = TIMES
            .iter()
            .rev()
            .find(|(_, scale)| millis != 0 && millis.is_multiple_of(u128::from(*scale)));
        let (name, scale) = unit.unwrap_or(&("s", 1_000));
        write!(f, "{}{name}", millis / u128::from(*scale))
    }
}

macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct AsText;
                impl de::Visitor<'_> for AsText {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a number with a unit, in quotes")
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(AsText)
            }
        }
    )*};
}

as_text!(Size Rate Time);

/// Where the number ends and the unit begins.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text);
    let scale = match unit {
        "" => 1,
        unit => {
            SIZES
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))?
                .1
        }
    };
    scaled(number, scale)
}

/// `number` (digits, perhaps with a fraction) times `scale`, rounded down; `None` if it is no number or too large.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Beyond nine digits a fraction makes no difference that anybody means.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let parts: u64 = fraction.parse().ok()?;
    let tenths = 10_u64.pow(fraction.len() as u32);
    let rest = u128::from(parts) * u128::from(scale) / u128::from(tenths);
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(scale)?
        .checked_add(u64::try_from(rest).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_rates_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("100kB", 100_000),
            ("2TB", 2_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(format!("{text}/s").parse(), Ok(Rate(bytes)), "{text}/s");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in [
            ("10s", 10_000),
            ("250ms", 250),
            ("1.5m", 90_000),
            ("30d", 2_592_000_000),
        ] {
            let time = Time(Duration::from_millis(millis));
            assert_eq!(text.parse(), Ok(time), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_an_example() {
        for text in ["", "MiB", "-1", "1.2.3", ".", "64 apples", "99999999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["", "10", "s", "10 years", "-1s"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
        let error = "fast".parse::<Rate>().unwrap_err();
        assert_eq!(error.to_string(), "`fast` is not a rate such as `5MiB/s`");
    }

    #[test]
    fn a_bare_number_in_a_file_is_bytes_but_no_time() {
        assert_eq!(serde_json::from_str::<Size>("17").unwrap(), Size(17));
        assert_eq!(
            serde_json::from_str::<Rate>("\"1KiB\"").unwrap(),
            Rate(1024)
        );
        assert!(serde_json::from_str::<Time>("17").is_err());
        assert!(serde_json::from_str::<Size>("-1").is_err());
    }

    #[test]
    fn quantities_are_written_in_the_largest_unit_that_is_exact() {
        assert_eq!(Size(64 << 20).to_string(), "64MiB");
        assert_eq!(Size(1_500_000).to_string(), "1500kB");
        assert_eq!(Size(1_000_001).to_string(), "1000001B");
        assert_eq!(Size(0).to_string(), "0B");
        assert_eq!(Rate(5 << 20).to_string(), "5MiB/s");
        assert_eq!(Time(Duration::from_secs(300)).to_string(), "5m");
        assert_eq!(Time(Duration::ZERO).to_string(), "0s");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value: u64, millis in 0..u64::MAX / 2) {
            prop_assert_eq!(Size(value).to_string().parse(), Ok(Size(value)));
            prop_assert_eq!(Rate(value).to_string().parse(), Ok(Rate(value)));
            let time = Time(Duration::from_millis(millis));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = (text.parse::<Size>(), text.parse::<Rate>(), text.parse::<Time>());
        }
    }
}
