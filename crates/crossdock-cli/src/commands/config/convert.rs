//! `crossdock config convert`

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use crossdock::Flavor;
use crossdock::config::{Config, Format};

use crate::destination::write_file;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::input;
use crate::output;
use crate::setup::{Origin, Setup};

const AFTER_HELP: &str = "\
What ProxyStore would not understand is left out, with a warning on standard error.

Examples:
  crossdock config convert proxystore.json --to toml -o crossdock.toml
  crossdock config convert --to proxystore
  crossdock config convert - --to json < crossdock.toml

Exit codes:
  0  done
  2  wrong use or config
  3  the output fails";

/// Write a config in another form
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The config to convert, or - for standard input [default: the config in effect]
    #[arg(value_name = "FILE|-")]
    input: Option<PathBuf>,
    /// The form to write
    #[arg(long, value_enum, value_name = "FORM")]
    to: Form,
    /// Write to FILE rather than to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// TOML, as people write it
    Toml,
    /// JSON with the same fields
    Json,
    /// JSON in the shape of ProxyStore, with ProxyStore's classes and only what it understands
    Proxystore,
    /// JSON in the shape of ProxyStore, with the classes of crossdock's Python package
    Crossdock,
}

pub(crate) fn run(globals: &Globals, arguments: &Arguments) -> Result<Exit, Failure> {
    let setup = match &arguments.input {
        None => Setup::load(globals)?,
        Some(name) if input::is_stdin(name) => Setup::of(read_stdin()?, Origin::File("standard input".into())),
        Some(name) => Setup::of(Config::from_file(name)?, Origin::File(name.clone())),
    };
    let text = match arguments.to {
        Form::Toml => setup.canonical()?.to_text(Format::Toml)?,
        Form::Json => setup.canonical()?.to_text(Format::Json)?,
        Form::Proxystore => in_shape(globals, &setup, Flavor::Proxystore)?,
        Form::Crossdock => in_shape(globals, &setup, Flavor::Crossdock)?,
    };
    match &arguments.output {
        None => output::print(&text)?,
        Some(file) => write_file(file, |writer| writer.write_all(text.as_bytes()))
            .map_err(|cause| Failure::output(file, &cause))?,
    }
    Ok(Exit::Done)
}

fn read_stdin() -> Result<Config, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().read_to_string(&mut text);
    read.map_err(|cause| Failure::input(Path::new("standard input"), &cause))?;
    Config::from_text(&text).map_err(|error| Failure::from(error).context("standard input holds this config"))
}

fn in_shape(globals: &Globals, setup: &Setup, flavor: Flavor) -> Result<String, Failure> {
    let written = setup.registry.to_proxystore_json(&setup.config, flavor).map_err(|error| setup.locate(error))?;
    for sentence in &written.left_out {
        output::warn(globals.format, sentence);
    }
    Ok(written.text)
}
