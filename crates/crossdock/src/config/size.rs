//! Sizes as people write them.

use crate::error::{Error, ErrorKind, Result};

const UNITS: [(&str, u64); 17] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("pib", 1 << 50),
    ("byte", 1),
    ("bytes", 1),
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
];

/// Reads a size in bytes: a number with an optional unit, such as `1000000`, `"1 MB"`, `"64 MiB"` or `"1.5GiB"`.
///
/// Units count in either case: kB, MB, GB, TB, PB are powers of 1,000; KiB, MiB, GiB, TiB, PiB powers of 1,024.
/// Underscores may separate digits. The result is exact: a fraction must come out at whole bytes.
///
/// ```
/// use crossdock::config::parse_size;
/// assert_eq!(parse_size("64 MiB")?, 67_108_864);
/// assert_eq!(parse_size("3MB")?, 3_000_000);
/// assert_eq!(parse_size("1.5 kB")?, 1_500);
/// assert!(parse_size("-1").is_err());
/// # Ok::<(), crossdock::Error>(())
/// ```
///
/// # Errors
/// `InvalidConfig` for anything else, and for sizes of 2^64 bytes and more.
pub fn parse_size(text: &str) -> Result<u64> {
    let refuse = |why: &str| Error::new(ErrorKind::InvalidConfig, format!("{text:?} is not a size: {why}"));
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(refuse("it is below 0"));
    }
    let end = trimmed.find(|c: char| !matches!(c, '0'..='9' | '.' | '_')).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = UNITS
        .iter()
        .find_map(|(name, factor)| (*name == unit).then_some(*factor))
        .ok_or_else(|| refuse("units are B, kB, MB, GB, TB, PB, KiB, MiB, GiB, TiB, PiB"))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if !starts_with_digit(whole) || (number.contains('.') && !starts_with_digit(fraction)) {
        return Err(refuse("it must be a number with an optional unit, such as \"64 MiB\""));
    }
    exact(whole, fraction, factor).ok_or_else(|| refuse("it is no whole number of bytes below 2^64"))
}

fn starts_with_digit(digits: &str) -> bool {
    digits.starts_with(|c: char| c.is_ascii_digit())
}

fn exact(whole: &str, fraction: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = (whole.replace('_', ""), fraction.replace('_', ""));
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled: u128 = format!("{whole}{fraction}").parse().ok()?;
    let bytes = scaled.checked_mul(factor.into())?;
    (bytes % scale == 0).then(|| u64::try_from(bytes / scale).ok()).flatten()
}

/// A size for people: `"3 MB"`, `"1.5 KiB"`, whichever unit is exact, else three digits.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    const NAMES: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let (mut value, mut unit) = (bytes as f64, "bytes");
    for name in NAMES {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, name);
    }
    match (unit, bytes) {
        ("bytes", 1) => "1 byte".to_owned(),
        ("bytes", _) => format!("{bytes} bytes"),
        _ if value < 10.0 => format!("{value:.2} {unit}"),
        _ if value < 100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact() {
        for (text, bytes) in [
            ("0", 0),
            ("18446744073709551615", u64::MAX),
            ("1_000_001", 1_000_001),
            ("1 MB", 1_000_000),
            ("1mib", 1_048_576),
            (" 2.5 GiB ", 2_684_354_560),
            ("0.001kB", 1),
            ("16000 PB", 16_000_000_000_000_000_000),
        ] {
            assert_eq!(parse_size(text).ok(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in
            ["", "MB", ".5 MB", "1.", "1..2", "_1", "-3", "1 XB", "0.5", "18446744073709551616", "1e6", "٣", "1 0"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn people_read_three_digits() {
        let shown = [0, 1, 999, 1000, 12_345, 999_999_999].map(format_size);
        assert_eq!(shown, ["0 bytes", "1 byte", "999 bytes", "1.00 kB", "12.3 kB", "1000 MB"]);
    }
}
