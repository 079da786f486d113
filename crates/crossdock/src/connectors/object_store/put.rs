//! Writing one object, whole or in parts.
//!
//! Whole: one request that creates and never replaces. In parts:
//!
//! 1. Begin an upload. If it is not known whether that worked, there may be one more upload, without parts, for `gc`.
//! 2. Send the parts, several at a time. What fails is sent again.
//! 3. Complete the upload: the object is there, or there is one already.
//!
//! A failure before step 3 aborts the upload, and nothing was written. One in step 3 leaves a doubt, which is settled by
//! aborting the upload, so that it cannot be completed any more, then by looking for the object. That the server agrees to abort
//! says little: some do so for uploads that have become objects.
//!
//! A write in doubt is tried again until the deadline: only a server that answers can tell what became of it. A repeated
//! request that finds something there has found what the first one wrote, or another writer's object: the
//! caller looks.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Extensions, MultipartId, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::Shape;
use super::call::{Call, Tried, all};
use super::errors::{Cause, Failure};
use super::http::{Look, Watch};

/// In pieces of so many bytes a body is handed to the client: who gives up knows how far it has gone.
const PIECE: usize = 256 << 10;
/// S3 takes no more of them.
const MOST_PARTS: usize = 10_000;

/// How a write ended well.
#[derive(Debug, PartialEq)]
pub(super) enum Stored {
    /// The object is written.
    New,
    /// There is an object already, by this write or another one.
    Taken,
}

/// A write that failed.
pub(super) struct Unwritten {
    pub(super) tried: Tried,
    pub(super) left: Left,
}

/// What a write that failed has left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Left {
    Nothing,
    /// The object: it was written when the caller wanted no more.
    Object,
    /// Nobody knows.
    Unknown,
}

impl Left {
    fn of(in_doubt: bool) -> Self {
        if in_doubt { Self::Unknown } else { Self::Nothing }
    }
}

/// Writes the object. With `create`, it replaces none, as far as the store can tell.
pub(super) fn write(call: &Call, path: &Path, object: &Bytes, create: bool, shape: Shape) -> Result<Stored, Unwritten> {
    match &call.store().parts {
        Some(parts) if object.len() > shape.threshold => Upload { call, parts: &**parts, path, object, shape }.write(),
        _ => write_whole(call, path, object, create),
    }
}

fn write_whole(call: &Call, path: &Path, object: &Bytes, create: bool) -> Result<Stored, Unwritten> {
    let mut attempts = call.attempts();
    let mut in_doubt = false;
    loop {
        let watch = Watch::default();
        let mut request = pin!(put(call, path, object, create, &watch));
        let failure = match call.wait(request.as_mut()) {
            Ok(()) => return Ok(Stored::New),
            Err(Failure { cause: Cause::Condition, .. }) => return Ok(Stored::Taken),
            Err(failure) => failure,
        };
        if watch.is_sent() && failure.may_have_written() {
            // To one who wants no more, the answer still says whether there is something to take back.
            match failure.is_interrupted().then(|| call.hear_out(request)) {
                Some(Ok(())) => {
                    return Err(Unwritten { tried: Tried { failure, attempts }, left: Left::Object });
                }
                Some(Err(failure)) if !failure.may_have_written() => {}
                _ => in_doubt = true,
            }
        }
        if in_doubt {
            attempts.insist();
        }
        let tried = match call.goes_on(&failure, &mut attempts) {
            Ok(true) => continue,
            Ok(false) => Tried { failure, attempts },
            Err(tried) => tried,
        };
        return Err(Unwritten { tried, left: Left::of(in_doubt) });
    }
}

/// One request that writes the whole object.
pub(super) async fn put(call: &Call, path: &Path, object: &Bytes, create: bool, watch: &Watch) -> Result<(), Failure> {
    let mut extensions = Extensions::new();
    extensions.insert(watch.clone());
    if let Some(look) = call.is_idle().then(Look::begin).flatten() {
        extensions.insert(Arc::new(look));
    }
    let mode = if create { PutMode::Create } else { PutMode::Overwrite };
    let options = PutOptions { mode, extensions, ..PutOptions::default() };
    call.store().objects.put_opts(path, payload(object), options).await?;
    Ok(())
}

