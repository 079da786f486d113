//! System calls of a child process, listed, and made to fail or to kill at a chosen one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::run::Outcome;
use crate::system;

/// One system call of a child: its name, and the how-manieth of this name in the whole process it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) nth: u32,
}

/// What a role prints before its part that counts, and after it.
pub(crate) const BEGIN: &str = "begin";
pub(crate) const END: &str = "end";

fn strace(output: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(output).args(arguments).stdin(Stdio::null());
    command
}

fn with_role(mut command: Command, role: &[&str]) -> Outcome<Output> {
    command.arg("--").arg(std::env::current_exe()?).arg("--role").args(role);
    Ok(system::dies_with_us(&mut command).output()?)
}

/// The calls of `role` between [`BEGIN`] and [`END`].
pub(crate) fn calls(scratch: &Path, role: &[&str]) -> Outcome<Vec<Call>> {
    let trace = scratch.join("trace");
    let output = with_role(strace(&trace, &[]), role)?;
    if !output.status.success() {
        return Err(format!("{role:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = fs::read_to_string(&trace)?;
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut calls = Vec::new();
    let mut counting = false;
    for line in text.lines() {
        let (_, call) = line.split_once(char::is_whitespace).ok_or("not a line of strace")?;
        let call = call.trim_start();
        let Some((name, rest)) = call.split_once('(') else { continue };
        let nth = counts.entry(name).or_default();
        *nth += 1;
        if name == "write" && rest.starts_with(&format!("1, \"{END}")) {
            break;
        }
        if counting {
            calls.push(Call { name: name.to_owned(), nth: *nth });
        }
        counting |= name == "write" && rest.starts_with(&format!("1, \"{BEGIN}"));
    }
    if calls.is_empty() { Err("strace saw no system call".into()) } else { Ok(calls) }
}

/// Runs `role`, with `effect` (such as `error=EIO`) at that call.
pub(crate) fn inject(call: &Call, effect: &str, and_later: bool, role: &[&str]) -> Outcome<Output> {
    let Call { name, nth } = call;
    let later = if and_later { "+" } else { "" };
    let (trace, inject) = (format!("trace={name}"), format!("inject={name}:{effect}:when={nth}{later}"));
    with_role(strace(Path::new("/dev/null"), &["-e", &trace, "-e", &inject]), role)
}
