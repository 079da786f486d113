//! Many objects in one call: so many requests at a time, in the order of the caller, all or nothing.

use std::cell::Cell;
use std::pin::pin;

use bytes::Bytes;
use object_store::path::Path;

use super::Shape;
use super::call::{Call, Tried, all, all_until};
use super::errors::{Cause, Failure};
use super::get::{self, get_whole};
use super::http::Watch;
use super::put::{self, Left, Stored, put};
use super::remove::evict_all;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, ObjectKey};
use crate::options::Integrity;

/// An object of a batch that is being written, under a new id.
pub(super) struct Item<'b> {
    pub(super) key: ObjectKey,
    pub(super) path: Path,
    pub(super) object: &'b Bytes,
    is_written: bool,
    /// An attempt was made of which nobody knows how it ended.
    in_doubt: bool,
    watch: Watch,
}

impl<'b> Item<'b> {
    pub(super) fn new(key: ObjectKey, path: Path, object: &'b Bytes) -> Self {
        Self { key, path, object, is_written: false, in_doubt: false, watch: Watch::default() }
    }

    async fn write(&mut self, call: &Call, create: bool) -> Result<(), Failure> {
        match put(call, &self.path, self.object, create, &self.watch).await {
            // Nobody else knows the id: an earlier attempt has succeeded.
            Err(Failure { cause: Cause::Condition, .. }) if self.in_doubt => {}
            Err(failure) => {
                self.in_doubt |= failure.may_have_written() && self.watch.is_sent();
                self.watch = Watch::default();
                return Err(failure);
            }
            Ok(()) => {}
        }
        self.is_written = true;
        Ok(())
    }

    /// Whether the server was given up on before it answered: it may do what it was asked at any time.
    fn is_pending(&self) -> bool {
        !self.is_written && self.watch.is_sent()
    }

    fn is_in_doubt(&self) -> bool {
        !self.is_written && (self.in_doubt || self.is_pending())
    }
}

/// Writes them all; on failure evicts what was written. Keys that could not be evicted are in the error.
pub(super) fn write_all(call: &Call, items: &mut [Item<'_>], create: bool, shape: Shape) -> Result<()> {
    let outcome = write_large(call, items, create, shape).and_then(|()| write_small(call, items, create, shape));
    outcome.map_err(|tried| undo(call, items, tried))
}

/// Those that take several requests each, one after the other.
fn write_large(call: &Call, items: &mut [Item<'_>], create: bool, shape: Shape) -> Result<(), Tried> {
    for item in items.iter_mut().filter(|item| shape.is_large(item.object.len()) && call.store().parts.is_some()) {
        match put::write(call, &item.path, item.object, create, shape) {
            Ok(Stored::New | Stored::Taken) => item.is_written = true,
            Err(unwritten) => {
                item.in_doubt = unwritten.left != Left::Nothing;
                return Err(unwritten.tried);
            }
        }
    }
    Ok(())
}

fn write_small(call: &Call, items: &mut [Item<'_>], create: bool, shape: Shape) -> Result<(), Tried> {
    let mut attempts = call.attempts();
    loop {
        let Err(failure) = write_once(call, items, create, shape) else { return Ok(()) };
        if items.iter().any(Item::is_in_doubt) {
            attempts.insist();
        }
        if !call.goes_on(&failure, &mut attempts)? {
            return Err(Tried { failure, attempts });
        }
    }
}

/// One attempt at all that are not written yet.
fn write_once(call: &Call, items: &mut [Item<'_>], create: bool, shape: Shape) -> Result<(), Failure> {
    let jobs = items.iter_mut().filter(|item| !item.is_written).map(|item| item.write(call, create));
    let is_enough = Cell::new(false);
    let mut writing = pin!(all_until(&is_enough, jobs, shape.concurrency));
    let outcome = call.wait(writing.as_mut());
    if outcome.as_ref().is_err_and(Failure::has_given_up) {
        // Answers that are on their way say what there is to take back.
        is_enough.set(true);
        let (Ok(()) | Err(_)) = call.wait_briefly(writing);
    }
    outcome
}

/// Evicts what was written, and what may have been. The error that the batch ends with.
fn undo(call: &Call, items: &[Item<'_>], tried: Tried) -> Error {
    let there: Vec<&Item<'_>> = items.iter().filter(|item| item.is_written || item.is_in_doubt()).collect();
    let paths: Vec<Path> = there.iter().map(|item| item.path.clone()).collect();
    let is_gone = evict_all(call, &paths);
    let left = there.into_iter().zip(is_gone).filter(|(item, is_gone)| !is_gone || item.is_pending());
    let left: Vec<&Item<'_>> = left.map(|(item, _)| item).collect();
    if left.is_empty() {
        return call.error(tried);
    }
    let keys: Vec<Key> = left.iter().map(|item| item.key.clone().into()).collect();
    let is_interrupted = tried.failure.is_interrupted();
    let error = if !is_interrupted && left.iter().any(|item| !item.is_written) {
        call.ambiguous(tried, keys)
    } else {
        call.error(tried).with_keys(keys)
    };
    error.context(format_args!("{} objects that were, or may have been, written could not be evicted", left.len()))
}

/// An object of a batch that is being read.
struct Wanted<'k> {
    path: Path,
    key: &'k ObjectKey,
    found: Option<Option<Bytes>>,
}

impl Wanted<'_> {
    async fn read(&mut self, call: &Call, integrity: Integrity) -> Result<(), Failure> {
        self.found = Some(get_whole(call, &self.path, self.key, integrity).await?);
        Ok(())
    }
}

/// Reads them all, in their order.
pub(super) fn read_all(
    call: &Call,
    keys: Vec<(Path, &ObjectKey)>,
    integrity: Integrity,
    shape: Shape,
) -> Result<Vec<Option<Bytes>>> {
    let mut wanted: Vec<Wanted<'_>> = keys.into_iter().map(|(path, key)| Wanted { path, key, found: None }).collect();
    for large in wanted.iter_mut().filter(|wanted| wanted.key.size.is_some_and(|size| size > shape.threshold as u64)) {
        large.found = Some(get::read(call, &large.path, large.key, integrity, shape)?);
    }
    let mut attempts = call.attempts();
    loop {
        let jobs = wanted.iter_mut().filter(|wanted| wanted.found.is_none()).map(|wanted| wanted.read(call, integrity));
        let failure = match call.wait(all(jobs, shape.concurrency)) {
            Ok(()) => break,
            Err(failure) => failure,
        };
        let goes_on = call.goes_on(&failure, &mut attempts).map_err(|tried| call.error(tried))?;
        if !goes_on {
            return Err(call.error(Tried { failure, attempts }));
        }
    }
    let found: Option<Vec<_>> = wanted.into_iter().map(|wanted| wanted.found).collect();
    found.ok_or_else(|| Error::new(ErrorKind::Unavailable, "not every object of the batch was read; read it again"))
}
