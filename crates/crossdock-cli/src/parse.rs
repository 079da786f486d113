//! Values of options: sizes and durations as people write them.

use std::time::Duration;

/// A size such as `3MB`, for clap.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    crossdock::config::parse_size(text).map_err(|error| error.message().to_owned())
}

/// A duration such as `30s`, `10m`, `1h`, `2d` or `0`, for clap.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a duration: write a whole number and a unit: 30s, 10m, 1h, 2d, or 0");
    let text_end = text.trim().find(|letter: char| !letter.is_ascii_digit());
    let (number, unit) = text.trim().split_at(text_end.unwrap_or(text.trim().len()));
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "" if number == 0 => 1,
        _ => return Err(refuse()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [("0", 0), ("30s", 30), ("10m", 600), ("1h", 3600), (" 2 d ", 172_800), ("0h", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "1", "-1h", "1.5h", "1w", "99999999999999999999s", "9999999999999999999d", "1h30m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
