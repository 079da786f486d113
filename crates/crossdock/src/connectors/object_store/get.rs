//! Reading objects, whole or in ranges, into memory that is allocated once.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectStoreExt};

use super::Shape;
use super::call::{Call, Tried, all};
use super::errors::{Cause, Failure};
use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::memory::Buffer;
use crate::options::Integrity;

type Body = BoxStream<'static, object_store::Result<Bytes>>;

/// The object, or `None`. Bytes are handed out only after they were checked.
#[expect(unsafe_code, reason = "the length of a buffer that was filled")]
pub(super) fn read(
    call: &Call,
    path: &Path,
    key: &ObjectKey,
    integrity: Integrity,
    shape: Shape,
) -> Result<Option<Bytes>> {
    let filled = read_into(call, path, key, integrity, shape, Buffer::of)?;
    // SAFETY: what `read_into` hands out is filled whole.
    Ok(filled.map(|buffer| unsafe { buffer.filled() }))
}

/// The object, read into memory of the caller's, which is filled whole.
#[expect(unsafe_code, reason = "looking at memory that was filled")]
pub(super) fn read_into<M: AsMut<[MaybeUninit<u8>]>>(
    call: &Call,
    path: &Path,
    key: &ObjectKey,
    integrity: Integrity,
    shape: Shape,
    allocate: impl FnOnce(usize) -> Result<M>,
) -> Result<Option<M>> {
    let Some(found) = begin(call, path, key, shape)? else { return Ok(None) };
    key.verify_size(found.meta.size)?;
    call.extend_for(found.meta.size);
    let size = in_memory(found.meta.size)?;
    let mut memory = allocate(size)?;
    let object = memory.as_mut().get_mut(..size).ok_or_else(|| Error::too_little_memory(size))?;
    if !fill(call, path, found, object, shape)? {
        return Ok(None);
    }
    // SAFETY: `fill` has written every byte of `object`, or returned above.
    key.verify(unsafe { object.assume_init_ref() }, integrity)?;
    Ok(Some(memory))
}

fn in_memory(size: u64) -> Result<usize> {
    usize::try_from(size).map_err(|_| too_large(size))
}

fn too_large(size: u64) -> Error {
    Error::new(ErrorKind::Unavailable, format!("there is no memory for an object of {size} bytes; free some"))
        .permanent()
}

/// The first request, whose answer says how large the object is. `None` if there is no object.
fn begin(call: &Call, path: &Path, key: &ObjectKey, shape: Shape) -> Result<Option<GetResult>> {
    let first = match key.size {
        _ if !shape.has_ranges => None,
        Some(size) if size <= shape.threshold as u64 => None,
        Some(_) => Some(0..shape.part_size as u64),
        None => Some(0..(shape.threshold as u64).max(1)),
    };
    let ask = |range: Option<Range<u64>>| call.ask(move || get(call, path, range.clone(), None));
    let found = match ask(first) {
        // No object has a range of nothing: this one is empty.
        Err(Tried { failure: Failure { cause: Cause::Range, .. }, .. }) => ask(None),
        found => found,
    };
    match found {
        Ok(found) => Ok(Some(found)),
        Err(tried) if tried.failure.is_missing() => Ok(None),
        Err(tried) => Err(call.error(tried)),
    }
}

async fn get(
    call: &Call,
    path: &Path,
    range: Option<Range<u64>>,
    e_tag: Option<&String>,
) -> Result<GetResult, Failure> {
    let options = GetOptions { range: range.map(GetRange::Bounded), if_match: e_tag.cloned(), ..GetOptions::default() };
    let found = call.store().objects.get_opts(path, options).await?;
    call.has_seen_the_bucket();
    Ok(found)
}

/// A part of an object and the memory for it.
struct Part<'m> {
    range: Range<u64>,
    memory: &'m mut [MaybeUninit<u8>],
    is_filled: bool,
}

