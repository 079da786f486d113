use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Against hangs only.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer. `Err` is why there is none yet; the last one is told after [`LIMIT`].
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let why = match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => String::new(),
            Err(error) => format!(" ({error})"),
        };
        if begin.elapsed() > LIMIT {
            return Err(Error::failed(format!("{what} did not come about within {} s{why}", LIMIT.as_secs())));
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
