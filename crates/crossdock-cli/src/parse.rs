//! Values of options: sizes and durations as people write them.

use std::time::Duration;

/// A size such as `3MB`, for clap.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    crossdock::config::parse_size(text).map_err(|error| error.message().to_owned())
}

/// A duration such as `30s`, `10m`, `1h`, `2d` or `0`, for clap.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    crossdock::config::parse_duration(text).map_err(|error| error.message().to_owned())
}
