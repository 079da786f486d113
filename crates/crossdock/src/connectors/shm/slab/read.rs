//! Reading and evicting what is in slabs, whoever made them.

use std::mem::MaybeUninit;

use bytes::Bytes;

use super::super::directory::{Directory, STATE};
use super::super::name::Spot;
use super::super::read::look;
use super::layout::file_name;
use super::map::{Defect, Map};
use super::maps::Maps;
use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::memory::Buffer;
use crate::options::Integrity;

/// Slabs, as one process sees them.
pub(in super::super) struct Reader<'a> {
    pub(in super::super) directory: &'a Directory,
    pub(in super::super) maps: &'a Maps,
}

impl Reader<'_> {
    /// The object, or `None`.
    #[expect(unsafe_code, reason = "a buffer that was filled")]
    pub(in super::super) fn read(&self, spot: Spot, key: &ObjectKey, integrity: Integrity) -> Result<Option<Bytes>> {
        let found = self.ask(spot, |map| {
            let size = match self.checked(spot, key, map.size(spot.turn)?) {
                Ok(size) => size,
                Err(error) => return Some(Err(error)),
            };
            let mut buffer = match Buffer::of(size) {
                Ok(buffer) => buffer,
                Err(error) => return Some(Err(error)),
            };
            // SAFETY: `read` has filled it.
            map.read(spot.turn, buffer.as_mut()).then(|| Ok(unsafe { buffer.filled() }))
        })?;
        let Some(object) = found.transpose()? else { return Ok(None) };
        key.verify(&object, integrity)?;
        Ok(Some(object))
    }

    /// The object, read into memory of the caller's, whose first bytes are filled.
    #[expect(unsafe_code, reason = "looking at memory that was filled")]
    pub(in super::super) fn read_into<M: AsMut<[MaybeUninit<u8>]>>(
        &self,
        spot: Spot,
        key: &ObjectKey,
        integrity: Integrity,
        allocate: impl FnOnce(usize) -> Result<M>,
    ) -> Result<Option<M>> {
        let Some(size) = self.ask(spot, |map| map.size(spot.turn))? else { return Ok(None) };
        let size = self.checked(spot, key, size)?;
        // The caller's code may do anything, so nothing that is mapped is held meanwhile.
        let mut memory = allocate(size)?;
        let part = memory.as_mut().get_mut(..size).ok_or_else(|| Error::too_little_memory(size))?;
        if self.ask(spot, |map| map.read(spot.turn, part).then_some(()))?.is_none() {
            return Ok(None);
        }
        // SAFETY: `read` has filled all of `part`.
        key.verify(unsafe { part.assume_init_ref() }, integrity)?;
        Ok(Some(memory))
    }

    pub(in super::super) fn exists(&self, spot: Spot) -> Result<bool> {
        Ok(self.ask(spot, |map| map.size(spot.turn))?.is_some())
    }

    fn checked(&self, spot: Spot, key: &ObjectKey, size: Result<usize, Defect>) -> Result<usize> {
        let size = size.map_err(|defect| self.defect(spot, defect))?;
        key.verify_size(size as u64)?;
        Ok(size)
    }

    /// Makes the object disappear. Its bytes, if it was there.
    pub(in super::super) fn evict(&self, spot: Spot) -> Result<Option<u64>> {
        self.ask(spot, |map| {
            let size = map.evict(spot.turn)?;
            if map.is_over(spot.turn)
                && let Ok(Some(state)) = self.directory.open().map(|open| open.state().unwrap_or(None))
            {
                // Else it goes when the next process attaches.
                let (Ok(_) | Err(_)) = map.retire(&state, false);
            }
            Some(size as u64)
        })
    }

    fn ask<T>(&self, spot: Spot, question: impl FnMut(&Map) -> Option<T>) -> Result<Option<T>> {
        self.maps.ask((spot.maker, spot.slab), question, || self.open(spot))
    }

    fn open(&self, spot: Spot) -> Result<Option<Map>> {
        look(self.directory, |open| {
            let map = match open.state() {
                Ok(Some(state)) => Map::open(&state, spot.maker, spot.slab),
                Ok(None) => Ok(None),
                Err(cause) => Err(cause.into()),
            };
            map.map_err(|defect| self.defect(spot, defect))
        })
    }

    fn defect(&self, spot: Spot, defect: Defect) -> Error {
        let shown = self.directory.shown(&format!("{STATE}/{}", file_name(spot.maker, spot.slab)));
        match defect {
            Defect::Io(cause) => Error::from_io("read", shown, cause),
            Defect::NoSlab | Defect::Unfinished => {
                let message = format!("{shown} is not as crossdock made it: somebody has changed it; remove it");
                Error::new(ErrorKind::Corrupt, message)
            }
        }
    }
}
