//! Keys: where an object landed, in a form that travels.
//!
//! A [`MultiKey`] names a connector and carries that connector's own [`Key`]. Keys have three forms: these types, a
//! text form for people and pipes, and the JSON shape of ProxyStore's tuples.
//!
//! | form | a plain key | with size and checksum | nested |
//! |---|---|---|---|
//! | text | `disk/ID` | `disk/ID:12:9f0c…` | `outer/disk/ID:12` |
//! | JSON | `["disk", ["ID"]]` | `["disk", ["ID", 12, "9f0c…"]]` | `["outer", ["disk", ["ID", 12]]]` |
//!
//! In JSON a size or checksum that is not known may also be `null`, as Python writes it.
//!
//! In the text form every byte of a name or an id outside `A-Z a-z 0-9 - _ . ~` is percent-encoded, so a key is one
//! shell word and one path-safe line.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How deeply multi-connectors may be nested in one key.
const MAX_DEPTH: usize = 16;

/// The id of one object within one connector: a UUID, or any other text.
///
/// Two ids are equal exactly when their text is equal. A UUID in its usual form (lower case, hyphens) is kept as 16
/// bytes, so that making and cloning an id allocates nothing.
///
/// ```
/// use crossdock::ObjectId;
/// let id = ObjectId::from("7c9e6679-7425-40de-944b-e07fc1f90ae7");
/// assert_eq!(id.to_string(), "7c9e6679-7425-40de-944b-e07fc1f90ae7");
/// assert_ne!(id, ObjectId::from("7C9E6679-7425-40DE-944B-E07FC1F90AE7"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(Id);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Id {
    Uuid(Uuid),
    // Never the usual form of a UUID: `from` sees to it, so that equal texts are equal ids.
    Text(Box<str>),
}

impl ObjectId {
    /// A new random id (UUID version 4), drawn from the operating system each time, so that a forked child never
    /// repeats its parent.
    #[must_use]
    pub fn random() -> Self {
        Self(Id::Uuid(Uuid::new_v4()))
    }

    /// So many new random ids, for one question to the operating system where it answers at once.
    #[cfg(feature = "remote")]
    pub(crate) fn several(count: usize) -> Vec<Self> {
        use rustix::rand::{GetRandomFlags, getrandom};
        let mut noise = vec![[0; 16]; count];
        let (answer, wanted) = (getrandom(noise.as_flattened_mut(), GetRandomFlags::empty()), count * 16);
        let drawn = answer.unwrap_or(0).min(wanted) / 16;
        let id = |(place, noise): (usize, &[u8; 16])| match place < drawn {
            true => Self(Id::Uuid(uuid::Builder::from_random_bytes(*noise).into_uuid())),
            false => Self::random(),
        };
        noise.iter().enumerate().map(id).collect()
    }

    #[cfg(any(feature = "local", feature = "shm"))]
    pub(crate) fn from_uuid(uuid: Uuid) -> Self {
        Self(Id::Uuid(uuid))
    }

    #[cfg(any(feature = "local", feature = "disk", feature = "remote"))]
    pub(crate) fn as_uuid(&self) -> Option<Uuid> {
        match &self.0 {
            Id::Uuid(uuid) => Some(*uuid),
            Id::Text(_) => None,
        }
    }

    /// A number that spreads ids over a table. Ids that were counted up come out counted up.
    #[cfg(feature = "local")]
    pub(crate) fn spread(&self) -> usize {
        match &self.0 {
            Id::Uuid(uuid) => uuid.as_u64_pair().1 as usize,
            Id::Text(text) => text.bytes().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte.into())),
        }
    }

    /// Calls `f` with the text of this id, without allocating.
    pub fn with_str<T>(&self, f: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            Id::Uuid(uuid) => f(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Id::Text(text) => f(text),
        }
    }
}

impl From<&str> for ObjectId {
    fn from(text: &str) -> Self {
        match Uuid::try_parse(text) {
            Ok(uuid) if is_usual_form(text) => Self(Id::Uuid(uuid)),
            _ => Self(Id::Text(text.into())),
        }
    }
}

/// `Uuid::try_parse` also takes upper case, braces and no hyphens: other texts, so other ids.
fn is_usual_form(text: &str) -> bool {
    // To the end in any case: that is done many bytes at a time.
    text.len() == 36 && !text.bytes().fold(false, |found, byte| found | byte.is_ascii_uppercase())
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| f.write_str(text))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| write!(f, "{text:?}"))
    }
}

