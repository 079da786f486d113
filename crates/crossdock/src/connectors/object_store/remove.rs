//! Removing objects: one, many, all of a prefix; and uploads that were never finished.

use std::collections::HashSet;

use futures_util::StreamExt;
use object_store::ObjectStoreExt;
use object_store::list::{PaginatedListOptions, PaginatedListResult};
use object_store::path::Path;

use super::call::{Call, all};
use super::errors::Failure;
use super::place::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;
use crate::key::ObjectId;
#[cfg(feature = "s3")]
use crate::options::{GcOptions, GcReport};

/// How many requests delete at the same time where one request deletes one object.
const AT_ONCE: usize = 16;
/// No request deletes more of them.
const PAGE: usize = 1_000;

/// Removes one object. One that is missing is fine.
pub(super) async fn evict(call: &Call, path: &Path) -> Result<(), Failure> {
    match call.store().objects.delete(path).await.map_err(Failure::from) {
        Err(failure) if failure.is_missing() => Ok(()),
        outcome => outcome,
    }
}

/// Removes objects after a call that failed, in the time that is left for that. For each, whether it is gone.
pub(super) fn evict_all(call: &Call, paths: &[Path]) -> Vec<bool> {
    let mut is_gone = vec![false; paths.len()];
    for (paths, is_gone) in paths.chunks(PAGE).zip(is_gone.chunks_mut(PAGE)) {
        // What failed shows in `is_gone`.
        let (Ok(()) | Err(_)) = call.wait_briefly(remove_all(call, paths, is_gone));
    }
    is_gone
}

/// Removes at most [`PAGE`] objects, and marks which are gone.
async fn remove_all(call: &Call, paths: &[Path], is_gone: &mut [bool]) -> Result<(), Failure> {
    if let Some(bulk) = call.store().bulk.as_ref().filter(|_| paths.len() > 1) {
        let asked: Vec<_> = paths.iter().cloned().map(Ok).collect();
        let mut removed = bulk.delete_stream(futures_util::stream::iter(asked).boxed());
        let mut gone = HashSet::new();
        while let Some(path) = removed.next().await {
            gone.extend(path.ok());
        }
        for (path, is_gone) in paths.iter().zip(is_gone.iter_mut()) {
            *is_gone = gone.contains(path);
        }
    }
    let left = paths.iter().zip(is_gone).filter(|(_, is_gone)| !**is_gone);
    let jobs = left.map(|(path, is_gone)| async move {
        evict(call, path).await?;
        *is_gone = true;
        Ok(())
    });
    all(jobs, AT_ONCE).await
}

/// Removes every object right below the prefix whose name is a UUID, however many there are.
pub(super) fn clear(call: &Call, place: &Place) -> Result<()> {
    let mut after = None;
    loop {
        interrupt::check()?;
        call.renew();
        let page = call.ask(async || list(call, place, after.clone()).await).map_err(|tried| call.error(tried))?;
        let objects: Vec<Path> =
            page.result.objects.into_iter().map(|found| found.location).filter(|path| is_ours(path, place)).collect();
        objects.chunks(PAGE).try_for_each(|objects| remove(call, objects))?;
        if page.page_token.is_none() || page.page_token == after {
            return Ok(());
        }
        after = page.page_token;
    }
}

/// What is right below the prefix: a page of it, or all where the store has no pages.
async fn list(call: &Call, place: &Place, after: Option<String>) -> Result<PaginatedListResult, Failure> {
    let Some(pages) = &call.store().pages else {
        let prefix = Some(place.prefix()).filter(|prefix| !prefix.as_ref().is_empty());
        let result = call.store().objects.list_with_delimiter(prefix).await?;
        return Ok(PaginatedListResult { result, page_token: None });
    };
    let options =
        PaginatedListOptions { delimiter: Some("/".into()), page_token: after, ..PaginatedListOptions::default() };
    let prefix = below(place);
    Ok(pages.list_paginated(Some(&*prefix).filter(|prefix| !prefix.is_empty()), options).await?)
}

fn remove(call: &Call, objects: &[Path]) -> Result<()> {
    interrupt::check()?;
    call.renew();
    let mut is_gone = vec![false; objects.len()];
    let removed = call.wait(remove_all(call, objects, &mut is_gone));
    let Some(left) = is_gone.iter().position(|gone| !gone) else { return Ok(()) };
    let why = removed.err().map_or_else(String::new, |failure| format!(": {}", failure.text()));
    let message = format!("cannot remove {}{why}; close it again, or remove it by hand", objects[left]);
    Err(Error::new(ErrorKind::Unavailable, message))
}

/// What the names of all objects begin with.
fn below(place: &Place) -> String {
    match place.prefix().as_ref() {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    }
}

fn is_ours(path: &Path, place: &Place) -> bool {
    let is_uuid = |name: &str| ObjectId::from(name).as_uuid().is_some();
    path.filename().is_some_and(|name| is_uuid(name) && place.object(name) == *path)
}

/// Aborts uploads of ours that were begun long ago.
#[cfg(feature = "s3")]
pub(super) fn gc(call: &Call, place: &Place, options: &GcOptions) -> Result<GcReport> {
    use super::errors::Cause;
    let mut report = GcReport::default();
    let Some(uploads) = &call.store().uploads else { return Ok(report) };
    let prefix = below(place);
    let mut after = None;
    loop {
        call.renew();
        let page = match call.ask(async || uploads.list(&prefix, after.as_ref()).await) {
            // A server that lists none has its own way with them.
            Err(tried) if matches!(tried.failure.cause, Cause::Unsupported) => return Ok(report),
            page => page.map_err(|tried| call.error(tried))?,
        };
        for upload in &page.uploads {
            if !Path::parse(&upload.key).is_ok_and(|path| is_ours(&path, place)) {
                continue;
            }
            let age = upload.begun.and_then(|begun| begun.elapsed().ok());
            if age.is_none_or(|age| age < options.min_age) {
                report.kept += 1;
                continue;
            }
            if !options.dry_run {
                call.renew();
                call.ask(async || uploads.abort(upload).await).map_err(|tried| call.error(tried))?;
            }
            report.removed += 1;
        }
        after = page.next;
        if after.is_none() {
            return Ok(report);
        }
    }
}
