//! A slab, mapped: its words, read and changed as others do at the same time.

use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, FileType, Mode, OFlags, RenameFlags, Stat, fallocate, fstat, openat, renameat_with};
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::madvise;

use super::super::directory::is_own;
use super::super::owner::Drafts;
use super::layout::{
    END, HELD, MAGIC, MAKER, NUMBER, READERS, SLOT_SIZE, SLOTS, Shape, State, Status, TABLE, WORD, file_name,
};
use crate::posix::{remove, stat};
use crate::process;

/// How often a name is looked up that leads to another file each time.
const ATTEMPTS: usize = 100;

/// Of the field `END`.
const CLOSED: u64 = 1;
const GONE: u64 = 2;
/// Of the field `HELD`.
const CURRENT: u64 = 1;
const KEPT: u64 = 2;

/// What is wrong with a file that should be a slab.
#[derive(Debug)]
pub(in super::super) enum Defect {
    /// It cannot be read.
    Io(Errno),
    /// It is not a whole slab of this user's.
    NoSlab,
    /// It is a file of this user's without the number that is written last.
    Unfinished,
}

impl From<Errno> for Defect {
    fn from(cause: Errno) -> Self {
        Self::Io(cause)
    }
}

pub(in super::super) struct Map {
    memory: ManuallyDrop<MmapRaw>,
    /// The process that has it mapped: a forked child does not inherit it.
    process: u64,
    pub(super) maker: u64,
    pub(super) number: u16,
    pub(super) shape: Shape,
    inode: u64,
}

impl Drop for Map {
    fn drop(&mut self) {
        // In a child something else may be at its place.
        if self.is_ours() {
            // SAFETY: nothing uses it after this.
            #[expect(unsafe_code, reason = "dropping what is dropped once")]
            unsafe {
                ManuallyDrop::drop(&mut self.memory);
            }
        }
    }
}

impl Map {
    /// Makes a slab whose slots begin with that generation. All of its memory is reserved, and it has its name once it is whole:
    /// nobody opens a part of one.
    ///
    /// # Errors
    /// What the system says; nothing is left.
    pub(super) fn make(
        dir: &OwnedFd,
        drafts: &Drafts,
        number: u16,
        shape: Shape,
        generation: u32,
    ) -> Result<Self, Errno> {
        let (draft, name) = (drafts.next(), file_name(drafts.maker, number));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(dir, &*draft, flags, Mode::RUSR | Mode::WUSR)?;
        let made = Self::fill(&file, drafts.maker, number, shape, generation)
            .and_then(|map| renameat_with(dir, &*draft, dir, &*name, RenameFlags::NOREPLACE).map(|()| map));
        if made.is_err() {
            let (Ok(_) | Err(_)) = remove(dir, &draft);
        }
        made
    }

