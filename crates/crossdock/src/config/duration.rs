//! Durations as people write them.

use std::time::Duration;

use crate::config::value::Value;
use crate::error::{Error, ErrorKind, Result};

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration: a whole number and a unit, such as `"500ms"`, `"15s"`, `"10m"`, `"1h"` or `"2d"`; or `"0"`.
///
/// ```
/// use std::time::Duration;
/// use crossdock::config::parse_duration;
/// assert_eq!(parse_duration("10m")?, Duration::from_secs(600));
/// assert!(parse_duration("10").is_err());
/// # Ok::<(), crossdock::Error>(())
/// ```
///
/// # Errors
/// `InvalidConfig` for anything else, and for 2^64 milliseconds and more.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let refuse = || {
        let message =
            format!("{text:?} is not a duration: write a whole number and a unit: 500ms, 30s, 10m, 1h, 2d, or 0");
        Error::new(ErrorKind::InvalidConfig, message)
    };
    let trimmed = text.trim();
    let end = trimmed.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let milliseconds = match unit.trim() {
        "" if number == 0 => 1,
        unit => UNITS.iter().find_map(|(name, worth)| (*name == unit).then_some(*worth)).ok_or_else(refuse)?,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(refuse)
}

/// A duration for people: `"1.5 s"`, `"20 ms"`, `"85 us"`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = match seconds {
        _ if seconds >= 1.0 => (seconds, "s"),
        _ if seconds >= 1e-3 => (seconds * 1e3, "ms"),
        _ => (seconds * 1e6, "us"),
    };
    if value >= 100.0 || value.fract() < 0.05 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Seconds, as Python's constructors take them; milliseconds where a number of seconds would not be exact, as after years.
impl From<Duration> for Value {
    fn from(duration: Duration) -> Self {
        let seconds = duration.as_secs_f64();
        match i64::try_from(duration.as_secs()) {
            Ok(seconds) if duration.subsec_nanos() == 0 => seconds.into(),
            _ if Duration::try_from_secs_f64(seconds) == Ok(duration) => Self::Float(seconds),
            _ => format!("{}ms", duration.as_millis()).as_str().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, milliseconds) in
            [("0", 0), ("500ms", 500), ("30s", 30_000), ("10m", 600_000), (" 2 d ", 172_800_000), ("0h", 0)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
        for text in ["", "h", "1", "-1h", "1.5h", "1w", "99999999999999999999s", "9999999999999999999d", "1h30m"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_exactly() {
        for (duration, written) in [
            (Duration::from_secs(90), Value::Integer(90)),
            (Duration::from_millis(2_500), Value::Float(2.5)),
            (Duration::from_millis(5_092_233_720_368_540), Value::String("5092233720368540ms".to_owned())),
        ] {
            assert_eq!(Value::from(duration), written);
        }
    }

    #[test]
    fn people_read_two_or_three_digits() {
        let shown = [15_000_000, 1_500_000, 20_000, 85].map(|micros| format_duration(Duration::from_micros(micros)));
        assert_eq!(shown, ["15 s", "1.5 s", "20 ms", "85 us"]);
    }
}
