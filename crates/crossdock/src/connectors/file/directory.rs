//! The directory of the objects: opened, guarded against strangers, opened anew when it has gone stale.

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, Stat, fstat, fsync, open, stat};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectId;
use crate::posix::make_with_ancestors;
use crate::process::PerProcess;

use super::options::FileOptions;

/// What a marker's name has more than its object's.
pub(super) const MARKER: &str = ".ready";
/// The longest name that file systems take, in bytes.
const MAX_NAME: usize = 255;

/// The name of one object's file: a single component that cannot leave the directory, and its marker's.
pub(super) struct FileName {
    marker: String,
    is_uuid: bool,
}

impl FileName {
    /// # Errors
    /// `InvalidKey` unless the id is one plain file name.
    pub(super) fn of(id: &ObjectId) -> Result<Self> {
        let is_uuid = id.as_uuid().is_some();
        id.with_str(|text| {
            if !is_uuid && is_no_name(text) {
                let shown: String = text.chars().take(80).collect();
                let message = format!(
                    "{shown:?} cannot be the key of a file: it must be one file name that does not begin with a dot; \
                     use keys as put returned them"
                );
                return Err(Error::new(ErrorKind::InvalidKey, message));
            }
            Ok(Self { marker: [text, MARKER].concat(), is_uuid })
        })
    }

    pub(super) fn object(&self) -> &str {
        self.marker.strip_suffix(MARKER).unwrap_or(&self.marker)
    }

    pub(super) fn is_uuid(&self) -> bool {
        self.is_uuid
    }

    pub(super) fn marker(&self) -> &str {
        &self.marker
    }
}

/// Whether a text cannot be the name of an object's file.
fn is_no_name(text: &str) -> bool {
    text.is_empty()
        || text.len() + MARKER.len() > MAX_NAME
        || text.starts_with('.')
        || text.ends_with(MARKER)
        || text.contains(['/', '\0'])
}

/// A directory that is open, and which one it is.
pub(super) struct Open {
    fd: OwnedFd,
    device: u64,
    inode: u64,
}

impl Open {
    fn is(&self, stat: &Stat) -> bool {
        (self.device, self.inode) == (stat.st_dev, stat.st_ino)
    }
}

impl Deref for Open {
    type Target = OwnedFd;

    fn deref(&self) -> &OwnedFd {
        &self.fd
    }
}

/// The directory of one connector. It is made by writers only: where it is missing, a reader cannot say that an object
/// is, as the file system may not be mounted.
pub(super) struct Directory {
    path: PathBuf,
    /// As the config has it, for messages: what its references stand for is not shown.
    named: String,
    /// Empty until it was there for the first time.
    fd: PerProcess<Open>,
    allow_foreign_owner: bool,
    may_make: bool,
}

impl Directory {
    /// Looks for the directory; it may be missing so far.
    pub(super) fn new(path: PathBuf, options: &FileOptions) -> Result<Self> {
        let directory = Self {
            path,
            named: options.dir().to_owned(),
            fd: PerProcess::empty(),
            allow_foreign_owner: options.allow_foreign_owner,
            may_make: options.make_dir,
        };
        directory.reopen()?;
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// For readers.
    ///
    /// # Errors
    /// `Unavailable` if it has never been there.
    pub(super) fn fd(&self) -> Result<Arc<Open>> {
        match self.fd.load() {
            Some(fd) => Ok(fd),
            None => self.reopen()?.ok_or_else(|| self.missing("mount it, or correct dir")),
        }
    }

    /// For writers: made where it is missing, with its ancestors, if that is allowed.
    ///
    /// # Errors
    /// `Unavailable` if it is missing and cannot or must not be made.
    pub(super) fn fd_to_write(&self) -> Result<Arc<Open>> {
        self.fd.load().map_or_else(|| self.make(), Ok)
    }

    fn make(&self) -> Result<Arc<Open>> {
        if let Some(fd) = self.reopen()? {
            return Ok(fd);
        }
        if !self.may_make {
            return Err(self.missing("mount it, make it, or set make_dir = true"));
        }
        let failed = |cause| Error::from_io("make the directory", &self.named, cause);
        make_with_ancestors(&self.path).map_err(failed)?;
        self.reopen()?.ok_or_else(|| failed(Errno::NOENT))
    }

    fn missing(&self, advice: &str) -> Error {
        let message = format!("the directory {} is not there on this host; {advice}", self.named);
        Error::new(ErrorKind::Unavailable, message)
    }

    /// The directory, for messages.
    pub(super) fn named(&self) -> &str {
        &self.named
    }

    /// A file of this directory, for messages.
    pub(super) fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.named)
    }

    /// Opens the directory anew: it may have been removed and made again, or an NFS client may look at an old copy.
    /// `None` if there is none now.
    pub(super) fn reopen(&self) -> Result<Option<Arc<Open>>> {
        let opened = self.open_existing()?.map(Arc::new);
        if let Some(fd) = &opened {
            self.fd.store(fd.clone());
        }
        Ok(opened)
    }

    fn open_existing(&self) -> Result<Option<Open>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match open(&self.path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(cause) => return Err(Error::from_io("open the directory", &self.named, cause)),
        };
        let stat = fstat(&fd).map_err(|cause| Error::from_io("examine the directory", &self.named, cause))?;
        if !self.trusts(&stat) {
            let message = format!(
                "the directory {} belongs to user {}, who could change the objects in it; choose one of your own, or set \
                 allow_foreign_owner = true",
                self.named, stat.st_uid
            );
            return Err(Error::new(ErrorKind::Unavailable, message).permanent());
        }
        Ok(Some(Open { fd, device: stat.st_dev, inode: stat.st_ino }))
    }

    /// Whether the path still leads to the directory that is open: it may have been removed, or another put in its place.
    fn is_current(&self, dir: &Open) -> bool {
        stat(&self.path).is_ok_and(|found| dir.is(&found))
    }

    /// Writes where readers look: in the directory that the path leads to now.
    pub(super) fn write_in(&self, write: impl Fn(&OwnedFd) -> Result<(), PublishError>) -> Result<()> {
        let mut dir = self.fd_to_write()?;
        if !self.is_current(&dir) {
            dir = self.make()?;
        }
        write(&dir).map_err(|error| self.not_published(error))
    }

    pub(super) fn not_published(&self, error: PublishError) -> Error {
        match error {
            PublishError::Io(action, cause) => Error::from_io(action, format_args!("a file in {}", self.named), cause),
            PublishError::Other(error) => error,
            PublishError::Exists => Error::new(ErrorKind::AlreadyExists, "the key holds an object already"),
        }
    }

    /// Whether whoever owns this may change it.
    pub(super) fn trusts(&self, stat: &Stat) -> bool {
        self.allow_foreign_owner || stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw()
    }

    /// Files of other users could be changed under a reader.
    pub(super) fn refuse_stranger(&self, name: &str, stat: &Stat) -> Result<()> {
        if self.trusts(stat) {
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
        fsync(&self.fd()?.fd).map_err(|cause| Error::from_io("sync", &self.named, cause))
    }
}

/// Why nothing was published.
pub(super) enum PublishError {
    /// The key's file is there already.
    Exists,
    /// A system call failed, while doing that.
    Io(&'static str, Errno),
    /// There is no room for it, or the caller does not want it any more.
    Other(Error),
}

impl From<Error> for PublishError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
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