/// The key of one object within one connector: its id, and what is known of its bytes.
///
/// Keys that crossdock makes carry the size and, for connectors whose bytes cross a machine or a power cut, a
/// checksum; both are checked before bytes are handed out. Keys without them (ProxyStore's, and a key made before its
/// object) work as well, unchecked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    /// The object's id.
    pub id: ObjectId,
    /// The object's size in bytes, if it was known when the key was made.
    pub size: Option<u64>,
    /// CRC-64/NVME of the object's bytes. Ignored where `size` is `None`.
    pub checksum: Option<u64>,
}

impl ObjectKey {
    /// A key that carries an id only.
    #[must_use]
    pub fn bare(id: impl Into<ObjectId>) -> Self {
        Self { id: id.into(), size: None, checksum: None }
    }
}

/// What one connector needs to find one object again.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Key {
    /// The key of a connector that stores objects itself.
    Object(ObjectKey),
    /// The key of a multi-connector.
    Multi(Box<MultiKey>),
}

impl From<ObjectKey> for Key {
    fn from(key: ObjectKey) -> Self {
        Self::Object(key)
    }
}

impl From<MultiKey> for Key {
    fn from(key: MultiKey) -> Self {
        Self::Multi(Box::new(key))
    }
}

/// The name of a connector and that connector's key: all that a reader with the same config needs.
///
/// ```
/// use crossdock::MultiKey;
/// let key: MultiKey = "disk/7c9e6679-7425-40de-944b-e07fc1f90ae7:12".parse()?;
/// assert_eq!(&*key.connector_name, "disk");
/// assert_eq!(key.to_string(), "disk/7c9e6679-7425-40de-944b-e07fc1f90ae7:12");
/// assert_eq!(
///     serde_json::to_string(&key).unwrap(),
///     r#"["disk",["7c9e6679-7425-40de-944b-e07fc1f90ae7",12]]"#,
/// );
/// # Ok::<(), crossdock::ParseKeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MultiKey {
    /// The name that the policy file gives to the connector.
    pub connector_name: Arc<str>,
    /// The connector's own key.
    pub connector_key: Key,
}

impl MultiKey {
    /// A key of the connector called `connector_name`.
    pub fn new(connector_name: impl Into<Arc<str>>, connector_key: impl Into<Key>) -> Self {
        Self { connector_name: connector_name.into(), connector_key: connector_key.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multi(key) => key.fmt(f),
            Self::Object(key) => {
                key.id.with_str(|id| percent_encode(f, id))?;
                let Some(size) = key.size else { return Ok(()) };
                write!(f, ":{size}")?;
                key.checksum.map_or(Ok(()), |checksum| write!(f, ":{checksum:016x}"))
            }
        }
    }
}

impl fmt::Display for MultiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        percent_encode(f, &self.connector_name)?;
        write!(f, "/{}", self.connector_key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl fmt::Debug for MultiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MultiKey({self})")
    }
}

/// The text given as a key is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseKeyError(String);

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseKeyError {}

impl FromStr for MultiKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        match text.parse()? {
            Key::Multi(key) => Ok(*key),
            Key::Object(_) => Err(malformed(text, "it names no connector; a key looks like NAME/ID")),
        }
    }
}

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let mut names: Vec<&str> = text.split('/').collect();
        if names.len() > MAX_DEPTH + 1 {
            return Err(malformed(text, "it nests more than 16 connectors"));
        }
        let leaf = names.pop().unwrap_or_default();
        let mut key = Self::Object(parse_leaf(leaf).map_err(|why| malformed(text, why))?);
        for name in names.into_iter().rev() {
            let name = percent_decode(name).map_err(|why| malformed(text, why))?;
            key = MultiKey::new(name, key).into();
        }
        Ok(key)
    }
}

fn parse_leaf(leaf: &str) -> Result<ObjectKey, &'static str> {
    let mut parts = leaf.split(':');
    let id = percent_decode(parts.next().unwrap_or_default())?;
    if id.is_empty() {
        return Err("its id is empty");
    }
    let size = parts.next().map(parse_size).transpose()?;
    let checksum = parts.next().map(parse_checksum).transpose()?;
    match parts.next() {
        None => Ok(ObjectKey { id: id.as_str().into(), size, checksum }),
        Some(_) => Err("it has more parts than ID:SIZE:CHECKSUM"),
    }
}

