//! Memory for objects that are read: it fits, is neither zeroed nor grown, and large objects get huge pages.

use std::mem::MaybeUninit;

#[cfg(any(feature = "disk", feature = "remote"))]
use bytes::Bytes;

#[cfg(any(feature = "disk", feature = "remote"))]
use crate::error::{Error, ErrorKind, Result};

/// A huge page, in bytes: what lies between two multiples of it can be one.
const PAGE: usize = 2 << 20;
/// From this size on, in bytes, objects get huge pages: below, allocators have memory that was used before.
const LARGE: usize = 2 * PAGE;

/// Asks the kernel for huge pages for memory that is about to be filled.
///
/// New memory costs a fault for each page: of 4 KiB each, these take longer than copying the bytes. It is a hint, without
/// which everything works as well; below 4 MiB nothing is asked.
#[cfg_attr(target_os = "linux", expect(unsafe_code, reason = "a hint to the kernel"))]
pub fn prefer_huge_pages(memory: &mut [MaybeUninit<u8>]) {
    if memory.len() < LARGE {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        let skipped = memory.as_ptr().align_offset(PAGE);
        let Some(pages) = memory.get_mut(skipped..) else { return };
        let size = pages.len() / PAGE * PAGE;
        // SAFETY: the range is memory of the caller's, and this advice changes nothing of what is in it.
        let advised =
            unsafe { rustix::mm::madvise(pages.as_mut_ptr().cast(), size, rustix::mm::Advice::LinuxHugepage) };
        // A kernel without huge pages says so.
        let (Ok(()) | Err(_)) = advised;
    }
}

/// Memory of the size of one object.
#[cfg(any(feature = "disk", feature = "remote"))]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    size: usize,
}

#[cfg(any(feature = "disk", feature = "remote"))]
impl Buffer {
    /// # Errors
    /// `Unavailable` if there is not as much.
    pub(crate) fn of(size: usize) -> Result<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|cause| {
            Error::new(ErrorKind::Unavailable, format!("there is no memory for an object of {size} bytes; free some"))
                .with_source(cause)
                .permanent()
        })?;
        let mut buffer = Self { bytes, size };
        prefer_huge_pages(buffer.as_mut());
        Ok(buffer)
    }

    /// # Safety
    /// All of it was filled.
    #[expect(unsafe_code, reason = "the length of a buffer that was filled")]
    #[cfg(any(feature = "shm", feature = "remote"))]
    pub(crate) unsafe fn filled(self) -> Bytes {
        let size = self.size;
        // SAFETY: the caller vouches for the bytes.
        unsafe { self.filled_up_to(size) }
    }

    /// # Safety
    /// The first `count` bytes were filled, and they are no more than the buffer has.
    #[expect(unsafe_code, reason = "the length of a buffer that was filled")]
    pub(crate) unsafe fn filled_up_to(mut self, count: usize) -> Bytes {
        // SAFETY: the capacity is at least that, and the caller vouches for the bytes.
        unsafe { self.bytes.set_len(count) };
        self.bytes.into()
    }
}

#[cfg(any(feature = "disk", feature = "remote"))]
impl AsMut<[MaybeUninit<u8>]> for Buffer {
    fn as_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        &mut self.bytes.spare_capacity_mut()[..self.size]
    }
}

#[cfg(all(test, any(feature = "disk", feature = "remote")))]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_as_large_as_asked_for_and_keeps_what_is_written() {
        for size in [0, 1, 4096, LARGE - 1, LARGE, LARGE + 4097] {
            let mut buffer = Buffer::of(size).unwrap();
            assert_eq!(buffer.as_mut().len(), size);
            buffer.as_mut().fill(MaybeUninit::new(7));
            #[expect(unsafe_code, reason = "it was filled")]
            // SAFETY: all of it was filled.
            let bytes = unsafe { buffer.filled_up_to(size) };
            assert_eq!(bytes, vec![7; size]);
        }
        assert_eq!(Buffer::of(usize::MAX / 2).map(drop).unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn large_memory_is_marked_for_huge_pages() {
        // Whether the kernel marks it, for memory at this address.
        let is_marked = |memory: &mut Buffer| {
            let address = memory.as_mut().as_ptr() as usize + LARGE / 2;
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let mut lines = maps.lines().skip_while(|line| {
                let (low, high) =
                    line.split_whitespace().next().and_then(|range| range.split_once('-')).unwrap_or_default();
                let at = |text| usize::from_str_radix(text, 16).unwrap_or(0);
                !(at(low)..at(high)).contains(&address)
            });
            lines.find(|line| line.starts_with("VmFlags:")).is_some_and(|flags| flags.contains(" hg"))
        };
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            return;
        }
        assert!(is_marked(&mut Buffer::of(64 << 20).unwrap()));
    }
}
