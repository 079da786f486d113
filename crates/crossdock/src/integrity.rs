//! What keys say of bytes, and whether the bytes agree.

use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, ObjectId, ObjectKey};
#[cfg(feature = "file")]
use crate::options::Integrity;

/// CRC-64/NVME: what S3 stores beside an object too, and parts of it can be combined.
#[cfg(feature = "file")]
fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes)
}

impl ObjectKey {
    /// A key that carries the size of its object.
    pub(crate) fn sized(id: ObjectId, bytes: &[u8]) -> Self {
        Self { id, size: Some(bytes.len() as u64), checksum: None }
    }

    /// A key that carries what `integrity` asks for.
    #[cfg(feature = "file")]
    pub(crate) fn sealed(id: ObjectId, bytes: &[u8], integrity: Integrity) -> Self {
        let checksum = (integrity == Integrity::Checksum).then(|| checksum(bytes));
        Self { checksum, ..Self::sized(id, bytes) }
    }

    /// Refuses an object of another size.
    pub(crate) fn verify_size(&self, found: u64) -> Result<()> {
        match self.size {
            Some(size) if size != found => Err(Error::new(
                ErrorKind::Corrupt,
                format!("object {:?} has {found} bytes, its key says {size}; put it again and evict this one", self.id),
            )),
            _ => Ok(()),
        }
    }

    /// Refuses bytes that are not the object's, as far as `integrity` asks and the key tells.
    #[cfg(feature = "file")]
    pub(crate) fn verify(&self, bytes: &[u8], integrity: Integrity) -> Result<()> {
        self.verify_size(bytes.len() as u64)?;
        let expected = self.size.and(self.checksum).filter(|_| integrity == Integrity::Checksum);
        match expected.map(|expected| (expected, checksum(bytes))) {
            Some((expected, found)) if expected != found => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "object {:?} has the checksum {found:016x}, its key says {expected:016x}; put it again and evict \
                     this one",
                    self.id
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// The key of a connector that stores objects itself.
pub(crate) fn as_object(key: &Key) -> Result<&ObjectKey> {
    match key {
        Key::Object(key) => Ok(key),
        Key::Multi(_) => Err(Error::new(
            ErrorKind::InvalidKey,
            "the key names a connector within this one, which is no multi-connector; use keys as put returned them",
        )),
    }
}

#[cfg(all(test, feature = "file"))]
mod tests {
    use super::*;

    /// The check value of the catalogue of CRCs for CRC-64/NVME.
    #[test]
    fn the_checksum_is_the_one_that_the_keys_document() {
        assert_eq!(checksum(b"123456789"), 0xae8b_1486_0a79_9888);
    }

    #[test]
    fn bytes_must_be_what_the_key_says() {
        let key = ObjectKey::sealed("a".into(), b"bytes", Integrity::Checksum);
        assert!(key.verify(b"bytes", Integrity::Checksum).is_ok());
        assert!(key.verify(b"bytez", Integrity::Size).is_ok());
        assert_eq!(key.verify(b"bytez", Integrity::Checksum).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(key.verify(b"byte", Integrity::Size).unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(ObjectKey::bare("a").verify(b"anything", Integrity::Checksum).is_ok());
    }
}
