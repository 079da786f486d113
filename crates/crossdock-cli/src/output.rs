//! What is printed, as text for people or JSON for programs. Nothing here panics on a closed pipe.

use std::io::{self, IsTerminal, Write};
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

/// Sentences about something that has a name. On a terminal they are broken between words.
pub(crate) fn notes(notes: &[(String, String)]) -> String {
    let names: Vec<String> = notes.iter().map(|(name, _)| plain(name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let room = terminal_width().map_or(usize::MAX, |columns| columns.saturating_sub(width + 2));
    let lines = |(name, (_, note)): (&String, &(String, String))| {
        let names = std::iter::once(name.as_str()).chain(std::iter::repeat(""));
        let lines = names.zip(broken(&plain(note), room)).map(|(name, line)| format!("{name:width$}  {line}\n"));
        lines.collect::<String>()
    };
    names.iter().zip(notes).map(lines).collect()
}

/// In columns, if standard output is a terminal: not more than people like to read in one line.
fn terminal_width() -> Option<usize> {
    let stdout = io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten()?;
    Some(usize::from(size.ws_col).clamp(40, 110))
}

/// The text in lines of at most that many letters, unless a word has more.
fn broken(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut used, mut last) = (0, 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            lines.push(String::new());
            (used, last) = (0, last + 1);
        }
        if used > 0 {
            lines[last].push(' ');
            used += 1;
        }
        lines[last].push_str(word);
        used += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(broken("one two  three", 7), ["one two", "three"]);
        assert_eq!(broken("a long-word b", 4), ["a", "long-word", "b"]);
        assert_eq!(broken("all of it", usize::MAX), ["all of it"]);
        assert_eq!(broken("", 5), [""]);
    }

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert_eq!(plain("a\x1b[2J\r\nb\u{202e}c ä\t"), r"a\u{1b}[2J\r\nb\u{202e}c ä\t");
    }
}
