//! One file per command: its arguments, its help, and `run`.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod evict;
pub(crate) mod exists;
pub(crate) mod explain;
pub(crate) mod gc;
pub(crate) mod get;
pub(crate) mod put;
