//! The first 64 bytes of an object's file, which say whose bytes follow.
//!
//! A file may be used again for another object. Whoever looked an object up and opened its file only then recognises by
//! the header that it is another's by now. That there are 64 of them keeps the object's bytes aligned.

use super::name::Name;

/// Their number.
pub(super) const LENGTH: usize = 64;

/// The beginning of every header; its last letter is the version of the layout.
const MAGIC: &[u8; 8] = b"xd-shm-1";

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: [u8; 16],
    /// The bytes that follow.
    pub(super) size: u64,
}

impl Header {
    pub(super) fn of(name: &Name, object: &[u8]) -> Self {
        Self { id: *name.as_bytes(), size: object.len() as u64 }
    }

    /// The bytes of the whole file.
    pub(super) fn file_size(&self) -> u64 {
        self.size.saturating_add(LENGTH as u64)
    }

    pub(super) fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&self.id);
        bytes[24..32].copy_from_slice(&self.size.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; LENGTH]) -> Option<Self> {
        let id = bytes[8..24].try_into().ok()?;
        let size = u64::from_le_bytes(bytes[24..32].try_into().ok()?);
        bytes.starts_with(MAGIC).then_some(Self { id, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = Header { id: [7; 16], size: u64::MAX };
        let bytes = header.to_bytes();
        assert_eq!(Header::from_bytes(&bytes), Some(header));
        assert_eq!(header.file_size(), u64::MAX, "it does not wrap");
        assert_eq!(Header::from_bytes(&[0; LENGTH]), None);
        assert_eq!(&bytes[..9], b"xd-shm-1\x07");
    }
}