    fn fill(file: &OwnedFd, maker: u64, number: u16, shape: Shape, generation: u32) -> Result<Self, Errno> {
        // Without this, a full file system would be a bus error.
        retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, shape.file_size() as u64))?;
        let mut options = MmapOptions::new();
        options.populate();
        let map = Self::over(&mut options, file, fstat(file)?.st_ino, maker, number, shape)?;
        if generation > 0 {
            map.table().iter().for_each(|word| word.store(State::free(generation).to_word(), Ordering::Relaxed));
        }
        for (field, value) in [
            (MAKER, maker),
            (NUMBER, number.into()),
            (SLOT_SIZE, shape.slot_size as u64),
            (SLOTS, shape.slots as u64),
            (0, MAGIC),
        ] {
            map.field(field).store(value, Ordering::Release);
        }
        Ok(map)
    }

    /// The slab of that name. `None` if there is none. Follows no link, waits for no FIFO.
    pub(in super::super) fn open(dir: &OwnedFd, maker: u64, number: u16) -> Result<Option<Self>, Defect> {
        let name = file_name(maker, number);
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        for _ in 0..ATTEMPTS {
            let file = match openat(dir, &*name, flags, Mode::empty()) {
                Ok(file) => file,
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => return Err(Defect::NoSlab),
                Err(cause) => return Err(cause.into()),
            };
            if let Some(map) = Self::of(dir, &file, maker, number)? {
                return Ok(Some(map));
            }
        }
        Ok(None)
    }

    /// The slab in a file that was opened by its name. `None` if that leads elsewhere by now.
    fn of(dir: &OwnedFd, file: &OwnedFd, maker: u64, number: u16) -> Result<Option<Self>, Defect> {
        let found = fstat(file)?;
        match Self::examine(file, &found, maker, number) {
            // A slab that is retired loses its name first, its memory after that.
            Err(Defect::NoSlab | Defect::Unfinished) if !leads_to(dir, &file_name(maker, number), found.st_ino)? => {
                Ok(None)
            }
            examined => examined.map(Some),
        }
    }

    fn examine(file: &OwnedFd, stat: &Stat, maker: u64, number: u16) -> Result<Self, Defect> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !is_own(stat) {
            return Err(Defect::NoSlab);
        }
        // The header first: what it says must be what the file has.
        let mut header = [0; (SLOTS + 1) * WORD];
        let is_whole = rustix::io::pread(file, &mut header, 0)? == header.len();
        let (words, _) = header.as_chunks::<WORD>();
        let [magic, of, at, slot_size, slots] = [0, MAKER, NUMBER, SLOT_SIZE, SLOTS]
            .map(|field| words.get(field).map_or(0, |word| u64::from_ne_bytes(*word)));
        if magic == 0 {
            return Err(Defect::Unfinished);
        }
        let is_this = is_whole && (magic, of, at) == (MAGIC, maker, number.into());
        let shape = Shape::from_words(slot_size, slots).filter(|_| is_this).ok_or(Defect::NoSlab)?;
        // A hole could be a bus error.
        if stat.st_size != shape.file_size() as i64 || stat.st_blocks.saturating_mul(512) < stat.st_size {
            return Err(Defect::NoSlab);
        }
        Ok(Self::over(&mut MmapOptions::new(), file, stat.st_ino, maker, number, shape)?)
    }

    fn over(
        options: &mut MmapOptions,
        file: &OwnedFd,
        inode: u64,
        maker: u64,
        number: u16,
        shape: Shape,
    ) -> Result<Self, Errno> {
        let failed = |cause: std::io::Error| Errno::from_io_error(&cause).unwrap_or(Errno::IO);
        let memory = options.len(shape.file_size()).map_raw(file).map_err(failed)?;
        memory.advise(Advice::DontFork).map_err(failed)?;
        Ok(Self { memory: ManuallyDrop::new(memory), process: process::token(), maker, number, shape, inode })
    }

    /// Whether this process has it mapped, rather than one that it was forked from.
    pub(super) fn is_ours(&self) -> bool {
        self.process == process::token()
    }

    #[expect(unsafe_code, reason = "looking at a map as words")]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the map is of this process (`PerProcess`, and `Maps` looks at `is_ours`, as the caller's code may fork in the middle
        // of a get), stays as long as `self`, begins at a page, and its file has no holes that are looked at and is not made
        // shorter by crossdock. Whatever other processes do with it, they do with atomic words as well.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.memory.len() / WORD) }
    }

    fn field(&self, field: usize) -> &AtomicU64 {
        // A slab has a header, so there is always one.
        static NONE: AtomicU64 = AtomicU64::new(0);
        self.words().get(field).unwrap_or(&NONE)
    }

    fn table(&self) -> &[AtomicU64] {
        self.words().get(TABLE..TABLE + self.shape.slots).unwrap_or_default()
    }

    fn state_of(&self, slot: usize) -> Option<&AtomicU64> {
        self.table().get(slot)
    }

    /// The first `size` bytes of a slot, in words.
    fn slot(&self, slot: usize, size: usize) -> Option<&[AtomicU64]> {
        let start = (self.shape.start() + slot * self.shape.slot_size) / WORD;
        let words = size.div_ceil(WORD);
        (size <= self.shape.slot_size).then(|| self.words().get(start..start + words)).flatten()
    }

    /// The bytes of the file.
    pub(in super::super) fn bytes(&self) -> u64 {
        self.memory.len() as u64
    }

    /// The word of what is live in that turn.
    fn live(&self, turn: u32) -> Option<(usize, &AtomicU64, State)> {
        let (slot, generation) = self.shape.slot_of(turn);
        let word = self.state_of(slot)?;
        let state = State::from_word(word.load(Ordering::Acquire));
        (state.status == Status::Live && state.generation == generation).then_some((slot, word, state))
    }

    /// The bytes of the object in that turn, if there is one. An error if it cannot have as many.
    pub(in super::super) fn size(&self, turn: u32) -> Option<Result<usize, Defect>> {
        let (_, _, state) = self.live(turn)?;
        Some(if state.size <= self.shape.slot_size { Ok(state.size) } else { Err(Defect::NoSlab) })
    }

    /// Copies the object, which has as many bytes as there is memory. `false` if it is gone; then what was copied is nobody's.
    pub(in super::super) fn read(&self, turn: u32, memory: &mut [MaybeUninit<u8>]) -> bool {
        // Either this is seen by who retires the slab (`give_back`), or that it is gone is seen here.
        self.field(READERS).fetch_add(1, Ordering::SeqCst);
        let is_read = !self.is_gone() && self.copy(turn, memory);
        self.field(READERS).fetch_sub(1, Ordering::SeqCst);
        if self.is_gone() && !self.has(Status::Writing) {
            self.give_back();
        }
        is_read
    }

    fn copy(&self, turn: u32, memory: &mut [MaybeUninit<u8>]) -> bool {
        let Some((slot, word, state)) = self.live(turn) else { return false };
        let Some(words) = self.slot(slot, state.size).filter(|_| state.size == memory.len()) else { return false };
        copy_out(words, memory);
        // Who writes the next object has changed the word before: a byte of that, and this load sees it.
        fence(Ordering::Acquire);
        State::from_word(word.load(Ordering::Relaxed)) == state
    }

    /// Makes the object disappear. Its size in bytes; `None` if it is not there.
    pub(in super::super) fn evict(&self, turn: u32) -> Option<usize> {
        let (_, word, state) = self.live(turn)?;
        empty(word, state).then_some(state.size)
    }

    /// Step 1 of a put, by the maker alone: the slot must be free.
    pub(super) fn begin(&self, turn: u32) {
        let (slot, generation) = self.shape.slot_of(turn);
        if let Some(word) = self.state_of(slot) {
            word.swap(State::writing(generation).to_word(), Ordering::SeqCst);
        }
    }

    /// Steps 2 to 5. `false` if the slab was closed meanwhile: then the object is not in it, and the slab is to be retired again.
    pub(super) fn write(&self, turn: u32, object: &[u8]) -> bool {
        let (slot, generation) = self.shape.slot_of(turn);
        let (Some(word), Some(words)) = (self.state_of(slot), self.slot(slot, object.len())) else { return false };
        // Either who gives the memory back has seen that the slot is written, or this sees that the slab is closed.
        if self.is_closed() {
            word.swap(State::free(generation + 1).to_word(), Ordering::SeqCst);
            return false;
        }
        // Who reads any of what follows sees that the word has changed.
        fence(Ordering::Release);
        copy_in(words, object);
        let live = State::live(generation, object.len());
        word.swap(live.to_word(), Ordering::SeqCst);
        if self.is_closed() {
            empty(word, live);
            return false;
        }
        true
    }

    /// The turns that free slots may have next, of the first `turns`.
    pub(super) fn free_turns(&self, turns: u32) -> impl Iterator<Item = u32> {
        let generations = self.shape.generations(turns);
        let free = move |(slot, word): (usize, &AtomicU64)| {
            let state = State::from_word(word.load(Ordering::Acquire));
            let is_free = state.status == Status::Free && state.generation < generations;
            is_free.then(|| self.shape.turn(slot, state.generation))
        };
        self.table().iter().enumerate().filter_map(free)
    }

    /// The first turn that no object had, nor any before.
    pub(super) fn next_turn(&self) -> u32 {
        let next = |word: &AtomicU64| State::from_word(word.load(Ordering::Acquire)).next_generation();
        let generation = self.table().iter().map(next).max().unwrap_or(0);
        self.shape.turn(0, generation)
    }

    /// Whether nothing is in it. The maker's threads are not to be at work.
    pub(super) fn is_empty(&self) -> bool {
        let is_free = |word: &AtomicU64| State::from_word(word.load(Ordering::SeqCst)).status == Status::Free;
        self.table().iter().all(is_free)
    }

    /// The bytes of all objects in it.
    pub(in super::super) fn live_bytes(&self) -> u64 {
        let states = self.table().iter().map(|word| State::from_word(word.load(Ordering::Acquire)));
        states.filter(|state| state.status == Status::Live).map(|state| state.size as u64).sum()
    }

    /// Whether nothing is put into it any more.
    pub(in super::super) fn is_closed(&self) -> bool {
        self.field(END).load(Ordering::SeqCst) != 0
    }

    /// Whether, besides, nothing is in it, nor will be.
    pub(super) fn is_gone(&self) -> bool {
        self.field(END).load(Ordering::SeqCst) == GONE
    }

    /// Whether its maker wants it also when nothing is in it.
    pub(super) fn is_held(&self) -> bool {
        self.field(HELD).load(Ordering::SeqCst) != 0
    }

    pub(super) fn is_kept(&self) -> bool {
        self.field(HELD).load(Ordering::SeqCst) & KEPT != 0
    }

    /// By its maker. Let go, it is to be looked at whether anything is in it: who evicted that before may have seen it held.
    pub(super) fn hold(&self, is_current: bool, is_kept: bool) {
        let held = if is_current { CURRENT } else { 0 } | if is_kept { KEPT } else { 0 };
        self.field(HELD).swap(held, Ordering::SeqCst);
    }

    /// Whether the file still has its name.
    pub(super) fn is_named(&self, dir: &OwnedFd) -> bool {
        leads_to(dir, &file_name(self.maker, self.number), self.inode).is_ok_and(|leads| leads)
    }

    /// By anybody: nothing is put into it any more. If no object is in it, which is said, it is gone; else whoever evicts the
    /// last one does this again. `has_ended`: that is proven of its maker.
    ///
    /// # Errors
    /// Its name is still there.
    pub(super) fn retire(&self, dir: &OwnedFd, has_ended: bool) -> Result<bool, Errno> {
        let (Ok(_) | Err(_)) = self.field(END).compare_exchange(0, CLOSED, Ordering::SeqCst, Ordering::SeqCst);
        if self.has(Status::Live) {
            return Ok(false);
        }
        self.field(END).swap(GONE, Ordering::SeqCst);
        self.unname(dir)?;
        if has_ended || !self.has(Status::Writing) {
            self.give_back();
        }
        Ok(true)
    }

    fn has(&self, status: Status) -> bool {
        self.table().iter().any(|word| State::from_word(word.load(Ordering::SeqCst)).status == status)
    }

    fn unname(&self, dir: &OwnedFd) -> Result<(), Errno> {
        let name = file_name(self.maker, self.number);
        // It may lead to another one now.
        if leads_to(dir, &name, self.inode)? { remove(dir, &name).map(drop) } else { Ok(()) }
    }

    /// Takes the memory of the slots out of a slab that is gone, which others may have mapped for long, and nobody writes to. Not
    /// while somebody reads: to touch that memory again on a full file system would be a bus error. The last reader does it then.
    /// (Where one was killed, it stays until the maps go.)
    fn give_back(&self) {
        if self.field(READERS).load(Ordering::SeqCst) == 0 {
            let start = self.memory.as_mut_ptr().wrapping_add(self.shape.start());
            // SAFETY: the range is that of the slots. Nobody looks at them any more: who begins to read or to write shows that first,
            // and then sees that the slab is closed.
            #[expect(unsafe_code, reason = "giving memory back")]
            let (Ok(()) | Err(_)) = unsafe {
                madvise(start.cast(), self.memory.len() - self.shape.start(), rustix::mm::Advice::LinuxRemove)
            };
        }
    }

    /// After an evict: whether that was the last object of a slab that its maker does not hold, or that is closed.
    pub(super) fn is_over(&self, turn: u32) -> bool {
        let is_closed = self.is_closed();
        if !is_closed && self.is_held() {
            return false;
        }
        // What is being written will be evicted by somebody, unless it finds the slab closed.
        let is_used = |word: &AtomicU64| match State::from_word(word.load(Ordering::SeqCst)).status {
            Status::Free => false,
            Status::Writing => !is_closed,
            Status::Live => true,
        };
        // In whatever order objects are evicted, another one is mostly just behind or before.
        let (slot, _) = self.shape.slot_of(turn);
        let (before, after) = self.table().split_at_checked(slot).unwrap_or_default();
        !before.last().into_iter().chain(after).chain(before).any(is_used)
    }

    /// By anybody but its maker: retires it if no object is in it. Whether that is so. Unless its maker `has_ended` for certain,
    /// that may be at work all the same: somebody has removed its file.
    pub(in super::super) fn collect(&self, dir: &OwnedFd, has_ended: bool, dry_run: bool) -> Result<bool, Errno> {
        if dry_run || self.has(Status::Live) { Ok(!self.has(Status::Live)) } else { self.retire(dir, has_ended) }
    }

    /// By anybody: removes all its objects, and the slab.
    pub(in super::super) fn clear(&self, dir: &OwnedFd) -> Result<(), Errno> {
        // What is put after this is put elsewhere.
        self.retire(dir, false)?;
        for word in self.table() {
            let state = State::from_word(word.load(Ordering::SeqCst));
            if state.status == Status::Live {
                empty(word, state);
            }
        }
        self.retire(dir, false).map(drop)
    }
}