fn payload(object: &Bytes) -> PutPayload {
    let pieces = (0..object.len()).step_by(PIECE);
    pieces.map(|at| object.slice(at..object.len().min(at + PIECE))).collect()
}

/// An object that is written in parts.
struct Upload<'c> {
    call: &'c Call,
    parts: &'c dyn MultipartStore,
    path: &'c Path,
    object: &'c Bytes,
    shape: Shape,
}

impl Upload<'_> {
    fn write(&self) -> Result<Stored, Unwritten> {
        let certain = |tried| Unwritten { tried, left: Left::Nothing };
        let id = self.call.ask(async || Ok(self.parts.create_multipart(self.path).await?)).map_err(certain)?;
        let parts = self.send(&id).map_err(|tried| {
            self.abort(&id);
            certain(tried)
        })?;
        self.complete(&id, &parts)
    }

    /// Step 2.
    fn send(&self, id: &MultipartId) -> Result<Vec<PartId>, Tried> {
        let size = self.shape.part_size.max(self.object.len().div_ceil(MOST_PARTS));
        let mut sent: Vec<Option<PartId>> = vec![None; self.object.len().div_ceil(size)];
        let mut attempts = self.call.attempts();
        loop {
            let missing = sent.iter_mut().enumerate().filter(|(_, sent)| sent.is_none());
            let jobs = missing.map(|(index, sent)| async move {
                let part = self.object.slice(index * size..self.object.len().min((index + 1) * size));
                *sent = Some(self.parts.put_part(self.path, id, index, payload(&part)).await?);
                Ok(())
            });
            let Err(failure) = self.call.wait(all(jobs, self.shape.concurrency)) else {
                return Ok(sent.into_iter().flatten().collect());
            };
            if !self.call.goes_on(&failure, &mut attempts)? {
                return Err(Tried { failure, attempts });
            }
        }
    }

    /// Step 3.
    fn complete(&self, id: &MultipartId, parts: &[PartId]) -> Result<Stored, Unwritten> {
        let mut attempts = self.call.attempts();
        let mut in_doubt = false;
        loop {
            let mut request =
                pin!(async { Ok(self.parts.complete_multipart(self.path, id, parts.to_vec()).await.map(drop)?) });
            let failure = match self.call.wait(request.as_mut()) {
                Ok(()) => return Ok(Stored::New),
                Err(failure) => failure,
            };
            if matches!(failure.cause, Cause::Condition) {
                self.abort(id);
                return Ok(Stored::Taken);
            }
            in_doubt |= failure.may_have_written();
            if failure.is_interrupted() && self.call.hear_out(request).is_ok() {
                return Err(Unwritten { tried: Tried { failure, attempts }, left: Left::Object });
            }
            if in_doubt {
                attempts.insist();
            }
            let tried = match self.call.goes_on(&failure, &mut attempts) {
                Ok(true) => continue,
                Ok(false) => Tried { failure, attempts },
                Err(tried) => tried,
            };
            return self.settle(id, tried, in_doubt);
        }
    }

    /// Whether the object is there, as far as can be known.
    fn settle(&self, id: &MultipartId, tried: Tried, in_doubt: bool) -> Result<Stored, Unwritten> {
        let aborted = self.abort(id);
        if !in_doubt {
            return Err(Unwritten { tried, left: Left::Nothing });
        }
        let left = match self.call.wait_briefly(async { Ok(self.call.store().objects.head(self.path).await?) }) {
            Ok(found) if found.size != self.object.len() as u64 => Left::of(!aborted),
            Ok(_) if tried.failure.is_interrupted() => Left::Object,
            Ok(_) => return Ok(Stored::Taken),
            Err(failure) => Left::of(!(aborted && failure.is_missing())),
        };
        Err(Unwritten { tried, left })
    }

    /// Whether the upload was there to be aborted. What is left of one that was not is for `gc`.
    fn abort(&self, id: &MultipartId) -> bool {
        self.call.wait_briefly(async { Ok(self.parts.abort_multipart(self.path, id).await?) }).is_ok()
    }
}
