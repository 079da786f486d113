//! Keys from the command line or from standard input.

use std::io::{self, BufRead, Read};
use std::path::Path;

use crossdock::MultiKey;

use crate::failure::Failure;

/// More than any key has; a binary file on standard input is not read to its end.
const LONGEST_LINE: u64 = 1 << 16;

/// All keys, in order; `-` stands for the lines of standard input. All are read before any is used, so that a key that
/// is none stops the command before it has done anything.
pub(crate) fn read_all(arguments: &[String]) -> Result<Vec<MultiKey>, Failure> {
    let mut keys = Vec::with_capacity(arguments.len());
    for argument in arguments {
        if argument == "-" {
            let before = keys.len();
            read_lines(&mut io::stdin().lock(), &mut keys)?;
            // A command in front of the pipe that failed must not look like "all are there".
            if keys.len() == before {
                return Err(Failure::usage("standard input has no keys; pipe them in as lines, as put prints them"));
            }
        } else {
            keys.push(parse(argument)?);
        }
    }
    Ok(keys)
}

/// One key; `-` stands for the first line of standard input.
pub(crate) fn read_one(argument: &str) -> Result<MultiKey, Failure> {
    if argument != "-" {
        return parse(argument);
    }
    match read_line(&mut io::stdin().lock())? {
        Some(line) if !line.trim().is_empty() => parse(&line),
        _ => Err(Failure::usage("standard input has no key on its first line; pipe one in, as put prints it")),
    }
}

fn read_lines(input: &mut impl BufRead, keys: &mut Vec<MultiKey>) -> Result<(), Failure> {
    while let Some(line) = read_line(input)? {
        if !line.trim().is_empty() {
            keys.push(parse(&line)?);
        }
    }
    Ok(())
}

fn read_line(input: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let read = input.take(LONGEST_LINE).read_until(b'\n', &mut line);
    let length = read.map_err(|cause| Failure::input(Path::new("standard input"), &cause))?;
    if length as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
        return Err(Failure::usage("a line of standard input is too long for a key; use keys as put printed them"));
    }
    Ok((length > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
}

fn parse(text: &str) -> Result<MultiKey, Failure> {
    let parsed = text.trim().parse::<MultiKey>();
    parsed.map_err(|why| Failure::from(crossdock::Error::from(why)).context("use keys as put printed them"))
}