fn parse_size(text: &str) -> Result<u64, &'static str> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    canonical.then(|| text.parse().ok()).flatten().ok_or("its size is not a number of bytes")
}

fn parse_checksum(text: &str) -> Result<u64, &'static str> {
    let canonical = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    canonical
        .then(|| u64::from_str_radix(text, 16).ok())
        .flatten()
        .ok_or("its checksum is not 16 lower-case hexadecimal digits")
}

/// Keys are hostile input: the message shows at most 200 characters of one, escaped.
fn malformed(text: &str, why: &str) -> ParseKeyError {
    let shown: String = text.chars().take(200).collect();
    ParseKeyError(format!("{shown:?} is not a key: {why}"))
}

fn percent_encode(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    // A command would take a key that begins with a dash for an option.
    let text = match text.strip_prefix('-') {
        Some(rest) => {
            f.write_str("%2D")?;
            rest
        }
        None => text,
    };
    for part in text.split_inclusive(|c| !is_plain(c)) {
        match part.chars().next_back() {
            Some(last) if !is_plain(last) => {
                let (plain, special) = part.split_at(part.len() - last.len_utf8());
                f.write_str(plain)?;
                special.bytes().try_for_each(|byte| write!(f, "%{byte:02X}"))?;
            }
            _ => f.write_str(part)?,
        }
    }
    Ok(())
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~')
}

fn percent_decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit =
                    |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
                let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                    return Err("'%' is not followed by two hexadecimal digits");
                };
                bytes.push(high << 4 | low);
            }
            _ if is_plain(char::from(byte)) => bytes.push(byte),
            _ => return Err("it has a character that must be percent-encoded"),
        }
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8")
}

/// The JSON shapes of ProxyStore's tuples, ours with the size and the checksum behind.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Checked(String, Option<u64>, Option<String>),
    Sized(String, Option<u64>),
    Bare((String,)),
    Multi(String, Box<Wire>),
}

impl From<&Key> for Wire {
    fn from(key: &Key) -> Self {
        match key {
            Key::Multi(key) => (&**key).into(),
            Key::Object(key) => match (key.size, key.checksum) {
                (size @ Some(_), Some(checksum)) => {
                    Self::Checked(key.id.to_string(), size, Some(format!("{checksum:016x}")))
                }
                (size @ Some(_), None) => Self::Sized(key.id.to_string(), size),
                (None, _) => Self::Bare((key.id.to_string(),)),
            },
        }
    }
}

impl From<&MultiKey> for Wire {
    fn from(key: &MultiKey) -> Self {
        Self::Multi(key.connector_name.to_string(), Box::new((&key.connector_key).into()))
    }
}

impl Wire {
    fn into_key(self, depth: usize) -> Result<Key, &'static str> {
        let object = |id: String, size, checksum| match id.as_str() {
            "" => Err("the key's id is empty"),
            id => Ok(ObjectKey { id: id.into(), size, checksum }.into()),
        };
        match self {
            Self::Bare((id,)) => object(id, None, None),
            Self::Sized(id, size) => object(id, size, None),
            Self::Checked(id, size, checksum) => object(id, size, checksum.as_deref().map(parse_checksum).transpose()?),
            Self::Multi(..) if depth == MAX_DEPTH => Err("the key nests more than 16 connectors"),
            Self::Multi(name, key) => Ok(MultiKey::new(name, key.into_key(depth + 1)?).into()),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire::from(self).serialize(serializer)
    }
}

impl Serialize for MultiKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Wire::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom("a key is [name, [id]] or [name, [id, size, checksum]]"))?
            .into_key(0)
            .map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for MultiKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Key::deserialize(deserializer)? {
            Key::Multi(key) => Ok(*key),
            Key::Object(_) => Err(serde::de::Error::custom("the key names no connector: it must be [name, key]")),
        }
    }
}

#[cfg(all(test, feature = "remote"))]
mod tests {
    use super::*;

    #[test]
    fn several_ids_are_random_ones() {
        let ids = ObjectId::several(5000);
        let versions = ids.iter().map(|id| id.as_uuid().map(|uuid| (uuid.get_version_num(), uuid.get_variant())));
        assert!(versions.into_iter().all(|version| version == Some((4, uuid::Variant::RFC4122))));
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 5000);
        assert!(ObjectId::several(0).is_empty());
    }
}
