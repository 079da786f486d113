//! Answers `["pattern", "hostname"]` lines on standard input, one line of JSON each:
//! `true`, `false`, `{"error": "...", "reason": "...", "position": 0}`,
//! `{"limit": "..."}` or, where Python itself fails, `{"broken": "..."}`.

use std::io::{self, BufRead, Write};

use crossdock::pattern::HostPattern;
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let (pattern, hostname): (String, String) = serde_json::from_str(&line?)?;
        writeln!(out, "{}", answer(&pattern, &hostname))?;
    }
    out.flush()
}

fn answer(pattern: &str, hostname: &str) -> Value {
    let pattern = match HostPattern::new(pattern) {
        Ok(pattern) => pattern,
        Err(error) => {
            return json!({
                "error": error.to_string(),
                "reason": error.reason(),
                "position": error.position(),
            });
        }
    };
    match pattern.is_match(hostname) {
        Ok(answer) => Value::Bool(answer),
        Err(error) if error.is_python_failure() => json!({ "broken": error.to_string() }),
        Err(error) => json!({ "limit": error.to_string() }),
    }
}
