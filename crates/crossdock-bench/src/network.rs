//! A part of the run as a process of its own, in a network whose loopback interface acknowledges at once.

use std::fs;
use std::process::{Command, Stdio};

use crossdock_bench::Outcome;
use serde_json::Value;

/// The script that has the network.
const IN_OWN_NETWORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/own-network");
const NOT_HAD: &str = "S3 in a network of its own: needs root and iproute2; late acknowledgements are in the figures";

/// What this program says as JSON if it is run with these arguments, in such a network where that may be had.
pub(crate) fn apart(arguments: &[&str]) -> Outcome<Value> {
    let file = tempfile::NamedTempFile::new()?;
    let program = std::env::current_exe()?;
    let is_own =
        Command::new(IN_OWN_NETWORK).arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    let mut command = Command::new(if is_own { IN_OWN_NETWORK } else { "env" });
    let status = command.arg(program).args(arguments).arg("--json").arg(file.path()).status()?;
    if !status.success() {
        return Err(format!("its process ended with {status}").into());
    }
    let mut found: Value = serde_json::from_slice(&fs::read(file.path())?)?;
    if let Some(absent) = found.get_mut("absent").and_then(Value::as_array_mut).filter(|_| !is_own) {
        absent.push(NOT_HAD.into());
    }
    Ok(found)
}

/// Adds what another process found to a report.
pub(crate) fn add(report: &mut Value, found: Value) {
    let Value::Object(found) = found else { return };
    for (field, value) in found {
        match (report.get_mut(&field), value) {
            (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
            (Some(Value::Object(all)), Value::Object(more)) if field == "versions" => all.extend(more),
            _ => {}
        }
    }
}