/// Fills the memory, which is as large as the object, with the body of the first answer and as many more as it takes.
/// Whether the object was still there.
fn fill(call: &Call, path: &Path, found: GetResult, memory: &mut [MaybeUninit<u8>], shape: Shape) -> Result<bool> {
    let e_tag = found.meta.e_tag.clone();
    let mut parts = parts_of(memory, found.range.end, shape.part_size);
    let mut first = Some(found.into_stream());
    let mut attempts = call.attempts();
    loop {
        let missing = parts.iter_mut().filter(|part| !part.is_filled);
        let jobs = missing.map(|part| {
            let body = if part.range.start == 0 { first.take() } else { None };
            fill_part(call, path, part, body, e_tag.as_ref(), shape)
        });
        let failure = match call.wait(all(jobs, shape.concurrency)) {
            Ok(()) => return Ok(true),
            Err(failure) if failure.is_missing() => return Ok(false),
            Err(failure) => failure,
        };
        match call.goes_on(&failure, &mut attempts) {
            Ok(true) => {}
            Ok(false) => return Err(call.error(Tried { failure, attempts })),
            Err(tried) => return Err(call.error(tried)),
        }
    }
}

/// The part that the first answer brings, then parts of the usual size.
fn parts_of<'m>(memory: &'m mut [MaybeUninit<u8>], first: u64, size: usize) -> Vec<Part<'m>> {
    let first = usize::try_from(first).unwrap_or(usize::MAX).min(memory.len());
    let (head, rest) = memory.split_at_mut(first);
    let pieces = std::iter::once(head).chain(rest.chunks_mut(size));
    let mut end = 0;
    let part = |memory: &'m mut [MaybeUninit<u8>]| {
        let start = end;
        end += memory.len() as u64;
        Part { range: start..end, memory, is_filled: false }
    };
    pieces.map(part).collect()
}

async fn fill_part(
    call: &Call,
    path: &Path,
    part: &mut Part<'_>,
    body: Option<Body>,
    e_tag: Option<&String>,
    shape: Shape,
) -> Result<(), Failure> {
    let body = match body {
        Some(body) => body,
        None => {
            let range = shape.has_ranges.then(|| part.range.clone()).filter(|range| !range.is_empty());
            get(call, path, range, e_tag).await?.into_stream()
        }
    };
    copy(body, part.memory).await?;
    part.is_filled = true;
    Ok(())
}

/// Copies a body into memory of its size.
async fn copy(mut body: Body, memory: &mut [MaybeUninit<u8>]) -> Result<(), Failure> {
    let wrong = |how| Failure::new(Cause::Lost, format!("the answer was {how} than it said"));
    let mut left = memory;
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        let (part, rest) =
            std::mem::take(&mut left).split_at_mut_checked(chunk.len()).ok_or_else(|| wrong("longer"))?;
        part.write_copy_of_slice(&chunk);
        left = rest;
    }
    if left.is_empty() { Ok(()) } else { Err(wrong("shorter")) }
}

/// One request for a whole object, however large it is. `None` if there is none.
#[expect(unsafe_code, reason = "the length of a buffer that was filled")]
pub(super) async fn get_whole(
    call: &Call,
    path: &Path,
    key: &ObjectKey,
    integrity: Integrity,
) -> Result<Option<Bytes>, Failure> {
    let found = match get(call, path, None, None).await {
        Err(failure) if failure.is_missing() => return Ok(None),
        found => found?,
    };
    key.verify_size(found.meta.size)?;
    call.extend_for(found.meta.size);
    let mut buffer = Buffer::of(in_memory(found.meta.size)?)?;
    copy(found.into_stream(), buffer.as_mut()).await?;
    // SAFETY: `copy` has written every byte of it, or returned above.
    let object = unsafe { buffer.filled() };
    key.verify(&object, integrity)?;
    Ok(Some(object))
}

/// Whether the object is there, and how large it is.
pub(super) fn size(call: &Call, path: &Path) -> Result<Option<u64>, Tried> {
    match call.ask(async || Ok(call.store().objects.head(path).await?)) {
        Ok(found) => {
            call.has_seen_the_bucket();
            Ok(Some(found.size))
        }
        Err(tried) if tried.failure.is_missing() => {
            require_bucket(call, path)?;
            Ok(None)
        }
        Err(tried) => Err(tried),
    }
}

/// To a request for no more than the head, a store says of an object without a bucket just that it is missing.
fn require_bucket(call: &Call, path: &Path) -> Result<(), Tried> {
    if call.knows_the_bucket() {
        return Ok(());
    }
    match call.ask(|| get(call, path, Some(0..1), None)) {
        Err(tried) if matches!(tried.failure.cause, Cause::NoBucket) => Err(tried),
        Ok(_) | Err(_) => Ok(()),
    }
}
