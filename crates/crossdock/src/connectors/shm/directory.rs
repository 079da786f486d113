//! The directory of the objects: one user's own, and which place it is.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, fstatfs, mkdir, openat};
use rustix::io::Errno;

use super::options::ShmOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::integrity::checksum;
use crate::posix::make_with_ancestors;
use crate::process::PerProcess;

/// Below it everything is that is no object: locks of processes, what they are writing, what they keep.
pub(super) const STATE: &str = ".crossdock";

/// Where the default directory is.
const SHARED_MEMORY: &str = "/dev/shm";
/// The type of tmpfs, as `statfs` says it.
const TMPFS: i64 = 0x0102_1994;

/// A directory that is open.
pub(super) struct Open {
    pub(super) fd: OwnedFd,
    /// The host, its boot, the mounted file system and the user, in one number.
    pub(super) place: u32,
    /// Whether its files are in memory.
    pub(super) is_memory: bool,
    /// The bytes of the whole file system.
    pub(super) capacity: u64,
}

impl Open {
    /// Whether somebody has removed it.
    pub(super) fn is_gone(&self) -> bool {
        fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// The directory of state. `None` where nobody has written yet.
    pub(super) fn state(&self) -> Result<Option<OwnedFd>, Errno> {
        match open_directory(&self.fd, STATE) {
            Ok(state) => Ok(Some(state)),
            Err(Errno::NOENT) => Ok(None),
            Err(cause) => Err(cause),
        }
    }
}

/// The directory of one connector.
pub(super) struct Directory {
    path: PathBuf,
    /// As the config has it, for messages.
    named: String,
    is_default: bool,
    fd: PerProcess<Open>,
}

impl Directory {
    /// Looks for the directory; it may be missing so far.
    pub(super) fn new(options: &ShmOptions) -> Result<Self> {
        let path = match &options.dir {
            Some(_) => options.resolve_dir()?,
            None => default_path(),
        };
        let named = options.dir().map_or_else(|| path.display().to_string(), str::to_owned);
        let directory = Self { path, named, is_default: options.dir.is_none(), fd: PerProcess::empty() };
        directory.reopen()?;
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, for messages.
    pub(super) fn named(&self) -> &str {
        &self.named
    }

    /// A file of this directory, for messages.
    pub(super) fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.named)
    }

    /// The directory, if it has been there.
    pub(super) fn loaded(&self) -> Option<Arc<Open>> {
        self.fd.load()
    }

    /// For readers.
    ///
    /// # Errors
    /// `Unavailable` if it is not there.
    pub(super) fn open(&self) -> Result<Arc<Open>> {
        match self.fd.load() {
            Some(open) => Ok(open),
            None => self.reopen()?.ok_or_else(|| {
                let message = format!(
                    "the directory {} is not there on this host, and is made by the first put; correct dir if it should be",
                    self.named
                );
                Error::new(ErrorKind::Unavailable, message)
            }),
        }
    }

    /// Which memory it is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn place(&self) -> Result<u32> {
        match self.fd.peek().as_ref() {
            Some(open) => Ok(open.place),
            None => Ok(self.open()?.place),
        }
    }

    /// For writers: made where it is missing.
    pub(super) fn open_to_write(&self) -> Result<Arc<Open>> {
        if let Some(open) = self.fd.load().filter(|open| !open.is_gone()) {
            return Ok(open);
        }
        if let Some(open) = self.reopen()? {
            return Ok(open);
        }
        let failed = |cause| Error::from_io("make the directory", &self.named, cause);
        if self.is_default {
            match mkdir(&self.path, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(cause) => return Err(failed(cause).context("or set dir to a directory on a memory file system")),
            }
        } else {
            make_with_ancestors(&self.path).map_err(failed)?;
        }
        self.reopen()?.ok_or_else(|| failed(Errno::NOENT))
    }

    /// Opens the directory anew. `None` if there is none now.
    pub(super) fn reopen(&self) -> Result<Option<Arc<Open>>> {
        let opened = self.open_existing()?.map(Arc::new);
        if let Some(open) = &opened {
            self.fd.store(open.clone());
        }
        Ok(opened)
    }

    fn open_existing(&self) -> Result<Option<Open>> {
        let failed = |cause| Error::from_io("open the directory", &self.named, cause);
        let fd = match open_directory(CWD, &self.path) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                let message = format!("{} is no directory, but perhaps a link to one; write its real path", self.named);
                return Err(Error::new(ErrorKind::Unavailable, message).permanent());
            }
            Err(cause) => return Err(failed(cause)),
        };
        let stat = fstat(&fd).map_err(failed)?;
        self.refuse_others(&stat)?;
        let system = fstatfs(&fd).map_err(failed)?;
        let capacity = u64::try_from(system.f_bsize).unwrap_or(0).saturating_mul(system.f_blocks);
        let is_memory = system.f_type as i64 == TMPFS;
        Ok(Some(Open { fd, place: place(&stat), is_memory, capacity }))
    }

    /// Who may write to the directory could put other files in the place of objects, or make a reader's map shorter.
    fn refuse_others(&self, stat: &Stat) -> Result<()> {
        let message = if !is_own(stat) {
            format!("the directory {} belongs to user {}; choose one of your own", self.named, stat.st_uid)
        } else if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
            format!("other users may write to the directory {}; chmod it to 700, or choose one below it", self.named)
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Unavailable, message).permanent())
    }
}

/// Whether this belongs to the user that this process acts for.
pub(super) fn is_own(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

/// Opens a directory and nothing else, following no link.
pub(super) fn open_directory<P: rustix::path::Arg>(parent: impl std::os::fd::AsFd, path: P) -> Result<OwnedFd, Errno> {
    openat(parent, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn default_path() -> PathBuf {
    Path::new(SHARED_MEMORY).join(format!("crossdock-{}", rustix::process::geteuid().as_raw()))
}

/// What tells one memory from another, in short. Containers have the boot in common, not the mounted file system.
fn place(stat: &Stat) -> u32 {
    let mut bytes = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    bytes.extend(stat.st_dev.to_le_bytes());
    bytes.extend(stat.st_uid.to_le_bytes());
    let hash = checksum(&bytes);
    (hash ^ hash >> 32) as u32
}
