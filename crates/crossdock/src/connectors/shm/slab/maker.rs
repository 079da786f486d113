//! The slabs of one maker: which slots are free, and when there are more or fewer slabs.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::fstatvfs;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::super::name::{SLAB_BITS, Spot, TURN_BITS};
use super::super::owner::Drafts;
use super::layout::{CLASSES, DOUBLINGS, Shape, class_of};
use super::map::Map;
use super::maps::Maps;

/// How many slabs are looked at for free slots before another one is made.
const LOOKED_AT: usize = 64;
/// How many slabs may be retired under a put before it goes elsewhere.
const ATTEMPTS: usize = 4;

/// How long no slab is made after there was no room for one, in milliseconds.
const PAUSE: i64 = 100;

/// What numbers there are.
#[derive(Clone, Copy)]
struct Limits {
    slabs: u16,
    turns: u32,
}

/// The slabs of one maker. Their locks are only held while a slot or a slab is taken.
pub(in super::super) struct Slabs {
    dir: Arc<OwnedFd>,
    drafts: Arc<Drafts>,
    place: u32,
    /// Of slabs that are kept empty, so many bytes are at most.
    bound: u64,
    limits: Limits,
    /// The bytes of those that would be.
    kept: AtomicU64,
    /// Until then, in milliseconds, the file system is taken for full.
    full_until: AtomicI64,
    numbers: Mutex<Numbers>,
    classes: [Mutex<Class>; CLASSES.len()],
    /// What this process reads by.
    maps: Arc<Maps>,
}

#[derive(Default)]
struct Numbers {
    next: u16,
    /// Those of retired slabs, with the first turn that they have not had.
    again: VecDeque<(u16, u32)>,
}

/// The slabs with slots of one size.
#[derive(Default)]
struct Class {
    slabs: Vec<Arc<Map>>,
    /// Which one was looked at last.
    last: usize,
    /// The one whose slots are taken now, and their turns, the next one last.
    current: Option<Arc<Map>>,
    free: Vec<u32>,
    /// When it was last seen that the current one is still there.
    seen: i64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds, some of them at a time: asking for them costs nothing.
fn now() -> i64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

impl Slabs {
    pub(in super::super) fn new(
        dir: Arc<OwnedFd>,
        drafts: Arc<Drafts>,
        place: u32,
        bound: u64,
        maps: Arc<Maps>,
    ) -> Self {
        let limits = Limits { slabs: 1 << SLAB_BITS, turns: 1 << TURN_BITS };
        let (numbers, classes) = (Mutex::default(), std::array::from_fn(|_| Mutex::default()));
        Self {
            dir,
            drafts,
            place,
            bound,
            limits,
            kept: AtomicU64::new(0),
            full_until: AtomicI64::new(0),
            numbers,
            classes,
            maps,
        }
    }

    /// Puts a small object. `None` if no slab has room for it, nor can be had.
    pub(in super::super) fn put(&self, object: &[u8]) -> Option<Spot> {
        let class = class_of(object.len())?;
        for _ in 0..ATTEMPTS {
            let (map, turn) = self.take(class)?;
            if map.write(turn, object) {
                return Some(Spot { place: self.place, maker: self.drafts.maker, slab: map.number, turn });
            }
            // Who closed it has left it to us where it saw this slot.
            let (Ok(_) | Err(_)) = map.retire(&self.dir, false);
        }
        None
    }

    /// A slot for the object that is to be written.
    fn take(&self, index: usize) -> Option<(Arc<Map>, u32)> {
        let slot_size = *CLASSES.get(index)?;
        let mut class = lock(self.classes.get(index)?);
        let now = now();
        // Somebody may have removed the whole directory.
        let is_to_be_seen = std::mem::replace(&mut class.seen, now) != now;
        let is_usable = |map: &Arc<Map>| !map.is_closed() && (!is_to_be_seen || map.is_named(&self.dir));
        if let Some(map) = class.current.clone() {
            if !is_usable(&map) {
                self.retire(&mut class, &map);
            } else if let Some(turn) = class.free.pop() {
                map.begin(turn);
                return Some((map, turn));
            }
        }
        self.refill(&mut class, slot_size, is_usable)?;
        let (map, turn) = (class.current.clone()?, class.free.pop()?);
        map.begin(turn);
        Some((map, turn))
    }

    /// Finds a slab with free slots, or makes one. `None` if none can be had.
    fn refill(&self, class: &mut Class, slot_size: usize, is_usable: impl Fn(&Arc<Map>) -> bool) -> Option<()> {
        let (before, _) = (class.current.take(), std::mem::take(&mut class.free));
        let next = self.find_room(class, is_usable).or_else(|| self.make_next(class, slot_size));
        if let Some(map) = &next {
            self.hold(map, true);
            class.free = map.free_turns(self.limits.turns).collect();
            class.free.reverse();
            class.current = Some(map.clone());
        }
        let is_next = |map: &Arc<Map>| next.as_ref().is_some_and(|next| Arc::ptr_eq(next, map));
        if let Some(before) = before.filter(|before| !is_next(before) && !before.is_closed()) {
            self.hold(&before, false);
            if !before.is_held() && before.is_empty() {
                self.retire(class, &before);
            }
        }
        next.map(drop)
    }

