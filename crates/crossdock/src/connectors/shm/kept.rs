//! The files that a process keeps, to write further objects into memory that the kernel need not find and clear.
//!
//! They are kept from the moment when they are published, with their objects in them: then it does not matter who evicts
//! these, in which process. What counts against the bound is all of them, so that no more than that is ever held back.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::draft::{Draft, State};

/// Files smaller than this, in bytes, are not kept: a new one costs no more.
pub(super) const SMALLEST: u64 = 16 << 10;
/// How many files are kept at most: each is an open file.
const MOST: usize = 64;
/// How many files are looked at for one object, as each look is a system call.
const LOOKED_AT: usize = 4;
/// A file is used again for what is at least one part in so many of it, and at most so many times as large.
const RATIO: u64 = 2;

/// Kept until its maker's process ends; a forked child has its own.
pub(super) struct Kept {
    bound: u64,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    /// Those that were looked at last are at the end.
    list: VecDeque<Draft>,
    bytes: u64,
}

impl Files {
    fn push(&mut self, draft: Draft) {
        self.bytes += draft.size();
        self.list.push_back(draft);
    }

    fn take(&mut self, index: usize) -> Option<Draft> {
        let draft = self.list.remove(index)?;
        self.bytes -= draft.size();
        Some(draft)
    }
}

impl Kept {
    /// At most so many bytes.
    pub(super) fn new(bound: u64) -> Self {
        Self { bound, files: Mutex::default() }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that nobody uses any more, claimed, for one of about that size in bytes.
    pub(super) fn take(&self, size: u64) -> Option<Draft> {
        let fits = |draft: &Draft| draft.size() / RATIO <= size && size / RATIO <= draft.size();
        let mut looks = self.files().list.iter().filter(|draft| fits(draft)).count().min(LOOKED_AT);
        while looks > 0 {
            looks -= 1;
            let mut files = self.files();
            let index = files.list.iter().position(fits)?;
            let mut draft = files.take(index)?;
            drop(files);
            match draft.state() {
                State::Evicted if draft.claim() => return Some(draft),
                State::Evicted | State::Live => self.files().push(draft),
                State::Lost => {}
            }
        }
        None
    }

    /// Keeps a file, in place of evicted ones where there is no room; or drops it.
    pub(super) fn keep(&self, draft: Draft) {
        // Giving memory back takes time: dropped last, after the lock.
        let mut dropped = Vec::new();
        let mut files = self.files();
        let has_room = |files: &Files| files.list.len() < MOST && files.bytes + draft.size() <= self.bound;
        let is_worth_it = (SMALLEST..=self.bound).contains(&draft.size());
        for _ in 0..LOOKED_AT {
            if !is_worth_it || has_room(&files) {
                break;
            }
            let Some(oldest) = files.take(0) else { break };
            if oldest.state() == State::Live { files.push(oldest) } else { dropped.push(oldest) }
        }
        if is_worth_it && has_room(&files) {
            files.push(draft);
        } else {
            dropped.push(draft);
        }
        drop(files);
    }

    /// Gives back what no object is in. Whether that was anything.
    pub(super) fn release(&self) -> bool {
        let all = std::mem::take(&mut *self.files());
        let (live, rest): (Vec<_>, Vec<_>) = all.list.into_iter().partition(|draft| draft.state() == State::Live);
        let mut files = self.files();
        live.into_iter().for_each(|draft| files.push(draft));
        drop(files);
        !rest.is_empty()
    }

    /// Gives everything back. Objects stay.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.files());
        drop(all);
    }
}
