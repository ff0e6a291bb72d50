//! Durations as people write them in Istio's resources: `1.5s`, `1m30s`, `100ms`.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A span of time, at least zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    /// Whole seconds.
    pub const fn seconds(count: u64) -> Self {
        Duration(std::time::Duration::from_secs(count))
    }

    /// Milliseconds.
    pub const fn milliseconds(count: u64) -> Self {
        Duration(std::time::Duration::from_millis(count))
    }

    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Reads a sum of numbers with units h, m, s, ms, us, ns.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Duration::default());
        }
        let mut rest = text;
        let mut nanoseconds = 0f64;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let unit = rest
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(rest.len());
            nanoseconds += number
                * match &rest[..unit] {
                    "h" => 3.6e12,
                    "m" => 6e10,
                    "s" => 1e9,
                    "ms" => 1e6,
                    "us" | "µs" => 1e3,
                    "ns" => 1.0,
                    _ => return None,
                };
            rest = &rest[unit..];
        }
        let whole = nanoseconds.round();
        (whole < u64::MAX as f64).then(|| Duration(std::time::Duration::from_nanos(whole as u64)))
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Duration::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no duration, expected e.g. 1.5s or 1m"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Duration;

    #[test]
    fn reads_what_people_write() {
        for (text, expected) in [
            ("1.5s", 1500),
            ("1m30s", 90_000),
            ("100ms", 100),
            ("0s", 0),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                Duration::parse(text),
                Some(Duration::milliseconds(expected))
            );
        }
    }

    #[test]
    fn refuses_what_has_no_unit_or_sign() {
        for text in ["", "5", "s", "-1s", "1x", "1.5.2s"] {
            assert_eq!(Duration::parse(text), None, "{text}");
        }
    }
}