    /// A slab that has free slots.
    fn find_room(&self, class: &mut Class, is_usable: impl Fn(&Arc<Map>) -> bool) -> Option<Arc<Map>> {
        for _ in 0..class.slabs.len().min(LOOKED_AT) {
            class.last = (class.last + 1).checked_rem(class.slabs.len()).unwrap_or(0);
            let map = class.slabs.get(class.last)?.clone();
            if !is_usable(&map) {
                self.retire(class, &map);
            } else if map.free_turns(self.limits.turns).next().is_some() {
                return Some(map);
            } else if map.is_empty() {
                // All its turns are used up.
                self.retire(class, &map);
            }
        }
        None
    }

    /// Holds a slab while it is current, and, as long as there is room for that, afterwards.
    fn hold(&self, map: &Map, is_current: bool) {
        let is_kept = map.is_kept() || {
            let has_room = self.kept.fetch_add(map.bytes(), Ordering::Relaxed) + map.bytes() <= self.bound;
            if !has_room {
                self.kept.fetch_sub(map.bytes(), Ordering::Relaxed);
            }
            has_room
        };
        map.hold(is_current, is_kept);
    }

    /// Makes a slab, as large as may be. Where there is no room for any, the next ones are not tried for a while.
    fn make_next(&self, class: &mut Class, slot_size: usize) -> Option<Arc<Map>> {
        let now = now();
        if now < self.full_until.load(Ordering::Relaxed) {
            return None;
        }
        let (room, mut tried) = (self.room(), None);
        for slabs in (0..=class.slabs.len().min(DOUBLINGS)).rev() {
            let shape = Shape::next(slot_size, slabs);
            let bytes = shape.file_size() as u64;
            if bytes > room || tried.replace(shape) == Some(shape) {
                continue;
            }
            self.make_room(class, bytes);
            match self.make(shape)? {
                Ok(map) => {
                    class.last = class.slabs.len();
                    class.slabs.push(map.clone());
                    return Some(map);
                }
                Err(Errno::NOSPC | Errno::DQUOT) => {}
                // The objects go to files, which say what is wrong.
                Err(_) => return None,
            }
        }
        self.full_until.store(now + PAUSE, Ordering::Relaxed);
        None
    }

    /// How large a slab may be, in bytes: it can be kept, leaves as much room in the file system as it takes, and is within the
    /// process's limit for files, as the signal for larger ones would end the process.
    fn room(&self) -> u64 {
        let limit = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
        let free = match fstatvfs(&self.dir) {
            // Of a size that is not limited.
            Ok(system) if system.f_blocks == 0 => u64::MAX,
            Ok(system) => system.f_bavail.saturating_mul(system.f_frsize),
            Err(_) => 0,
        };
        self.bound.min(limit).min(free / 2)
    }

