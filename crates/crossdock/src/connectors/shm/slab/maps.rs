//! The slabs that a process has mapped, to read from them: a bounded number, found without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::{ArcSwapOption, Guard};

use super::map::Map;

/// So many slabs that would be at the same place can be mapped at a time.
const WAYS: usize = 4;
const SETS: usize = 64;

pub(in super::super) struct Maps {
    /// The sets one after the other.
    maps: Box<[ArcSwapOption<Map>]>,
    /// Which of a set gives way next.
    next: AtomicUsize,
}

impl Maps {
    pub(in super::super) fn new() -> Self {
        Self {
            maps: std::iter::repeat_with(ArcSwapOption::empty).take(SETS * WAYS).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// The slabs of one maker come one after the other.
    fn set(&self, maker: u64, number: u16) -> &[ArcSwapOption<Map>] {
        let place = (maker ^ maker >> 25).wrapping_add(number.into()) as usize % SETS;
        self.maps.get(place * WAYS..(place + 1) * WAYS).unwrap_or_default()
    }

    pub(super) fn find(&self, maker: u64, number: u16) -> Option<Guard<Option<Arc<Map>>>> {
        let is_it = |map: &Guard<Option<Arc<Map>>>| {
            map.as_ref().is_some_and(|map| map.maker == maker && map.number == number && map.is_ours())
        };
        self.set(maker, number).iter().map(ArcSwapOption::load).find(is_it)
    }

    /// Keeps a map, in place of another one where there is no room, and drops those of slabs that are gone, whose
    /// memory is held by nothing else.
    pub(super) fn keep(&self, map: &Arc<Map>) {
        for place in &self.maps {
            if place.load().as_ref().is_some_and(|map| !map.is_ours() || map.is_gone()) {
                place.store(None);
            }
        }
        let set = self.set(map.maker, map.number);
        let is_free = |place: &&ArcSwapOption<Map>| place.load().is_none();
        let chosen = self.next.fetch_add(1, Ordering::Relaxed) % WAYS;
        if let Some(place) = set.iter().find(is_free).or_else(|| set.get(chosen)) {
            place.store(Some(map.clone()));
        }
    }

    pub(super) fn forget(&self, maker: u64, number: u16) {
        for place in self.set(maker, number) {
            if place.load().as_ref().is_some_and(|map| (map.maker, map.number) == (maker, number)) {
                place.store(None);
            }
        }
    }

    /// Asks the slab that is mapped, or that `open` finds now. `None` if there is none, or it says so.
    pub(in super::super) fn ask<T, E>(
        &self,
        (maker, number): (u64, u16),
        mut question: impl FnMut(&Map) -> Option<T>,
        open: impl FnOnce() -> Result<Option<Map>, E>,
    ) -> Result<Option<T>, E> {
        if let Some(Some(map)) = self.find(maker, number).as_deref() {
            let answer = question(map);
            if answer.is_some() || !map.is_closed() {
                return Ok(answer);
            }
            self.forget(maker, number);
        }
        let Some(map) = open()? else { return Ok(None) };
        let map = Arc::new(map);
        if !map.is_gone() {
            self.keep(&map);
        }
        Ok(question(&map))
    }
}
