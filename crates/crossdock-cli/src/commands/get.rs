//! `crossdock get`

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use crossdock::{GetOptions, Integrity, Key};
use serde_json::json;

use crate::destination::write_file;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::keys;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::setup;

const AFTER_HELP: &str = "\
The object's size and checksum are checked before the first byte is written. With -o, FILE appears whole or not at all: \
a FILE that is there already stays as it is until the new one is complete.

Examples:
  crossdock get disk/7c9e6679-7425-40de-944b-e07fc1f90ae7:12 -o copy.npy
  crossdock put data | crossdock get - | sha256sum

Exit codes:
  0  done
  1  no such object
  2  wrong use, key or config
  3  a connector or the output fails, or the object is damaged";

const PIECE: usize = 1 << 20;

/// Read an object
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// A key as put printed it, or - for the first line of standard input
    #[arg(value_name = "KEY|-")]
    key: String,
    /// Write to FILE rather than to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(globals: &Globals, arguments: &Arguments) -> Result<Exit, Failure> {
    let multi = setup::connect(globals)?;
    let key = keys::read_one(&arguments.key)?;
    // On a terminal the object itself is to be seen.
    let is_shown = arguments.output.is_none() && io::stdout().is_terminal();
    let progress = if is_shown { Progress::hidden() } else { Progress::start("get", known_size(&key.connector_key)) };
    // A view spares a copy of a large object.
    let options = GetOptions::view().integrity(Integrity::Checksum);
    let object = multi.get_with(&key, &options)?.ok_or_else(|| Failure::not_found(&key))?;
    match &arguments.output {
        None => to_stdout(&object, &progress)?,
        Some(file) => to_file(&object, file, &progress)?,
    }
    drop(progress);
    if let (Some(file), Format::Json) = (&arguments.output, globals.format) {
        output::json(&json!({"key": key.to_string(), "size": object.len(), "file": file.to_string_lossy()}))?;
    }
    Ok(Exit::Done)
}

fn known_size(key: &Key) -> Option<u64> {
    match key {
        Key::Object(key) => key.size,
        Key::Multi(key) => known_size(&key.connector_key),
        _ => None,
    }
}

fn to_stdout(object: &Bytes, progress: &Progress) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = write_pieces(&mut stdout, object, progress).and_then(|()| stdout.flush());
    output::unless_closed(written).map_err(|cause| output::stdout_failure(&cause))
}

fn to_file(object: &Bytes, file: &Path, progress: &Progress) -> Result<(), Failure> {
    write_file(file, |file| write_pieces(file, object, progress)).map_err(|cause| Failure::output(file, &cause))
}

fn write_pieces(output: &mut impl Write, object: &Bytes, progress: &Progress) -> io::Result<()> {
    for piece in object.chunks(PIECE) {
        output.write_all(piece)?;
        progress.add(piece.len());
    }
    Ok(())
}
