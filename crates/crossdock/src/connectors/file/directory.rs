//! The directory of the objects: opened, guarded against strangers, opened anew when it has gone stale.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustix::fs::{Mode, OFlags, Stat, fstat, fsync, mkdir, open};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectId;

const MARKER: &str = ".ready";
/// The longest name that file systems take, in bytes.
const MAX_NAME: usize = 255;

/// The name of one object's file: a single component that cannot leave the directory, and its marker's.
pub(super) struct FileName {
    marker: String,
}

impl FileName {
    /// # Errors
    /// `InvalidKey` unless the id is one plain file name.
    pub(super) fn of(id: &ObjectId) -> Result<Self> {
        id.with_str(|id| {
            let refused = id.is_empty()
                || id.len() + MARKER.len() > MAX_NAME
                || id.starts_with('.')
                || id.ends_with(MARKER)
                || id.contains(['/', '\0']);
            if refused {
                let shown: String = id.chars().take(80).collect();
                let message = format!(
                    "{shown:?} cannot be the key of a file: it must be one file name that does not begin with a dot; \
                     use keys as put returned them"
                );
                return Err(Error::new(ErrorKind::InvalidKey, message));
            }
            Ok(Self { marker: [id, MARKER].concat() })
        })
    }

    pub(super) fn object(&self) -> &str {
        self.marker.strip_suffix(MARKER).unwrap_or(&self.marker)
    }

    pub(super) fn marker(&self) -> &str {
        &self.marker
    }
}

pub(super) struct Directory {
    path: PathBuf,
    fd: ArcSwap<OwnedFd>,
    allow_foreign_owner: bool,
}

impl Directory {
    pub(super) fn open(path: &Path, allow_foreign_owner: bool) -> Result<Self> {
        let fd = open_or_make(path, allow_foreign_owner)?;
        Ok(Self { path: path.to_owned(), fd: ArcSwap::from_pointee(fd), allow_foreign_owner })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn fd(&self) -> Arc<OwnedFd> {
        self.fd.load_full()
    }

    /// A file of this directory, for messages.
    pub(super) fn shown(&self, name: &str) -> impl fmt::Display {
        self.path.join(name).display().to_string()
    }

    /// Opens the directory anew: it may have been removed and made again, or an NFS client may look at an old copy.
    /// `None` if there is none now.
    pub(super) fn reopen(&self) -> Result<Option<Arc<OwnedFd>>> {
        let opened = open_existing(&self.path, self.allow_foreign_owner)?;
        Ok(opened.map(|fd| self.replace(fd)))
    }

    fn replace(&self, fd: OwnedFd) -> Arc<OwnedFd> {
        let fd = Arc::new(fd);
        self.fd.store(fd.clone());
        fd
    }

    /// Tries once more in the directory opened or made anew, where the one that was open has been removed.
    pub(super) fn with_retry(&self, attempt: impl Fn(&OwnedFd) -> Result<(), PublishError>) -> Result<()> {
        let dir = self.fd();
        let outcome = match attempt(&dir) {
            Err(PublishError::Io(..)) if fstat(&*dir).is_ok_and(|stat| stat.st_nlink == 0) => {
                attempt(&self.replace(open_or_make(&self.path, self.allow_foreign_owner)?))
            }
            outcome => outcome,
        };
        outcome.map_err(|error| match error {
            PublishError::Io(action, cause) => {
                Error::from_io(action, format_args!("a file in {}", self.path.display()), cause)
            }
            PublishError::Exists => Error::new(ErrorKind::AlreadyExists, "the key holds an object already"),
        })
    }

    /// Files of other users could be changed under a reader.
    pub(super) fn refuse_stranger(&self, name: &str, stat: &Stat) -> Result<()> {
        if self.allow_foreign_owner || is_trusted(stat) {
            return Ok(());
        }
        let message = format!(
            "{} belongs to user {}, who could change it; evict it, or set allow_foreign_owner = true",
            self.shown(name),
            stat.st_uid
        );
        Err(Error::new(ErrorKind::Corrupt, message))
    }

    pub(super) fn sync(&self) -> Result<()> {
        fsync(&*self.fd()).map_err(|cause| Error::from_io("sync", self.path.display(), cause))
    }
}

/// Why nothing was published.
pub(super) enum PublishError {
    /// The key's file is there already.
    Exists,
    /// A system call failed, while doing that.
    Io(&'static str, Errno),
}

fn is_trusted(stat: &Stat) -> bool {
    stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw()
}

fn open_or_make(path: &Path, allow_foreign_owner: bool) -> Result<OwnedFd> {
    if let Some(fd) = open_existing(path, allow_foreign_owner)? {
        return Ok(fd);
    }
    make_with_ancestors(path).map_err(|cause| Error::from_io("make the directory", path.display(), cause))?;
    open_existing(path, allow_foreign_owner)?
        .ok_or_else(|| Error::from_io("open the directory", path.display(), Errno::NOENT))
}

fn open_existing(path: &Path, allow_foreign_owner: bool) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = match open(path, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(cause) => return Err(Error::from_io("open the directory", path.display(), cause)),
    };
    let stat = fstat(&fd).map_err(|cause| Error::from_io("examine the directory", path.display(), cause))?;
    if !allow_foreign_owner && !is_trusted(&stat) {
        let message = format!(
            "the directory {} belongs to user {}, who could change the objects in it; choose one of your own, or set \
             allow_foreign_owner = true",
            path.display(),
            stat.st_uid
        );
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    Ok(Some(fd))
}

/// Makes the directory and its missing ancestors, each on the disk before something is put into it: a durable object
/// in a directory that a power cut takes away is lost.
fn make_with_ancestors(path: &Path) -> Result<(), Errno> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match mkdir(path, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(Errno::NOENT) => {
            make_with_ancestors(parent.ok_or(Errno::NOENT)?)?;
            match mkdir(path, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(cause) => return Err(cause),
            }
        }
        Err(cause) => return Err(cause),
    }
    let Some(parent) = parent else { return Ok(()) };
    let parent = open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    fsync(&parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_names_are_names() {
        for id in ["7c9e6679-7425-40de-944b-e07fc1f90ae7", "a", "a..b", "~", "-", "ä", &"x".repeat(249)] {
            assert!(FileName::of(&id.into()).is_ok(), "{id}");
        }
        for id in
            ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a\0b", "a.ready", ".ready", &"x".repeat(250)]
        {
            let refused = FileName::of(&id.into()).map(|name| name.marker).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidKey, "{id}");
        }
    }
}
