//! Reading what is to be stored, in pieces, so that there is progress to be seen.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;

use crate::failure::Failure;
use crate::progress::Progress;

const PIECE: u64 = 1 << 20;
const PROBE: usize = 64;

/// Whether this argument means standard input.
pub(crate) fn is_stdin(name: &Path) -> bool {
    name.as_os_str() == "-"
}

/// The size of a file that can be stored: regular and readable.
pub(crate) fn examine(name: &Path) -> Result<u64, Failure> {
    let failed = |cause: io::Error| Failure::input(name, &cause);
    // Before it is opened: opening a FIFO would wait for its writer.
    let found = std::fs::metadata(name).map_err(failed)?;
    let shown = name.display();
    if found.is_dir() {
        let advice = "find DIRECTORY -type f -print0 | xargs -0 crossdock put";
        return Err(Failure::usage(format!("{shown} is a directory; store the files in it: {advice}")));
    }
    if !found.is_file() {
        let advice = "crossdock put - < FILE";
        return Err(Failure::usage(format!("{shown} is not a regular file; read it as a stream: {advice}")));
    }
    File::open(name).map_err(failed)?;
    Ok(found.len())
}

/// The whole file.
pub(crate) fn read_file(name: &Path, size: u64, progress: &Progress) -> Result<Bytes, Failure> {
    let failed = |cause: io::Error| Failure::input(name, &cause);
    let mut file = File::open(name).map_err(failed)?;
    read_to_end(&mut file, size, progress).map_err(failed)
}

/// All of standard input.
pub(crate) fn read_stdin(progress: &Progress) -> Result<Bytes, Failure> {
    let read = read_to_end(&mut io::stdin().lock(), 0, progress);
    read.map_err(|cause| Failure::input(Path::new("standard input"), &cause))
}

/// `size` is only a hint: a file may grow while it is read. Room is always made by `try_reserve`, as an object may be
/// larger than the memory; std's own growing would abort.
fn read_to_end(input: &mut impl Read, size: u64, progress: &Progress) -> io::Result<Bytes> {
    let size = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut object = Vec::new();
    object.try_reserve_exact(size)?;
    loop {
        let room = object.capacity() - object.len();
        let read = match room {
            0 => probe(input, &mut object)?,
            _ => input.by_ref().take(PIECE.min(room as u64)).read_to_end(&mut object)?,
        };
        if read == 0 {
            return Ok(object.into());
        }
        progress.add(read);
    }
}

/// Grows a full buffer only once there is something to put into it: at its end, a file has filled it exactly.
fn probe(input: &mut impl Read, object: &mut Vec<u8>) -> io::Result<usize> {
    let mut found = Vec::with_capacity(PROBE);
    let read = input.by_ref().take(PROBE as u64).read_to_end(&mut found)?;
    if read > 0 {
        object.try_reserve(PIECE as usize)?;
        object.extend_from_slice(&found);
    }
    Ok(read)
}
