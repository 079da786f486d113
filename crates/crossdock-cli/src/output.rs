//! What is printed, as text for people or JSON for programs. Nothing here panics on a closed pipe.

use std::io::{self, Write};
use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// How answers and errors are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Plain text.
    #[default]
    Text,
    /// JSON, one value a line; errors too.
    Json,
}

/// A line on standard output. A reader that has gone away wants no more: the command goes on without words.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// A value as one line of JSON on standard output.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&to_json(value)?)
}

/// Text on standard output as it is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    unless_closed(write_stdout(text.as_bytes())).map_err(|cause| stdout_failure(&cause))
}

/// A line that must arrive: a closed pipe is an error here too.
pub(crate) fn deliver(text: &str) -> io::Result<()> {
    write_stdout(format!("{text}\n").as_bytes())
}

/// Forgives that the reader has gone away.
pub(crate) fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

pub(crate) fn stdout_failure(cause: &io::Error) -> Failure {
    Failure::output(Path::new("standard output"), cause)
}

/// A value as one line of JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|cause| Failure::usage(format!("this cannot be written as JSON: {cause}")))
}

fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    // The runtime would flush at the end as well, and ignore a full disk.
    stdout.flush()
}

/// A warning on standard error.
pub(crate) fn warn(format: Format, message: &str) {
    complain(&match format {
        Format::Text => format!("crossdock: warning: {}", plain(message)),
        Format::Json => serde_json::json!({"warning": {"message": message}}).to_string(),
    });
}

/// The failure of the command on standard error.
pub(crate) fn fail(format: Format, failure: &Failure) {
    complain(&match format {
        Format::Text => format!("crossdock: {}", plain(&failure.to_string())),
        Format::Json => failure.to_json().to_string(),
    });
}

/// Where standard error does not work either, the exit code must do.
fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The text on one line, without anything that a terminal would obey or show out of order.
pub(crate) fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        let reorders = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || reorders {
            escaped.extend(letter.escape_default());
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// Rows of as many cells, in columns; each cell on one line.
pub(crate) fn grid<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(widest);
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Two columns, each cell on one line.
pub(crate) fn columns(rows: &[(String, String)]) -> String {
    let rows: Vec<(String, String)> = rows.iter().map(|(left, right)| (plain(left), plain(right))).collect();
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(left, right)| format!("{left:width$}  {right}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert_eq!(plain("a\x1b[2J\r\nb\u{202e}c ä\t"), r"a\u{1b}[2J\r\nb\u{202e}c ä\t");
    }
}
