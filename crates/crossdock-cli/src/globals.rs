//! The options of every command.

use std::path::PathBuf;

use clap::Args;

use crate::output::Format;

const HEADING: &str = "Options of every command";
const CONFIG_HELP: &str = "The config file, TOML or JSON [default: $CROSSDOCK_CONFIG, else the embedded default]";

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct Globals {
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING, help = CONFIG_HELP)]
    pub(crate) config: Option<PathBuf>,
    /// How answers and errors are printed
    #[arg(long, global = true, value_enum, default_value_t, help_heading = HEADING)]
    #[arg(hide_possible_values = true, value_name = "text|json")]
    pub(crate) format: Format,
}
