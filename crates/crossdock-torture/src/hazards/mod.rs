//! The hazards, one file each.

mod close;
mod configs;
mod corrupt;
mod evict_race;
mod faults;
mod fork;
mod full;
mod keys;
mod kill;
mod kill_calls;
mod patterns;
mod power_cut;
mod quota;
mod redis;
pub(crate) mod secrets;
pub(crate) mod shm;
mod short_writes;
mod writers;

use std::path::Path;
use std::process::{Command, Stdio};

use crossdock_servers::Program;

use crate::run::{Outcome, Run};
use crate::system;

/// Something that could go wrong, how often it is attempted, and what must not be found then.
pub(crate) struct Hazard {
    pub(crate) name: &'static str,
    pub(crate) looked_for: &'static str,
    pub(crate) small: u64,
    pub(crate) full: u64,
    pub(crate) needs: &'static [Need],
    pub(crate) run: fn(&mut Run) -> Outcome,
}

/// Every hazard, in the order of the table.
pub(crate) const ALL: &[Hazard] = &[
    power_cut::HAZARD,
    kill::HAZARD,
    kill_calls::HAZARD,
    faults::HAZARD,
    short_writes::HAZARD,
    writers::HAZARD,
    corrupt::HAZARD,
    evict_race::HAZARD,
    close::HAZARD,
    full::HAZARD,
    quota::HAZARD,
    fork::HAZARD,
    keys::HAZARD,
    configs::HAZARD,
    secrets::HAZARD,
    patterns::HAZARD,
    shm::kill::HAZARD,
    shm::views::HAZARD,
    shm::readers::HAZARD,
    shm::full::HAZARD,
    redis::kill::HAZARD,
    redis::deadlines::HAZARD,
    redis::replies::HAZARD,
    redis::fallback::HAZARD,
    redis::clear::HAZARD,
    fork::OVER_REDIS,
    redis::keys::HAZARD,
    redis::secrets::HAZARD,
];

pub(crate) fn named(name: &str) -> Option<&'static Hazard> {
    ALL.iter().find(|hazard| hazard.name == name)
}

/// What a hazard needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Root, to make devices and files of other users.
    Root,
    /// Root, a mount namespace, loop devices.
    Mounts,
    /// `mkfs.ext4`.
    Ext4,
    /// `strace`, allowed to trace its children.
    Strace,
    /// `redis-server`.
    Redis,
    /// `openssl`, for certificates.
    Openssl,
    /// `/dev/shm`, to write to.
    SharedMemory,
}

impl Need {
    /// What is missing, if anything.
    pub(crate) fn missing(self) -> Option<String> {
        let (there, missing) = match self {
            Self::SharedMemory => (tempfile::tempdir_in("/dev/shm").is_ok(), "no /dev/shm to write to"),
            Self::Root => (system::is_root(), "not root"),
            Self::Mounts => (system::is_root() && Path::new("/proc/self/ns/mnt").exists(), "no root to mount with"),
            Self::Ext4 => (
                runs("mkfs.ext4", &["-V"]) && Path::new("/dev/loop-control").exists(),
                "no mkfs.ext4 or no loop devices",
            ),
            Self::Strace => (runs("strace", &["-qq", "-o", "/dev/null", "true"]), "no strace that works"),
            Self::Redis => return crossdock_servers::missing(&[Program::Redis]),
            Self::Openssl => return crossdock_servers::missing(&[Program::Openssl]),
        };
        (!there).then(|| missing.to_owned())
    }
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let quiet = || Stdio::null();
    let status = Command::new(program).args(arguments).stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
    status.is_ok_and(|status| status.success())
}
