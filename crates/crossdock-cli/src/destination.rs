//! Writing a file whole or not at all.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Writes the file at `path`. Until `write` has succeeded, a file that is there already stays as it is, and no name
/// appears beside it where the file system can help that.
pub(crate) fn write_file(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // Through a link to the file itself, whose mode stays.
        Ok(found) if found.is_file() => replace(&fs::canonicalize(path)?, Some(plain_mode(&found)), write),
        // A device or a pipe cannot be replaced, and must not be.
        Ok(_) => write(&mut OpenOptions::new().write(true).open(path)?),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => replace(path, None, write),
        Err(cause) => Err(cause),
    }
}

/// Writing to a file takes its set-user-id bit away; so does replacing it.
fn plain_mode(found: &Metadata) -> Permissions {
    Permissions::from_mode(found.permissions().mode() & 0o777)
}

fn replace(
    target: &Path,
    mode: Option<Permissions>,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut draft = Draft::new(directory)?;
    if let Some(mode) = mode {
        draft.file().set_permissions(mode)?;
    }
    write(draft.file())?;
    draft.publish(directory, target)
}

/// A file that is being written.
enum Draft {
    /// It has no name yet, so it vanishes if this process is killed.
    Unnamed(File),
    /// It has a temporary name.
    Named(NamedTempFile),
}

impl Draft {
    fn new(directory: &Path) -> io::Result<Self> {
        match open_unnamed(directory) {
            Some(file) => Ok(Self::Unnamed(file)),
            None => Ok(Self::Named(temporary().tempfile_in(directory)?)),
        }
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Unnamed(file) => file,
            Self::Named(file) => file.as_file_mut(),
        }
    }

    fn publish(self, directory: &Path, target: &Path) -> io::Result<()> {
        match self {
            // A link cannot replace a file, a rename can; so it gets a name for a moment.
            Self::Unnamed(file) => rename(temporary().make_in(directory, |name| link(&file, name))?, target),
            Self::Named(file) => rename(file, target),
        }
    }
}

fn rename<F>(file: NamedTempFile<F>, target: &Path) -> io::Result<()> {
    file.persist(target).map(drop).map_err(|failed| failed.error)
}

fn temporary() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    // The mode of any new file: the umask takes its part.
    builder.prefix(".crossdock-").permissions(Permissions::from_mode(0o666));
    builder
}

/// `None` where the file system or the system cannot.
#[cfg(target_os = "linux")]
fn open_unnamed(directory: &Path) -> Option<File> {
    use rustix::fs::{Mode, OFlags, open};
    if !Path::new("/proc/self/fd").exists() {
        return None;
    }
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    open(directory, flags, Mode::from_raw_mode(0o666)).ok().map(File::from)
}

#[cfg(not(target_os = "linux"))]
fn open_unnamed(_: &Path) -> Option<File> {
    None
}

/// Gives an unnamed file a name.
fn link(file: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd;
    let unnamed = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok(linkat(CWD, &unnamed, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_drafts_replace_the_file_and_leave_nothing_else() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let (directory, target) = (directory.path(), directory.path().join("file"));
        let named = || Ok::<_, io::Error>(Draft::Named(temporary().tempfile_in(directory)?));
        for (draft, content) in [(Draft::new(directory)?, "one"), (named()?, "two"), (Draft::new(directory)?, "three")]
        {
            let mut draft = draft;
            io::Write::write_all(draft.file(), content.as_bytes())?;
            draft.publish(directory, &target)?;
            assert_eq!(fs::read_to_string(&target)?, content);
        }
        drop(named()?);
        assert_eq!(fs::read_dir(directory)?.count(), 1);
        Ok(())
    }
}
