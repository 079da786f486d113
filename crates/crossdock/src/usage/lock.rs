//! Locks on parts of a file.
//!
//! They belong to the open file description (`F_OFD_*`), not to the process: a file that each call opens anew excludes
//! threads as it does processes. The kernel drops them when the last process that has the description ends or closes it.
#![expect(unsafe_code, reason = "no safe form of these locks is at hand")]

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;

/// A part of a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) length: u64,
}

/// The largest end of a span.
pub(super) const END: u64 = i64::MAX as u64;

/// Locks the part against everybody else, unless it is locked. Whether it was free; where there are no locks, it always
/// is.
pub(super) fn try_lock(file: &OwnedFd, span: Span) -> Result<bool, Errno> {
    match call(file, libc::F_OFD_SETLK, libc::F_WRLCK, span) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(cause) if is_unsupported(cause) => Ok(true),
        Err(cause) => Err(cause),
    }
}

/// Gives up what this description has locked of the part.
pub(super) fn unlock(file: &OwnedFd, span: Span) {
    let (Ok(_) | Err(_)) = call(file, libc::F_OFD_SETLK, libc::F_UNLCK, span);
}

/// Gives up all locks of this description. Closing would do, if no forked child had the file open as well.
pub(super) fn unlock_all(file: &OwnedFd) {
    unlock(file, Span { start: 0, length: 0 });
}

/// The parts from `start` on that others have locked.
pub(super) fn locked(file: &OwnedFd, start: u64) -> Result<Vec<Span>, Errno> {
    let mut found = Vec::new();
    // The kernel names one lock at a time, any that is in the part asked about.
    let mut unknown = vec![(start, END)];
    while let Some((from, to)) = unknown.pop() {
        if from >= to {
            continue;
        }
        let asked = Span { start: from, length: to - from };
        let answer = match call(file, libc::F_OFD_GETLK, libc::F_WRLCK, asked) {
            Ok(answer) => answer,
            Err(cause) if is_unsupported(cause) => break,
            Err(cause) => return Err(cause),
        };
        let Some(span) = answer else { continue };
        unknown.push((from, span.start));
        unknown.push((span.start.saturating_add(span.length), to));
        found.push(span);
    }
    Ok(found)
}

fn is_unsupported(cause: Errno) -> bool {
    matches!(cause, Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
}

/// The lock that is in the way, where that is what was asked.
fn call(file: &OwnedFd, command: libc::c_int, kind: libc::c_int, span: Span) -> Result<Option<Span>, Errno> {
    let number = |value: u64| libc::off_t::try_from(value).map_err(|_| Errno::INVAL);
    // SAFETY: all its fields are numbers, for which zero is fine.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = number(span.start)?;
    lock.l_len = number(span.length)?;
    loop {
        // SAFETY: the descriptor is open, and `lock` is what these commands read and write.
        if unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } == 0 {
            break;
        }
        match Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO) {
            Errno::INTR => {}
            cause => return Err(cause),
        }
    }
    if command != libc::F_OFD_GETLK || lock.l_type == libc::F_UNLCK as libc::c_short {
        return Ok(None);
    }
    let start = u64::try_from(lock.l_start).unwrap_or(0);
    let length = match u64::try_from(lock.l_len) {
        // To the end, wherever that is.
        Ok(0) | Err(_) => END - start,
        Ok(length) => length,
    };
    Ok(Some(Span { start, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> OwnedFd {
        std::fs::File::options().read(true).write(true).open(path).unwrap().into()
    }

    #[test]
    fn locks_are_seen_excluded_and_given_up() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (mine, theirs, third) = (open(file.path()), open(file.path()), open(file.path()));
        let spans = [(0, 1), (100, 5), (105, 1), (1 << 61, 1 << 61)].map(|(start, length)| Span { start, length });
        for (span, holder) in spans.iter().zip([&theirs, &theirs, &third, &third]) {
            assert!(try_lock(holder, *span).unwrap());
            assert!(!try_lock(&mine, *span).unwrap());
        }
        let mut seen = locked(&mine, 50).unwrap();
        seen.sort_by_key(|span| span.start);
        assert_eq!(seen, spans[1..], "whoever holds them, and however near they are");
        unlock_all(&third);
        assert_eq!(locked(&mine, 50).unwrap(), spans[1..2]);
        drop(theirs);
        assert!(locked(&mine, 0).unwrap().is_empty());
        assert!(try_lock(&mine, spans[3]).unwrap());
    }
}
