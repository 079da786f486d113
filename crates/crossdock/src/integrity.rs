//! What keys say of bytes, and whether the bytes agree.

use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, MultiKey, ObjectId, ObjectKey};
use crate::options::Integrity;

/// CRC-64/NVME: what S3 stores beside an object too, and parts of it can be combined.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes)
}

impl ObjectKey {
    /// A key that carries the size of its object.
    #[must_use]
    pub fn sized(id: ObjectId, bytes: &[u8]) -> Self {
        Self { id, size: Some(bytes.len() as u64), checksum: None }
    }

    /// A key that carries the size of its object and, where `integrity` asks for it, the checksum (CRC-64/NVME).
    ///
    /// ```
    /// use crossdock::{Integrity, ObjectKey};
    /// let key = ObjectKey::sealed("id".into(), b"123456789", Integrity::Checksum);
    /// assert_eq!((key.size, key.checksum), (Some(9), Some(0xae8b_1486_0a79_9888)));
    /// assert!(key.verify(b"12345678X", Integrity::Checksum).is_err());
    /// ```
    #[must_use]
    pub fn sealed(id: ObjectId, bytes: &[u8], integrity: Integrity) -> Self {
        let checksum = (integrity == Integrity::Checksum).then(|| checksum(bytes));
        Self { checksum, ..Self::sized(id, bytes) }
    }

    /// Refuses an object of another size, in bytes. A key that says no size refuses none.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn verify_size(&self, found: u64) -> Result<()> {
        match self.size {
            Some(size) if size != found => Err(Error::new(
                ErrorKind::Corrupt,
                format!("object {:?} has {found} bytes, its key says {size}; put it again and evict this one", self.id),
            )),
            _ => Ok(()),
        }
    }

    /// Refuses bytes that are not the object's, as far as `integrity` asks and the key tells.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn verify(&self, bytes: &[u8], integrity: Integrity) -> Result<()> {
        self.verify_size(bytes.len() as u64)?;
        match self.expected(integrity).map(|expected| (expected, checksum(bytes))) {
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

    /// Whether bytes that [`verify`](Self::verify) accepts are the object's, wherever they were found.
    #[cfg(feature = "file")]
    pub(crate) fn proves(&self, integrity: Integrity) -> bool {
        self.expected(integrity).is_some()
    }

    /// The checksum to compare with.
    fn expected(&self, integrity: Integrity) -> Option<u64> {
        self.size.and(self.checksum).filter(|_| integrity == Integrity::Checksum)
    }

    /// For a `set`: refuses bytes that are not those of the object that the key was made for.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub fn require_same(&self, bytes: &[u8], integrity: Integrity) -> Result<()> {
        self.verify(bytes, integrity).map_err(|_| Error::already_exists(&self.id))
    }
}

impl Key {
    /// The key of a connector that stores objects itself.
    ///
    /// # Errors
    /// `InvalidKey` for the key of a multi-connector.
    pub fn as_object(&self) -> Result<&ObjectKey> {
        match self {
            Self::Object(key) => Ok(key),
            Self::Multi(_) => Err(Error::new(
                ErrorKind::InvalidKey,
                "the key names a connector within this one, which is no multi-connector; use keys as put returned them",
            )),
        }
    }

    /// The key of a multi-connector.
    ///
    /// # Errors
    /// `InvalidKey` for the key of a connector that stores objects itself.
    pub fn as_multi(&self) -> Result<&MultiKey> {
        match self {
            Self::Multi(key) => Ok(key),
            Self::Object(_) => Err(Error::new(
                ErrorKind::InvalidKey,
                "the key names no connector, but this is a multi-connector, whose keys look like NAME/ID",
            )),
        }
    }
}

impl TryFrom<Key> for MultiKey {
    type Error = Error;

    fn try_from(key: Key) -> Result<Self> {
        key.as_multi().cloned()
    }
}

#[cfg(test)]
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