/// Whether that name stands for that file.
fn leads_to(dir: &OwnedFd, name: &str, inode: u64) -> Result<bool, Errno> {
    Ok(stat(dir, name)?.is_some_and(|found| found.st_ino == inode))
}

/// From live to free. Whether that was the one who did it.
fn empty(word: &AtomicU64, live: State) -> bool {
    let free = State::free(live.next_generation());
    word.compare_exchange(live.to_word(), free.to_word(), Ordering::SeqCst, Ordering::Relaxed).is_ok()
}

fn copy_in(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<WORD>();
    for (word, bytes) in words.iter().zip(whole) {
        word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
    }
    if let Some(word) = words.get(whole.len()) {
        let mut last = [0; WORD];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        word.store(u64::from_ne_bytes(last), Ordering::Relaxed);
    }
}

/// Fills the memory. There are as many words as it takes.
fn copy_out(words: &[AtomicU64], memory: &mut [MaybeUninit<u8>]) {
    let (whole, rest) = memory.as_chunks_mut::<WORD>();
    for (bytes, word) in whole.iter_mut().zip(words) {
        *bytes = word.load(Ordering::Relaxed).to_ne_bytes().map(MaybeUninit::new);
    }
    if let Some(word) = words.get(whole.len()) {
        let last = word.load(Ordering::Relaxed).to_ne_bytes();
        rest.iter_mut().zip(last).for_each(|(to, from)| *to = MaybeUninit::new(from));
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::super::super::name::TURN_BITS;
    use super::*;

    fn made() -> (tempfile::TempDir, OwnedFd, Map, Map) {
        let temporary = tempfile::tempdir_in("/dev/shm").unwrap();
        let dir = openat(CWD, temporary.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let drafts = Drafts { maker: 7, count: AtomicU64::new(0) };
        let map = Map::make(&dir, &drafts, 0, Shape::next(64 << 10, 6), 0).unwrap();
        let other = Map::open(&dir, 7, 0).unwrap().unwrap();
        (temporary, dir, map, other)
    }

    fn turn(map: &Map) -> u32 {
        let turn = map.free_turns(1 << TURN_BITS).next().unwrap();
        map.begin(turn);
        turn
    }

    /// Whether the slots have memory, which they had when the slab was made.
    fn has_memory(file: &OwnedFd) -> bool {
        fstat(file).unwrap().st_blocks * 512 > 8_192
    }

    /// Retired between the two looks of the one who puts, in either order.
    #[test]
    fn a_slab_that_is_retired_under_a_put_has_no_memory_in_the_end() {
        for has_begun in [true, false] {
            let (_temporary, dir, map, other) = made();
            let file = openat(&dir, &*file_name(7, 0), OFlags::RDONLY, Mode::empty()).unwrap();
            let before = has_begun.then(|| turn(&map));
            assert!(other.retire(&dir, false).unwrap() && !map.is_named(&dir));
            assert_eq!(has_memory(&file), has_begun, "what may be written to keeps its memory");
            let turn = before.unwrap_or_else(|| turn(&map));
            assert!(!map.write(turn, &[7; 60_000]));
            assert_eq!(has_memory(&file), has_begun, "nothing is written where there is no memory");
            assert!(map.retire(&dir, false).unwrap() && !has_memory(&file));
        }
    }

    #[test]
    fn a_slab_that_is_retired_after_it_was_opened_is_gone() {
        let (temporary, dir, map, other) = made();
        let file = openat(&dir, &*file_name(7, 0), OFlags::RDWR, Mode::empty()).unwrap();
        assert!(Map::of(&dir, &file, 7, 0).unwrap().is_some());
        assert!(other.retire(&dir, false).unwrap() && map.is_gone());
        assert!(matches!(Map::of(&dir, &file, 7, 0), Ok(None)), "it has no memory, nor its name");
        // What still stands under its name and is no slab is damaged.
        std::fs::write(temporary.path().join(file_name(7, 1)), [7; 9_000]).unwrap();
        assert!(matches!(Map::open(&dir, 7, 1), Err(Defect::NoSlab)));
    }

    #[test]
    fn what_is_put_before_a_slab_is_retired_stays() {
        let (_temporary, dir, map, other) = made();
        let turn = turn(&map);
        assert!(map.write(turn, b"object"));
        assert!(!other.retire(&dir, false).unwrap() && map.is_named(&dir));
        let mut memory = [MaybeUninit::uninit(); 6];
        assert!(map.read(turn, &mut memory) && map.is_closed() && !map.is_gone());
        assert!(other.evict(turn) == Some(6) && other.is_over(turn));
        assert!(other.retire(&dir, false).unwrap() && map.is_gone() && !map.read(turn, &mut memory));
    }

    #[test]
    fn only_the_last_evict_is_the_last() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let (_temporary, _dir, map, other) = made();
            let turns = [(); 3].map(|()| turn(&map));
            assert!(turns.iter().all(|turn| map.write(*turn, b"object")));
            map.hold(true, false);
            assert!(other.evict(turns[order[0]]).is_some() && !other.is_over(turns[order[0]]));
            map.hold(false, false);
            assert!(other.evict(turns[order[1]]).is_some() && !other.is_over(turns[order[1]]));
            assert!(other.evict(turns[order[2]]).is_some() && other.is_over(turns[order[2]]));
        }
    }
}
