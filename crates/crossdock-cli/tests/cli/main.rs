//! The real binary, run as people and scripts run it: in a directory of its own, with an empty environment.

mod check;
mod common;
mod config;
mod evict;
mod exists;
mod explain;
mod gc;
mod get;
mod hostile;
mod put;
mod usage;