    /// Drops what others have retired, of all classes that nobody is just at. Gives empty slabs back that are kept, where another one
    /// of so many bytes could not be.
    fn make_room(&self, class: &mut Class, bytes: u64) {
        let make_room = |class: &mut Class| {
            for map in class.slabs.clone() {
                let is_current = class.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &map));
                let is_too_much = map.is_kept() && self.kept.load(Ordering::Relaxed) + bytes > self.bound;
                if map.is_gone() || is_too_much && !is_current && map.is_empty() {
                    self.retire(class, &map);
                }
            }
        };
        make_room(class);
        self.classes.iter().filter_map(|other| other.try_lock().ok()).for_each(|mut other| make_room(&mut other));
    }

    /// `None` if there is no number for it.
    fn make(&self, shape: Shape) -> Option<Result<Arc<Map>, Errno>> {
        let (number, turn) = self.next_number(shape)?;
        let made = Map::make(&self.dir, &self.drafts, number, shape, shape.generation_from(turn)).map(Arc::new);
        match &made {
            Ok(map) => self.maps.keep(map),
            Err(_) => lock(&self.numbers).again.push_back((number, turn)),
        }
        Some(made)
    }

    /// A number that has turns left for a slab of that shape, and the first of them.
    fn next_number(&self, shape: Shape) -> Option<(u16, u32)> {
        let mut numbers = lock(&self.numbers);
        if numbers.next < self.limits.slabs {
            numbers.next += 1;
            return Some((numbers.next - 1, 0));
        }
        let last = shape.generations(self.limits.turns);
        let index = numbers.again.iter().position(|(_, turn)| shape.generation_from(*turn) < last)?;
        numbers.again.remove(index)
    }

    /// Uses a slab no more: it is retired, or was, or has lost its name. What is in it goes with the last evict.
    fn retire(&self, class: &mut Class, map: &Arc<Map>) {
        if class.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, map)) {
            (class.current, class.free) = (None, Vec::new());
        }
        class.slabs.retain(|slab| !Arc::ptr_eq(slab, map));
        if map.is_kept() {
            self.kept.fetch_sub(map.bytes(), Ordering::Relaxed);
        }
        map.hold(false, false);
        let (Ok(_) | Err(_)) = map.retire(&self.dir, false);
        self.maps.forget(map.maker, map.number);
        let turn = map.next_turn();
        if turn < self.limits.turns {
            lock(&self.numbers).again.push_back((map.number, turn));
        }
    }

    /// Gives back what no object is in. Whether that was anything.
    pub(in super::super) fn release(&self) -> bool {
        let mut any = false;
        for class in &self.classes {
            let mut class = lock(class);
            class.free = Vec::new();
            if let Some(current) = class.current.take() {
                self.hold(&current, false);
            }
            for map in class.slabs.clone().iter().filter(|map| map.is_empty()) {
                self.retire(&mut class, map);
                any = true;
            }
        }
        any
    }

    /// Gives everything back. What has objects is left to those who evict them.
    pub(in super::super) fn clear(&self) {
        self.release();
        for class in &self.classes {
            for map in std::mem::take(&mut *lock(class)).slabs {
                let (Ok(_) | Err(_)) = map.retire(&self.dir, false);
                self.maps.forget(map.maker, map.number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bytes::Bytes;
    use rustix::fs::{CWD, Mode, OFlags, openat};

    use super::*;

    fn slabs(dir: &tempfile::TempDir, limits: Limits) -> Slabs {
        let dir = openat(CWD, dir.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let drafts = Arc::new(Drafts { maker: 7, count: AtomicU64::new(0) });
        Slabs { limits, ..Slabs::new(Arc::new(dir), drafts, 1, 64 << 20, Arc::new(Maps::new())) }
    }

    fn read(maps: &Maps, slabs: &Slabs, spot: Spot) -> Option<Bytes> {
        let question = |map: &Map| {
            let mut memory = Box::new_uninit_slice(map.size(spot.turn)?.unwrap());
            // SAFETY: `read` has filled it.
            #[expect(unsafe_code, reason = "memory that was filled")]
            map.read(spot.turn, &mut memory).then(|| Bytes::from(unsafe { memory.assume_init() }))
        };
        maps.ask((spot.maker, spot.slab), question, || Map::open(&slabs.dir, spot.maker, spot.slab)).unwrap()
    }

    /// Puts and evicts until nothing more can be put: no id is ever made twice, an old one finds nothing, whoever has what mapped.
    #[test]
    fn generations_and_numbers_are_used_up() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let slabs = slabs(&dir, Limits { slabs: 3, turns: 1 << 13 });
        let reader = Maps::new();
        let (mut seen, mut slots, mut previous, mut misses) = (HashSet::new(), HashSet::new(), None, 0);
        // Slabs of several shapes follow each other under one number.
        for size in (0..).map(|round| [10, 1_000, 60_000, 5_000][round / 300 % 4]) {
            let object = vec![seen.len() as u8; size];
            let Some(spot) = slabs.put(&object) else {
                slabs.release();
                misses += 1;
                if misses > 4 * 300 {
                    break;
                }
                continue;
            };
            misses = 0;
            assert!(seen.insert((spot.slab, spot.turn)), "{spot:?} is made twice");
            slots.insert(spot.slab);
            assert_eq!(read(&reader, &slabs, spot).as_deref(), Some(&*object));
            if let Some(previous) = previous.replace(spot) {
                assert_eq!(read(&reader, &slabs, previous), None);
            }
            slabs.maps.ask((7, spot.slab), |map| map.evict(spot.turn), || Ok::<_, ()>(None)).unwrap().unwrap();
            if seen.len() % 997 == 0 {
                slabs.release();
            }
        }
        assert_eq!(slots.len(), 3);
        assert!(seen.len() > 3 << 11, "{} of {} turns", seen.len(), 3 << 13);
    }

    #[test]
    fn all_slots_are_used_before_one_is_used_again() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let slabs = slabs(&dir, Limits { slabs: 1, turns: 1 << TURN_BITS });
        let shape = Shape::next(64, 0);
        let mut slots = Vec::new();
        for _ in 0..3 * shape.slots {
            let spot = slabs.put(b"object").unwrap();
            slots.push(shape.slot_of(spot.turn));
            slabs.maps.ask((7, 0), |map| map.evict(spot.turn), || Ok::<_, ()>(None)).unwrap().unwrap();
        }
        let expected = (0..3).flat_map(|generation| (0..shape.slots).map(move |slot| (slot, generation)));
        assert_eq!(slots, expected.collect::<Vec<_>>());
    }
}
