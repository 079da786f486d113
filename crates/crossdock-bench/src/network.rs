//! A network of one thread's own, whose loopback interface acknowledges at once.

use std::process::{Command, Stdio};

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Does the work in a thread that has such a network, as have the threads and processes that it starts. The work is told whether
/// that could be had: it needs root, and iproute2.
pub(crate) fn in_own_network<T: Send>(work: impl FnOnce(bool) -> T + Send) -> std::thread::Result<T> {
    std::thread::scope(|scope| scope.spawn(|| work(enter())).join())
}

/// Moves this thread into a new network. Whether it is there, and set up.
#[expect(unsafe_code, reason = "a network of its own for this thread")]
fn enter() -> bool {
    let runs = |arguments: &[&str]| {
        let quiet = || Stdio::null();
        let status = Command::new("ip").args(arguments).stdout(quiet()).stderr(quiet()).status();
        status.is_ok_and(|status| status.success())
    };
    // Not to be left in a network without a loopback interface.
    if !runs(&["-Version"]) {
        return false;
    }
    // SAFETY: only the network is left; descriptors stay shared.
    if unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.is_err() {
        return false;
    }
    let local = ["local", "127.0.0.1", "dev", "lo", "src", "127.0.0.1", "table", "local", "quickack", "1"];
    runs(&["link", "set", "lo", "up"]) && runs(&[&["route", "replace"], &local[..]].concat())
}
