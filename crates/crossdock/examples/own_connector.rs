//! A connector of one's own: its options, the connector, its type for configs, and the contract tested.
//!
//! It keeps each object as one file that appears by a rename. Run it with `cargo run -p crossdock --example own_connector`,
//! and its tests with `cargo test -p crossdock --example own_connector`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossdock::config::{Config, FieldKind, FieldSpec, Fields, Reference, Table};
use crossdock::{
    Bytes, Checkup, CloseOptions, Connector, ConnectorConfig, ConnectorType, Deferrable, Durability, Error, ErrorKind,
    GcOptions, GcReport, GetOptions, Integrity, Key, ObjectId, ObjectKey, Opener, Properties, PutOptions, Registry,
    Result, undo_batch,
};

/// The options, as a config holds them. Reading them does no I/O.
#[derive(Clone, Debug)]
struct ShelfOptions {
    path: Reference,
}

impl ShelfOptions {
    const FIELDS: &'static [FieldSpec] =
        &[FieldSpec::new("path", FieldKind::Text, "The directory of the objects.").required()];

    fn from_fields(fields: &Fields<'_>) -> Result<Self> {
        let path = fields.text("path")?.ok_or_else(|| fields.wrong("path", "is missing; name a directory"))?;
        Ok(Self { path })
    }
}

impl Opener for ShelfOptions {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        let path = PathBuf::from(self.path.resolve()?);
        std::fs::create_dir_all(&path).map_err(|cause| Error::from_io("make", path.display(), cause))?;
        Ok(Arc::new(Shelf { options: self.clone(), path, closed: AtomicBool::new(false) }))
    }

    fn config(&self) -> ConnectorConfig {
        ConnectorConfig::new("shelf", Table::new().with("path", self.path.as_str()))
    }

    fn properties(&self) -> Properties {
        Properties::NONE.durable(Durability::Process).shared()
    }
}

#[derive(Debug)]
struct Shelf {
    options: ShelfOptions,
    path: PathBuf,
    closed: AtomicBool,
}

impl Shelf {
    fn require_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the shelf is closed; open it again"));
        }
        Ok(())
    }

    /// Where the object is. Keys are hostile: nothing but one of our own ids becomes a path.
    fn place(&self, id: &ObjectId) -> Result<PathBuf> {
        self.require_open()?;
        let id = id.to_string();
        if id.len() != 36 || !id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(Error::new(ErrorKind::InvalidKey, "the key is none of a shelf; use keys as put returned them"));
        }
        Ok(self.path.join(id))
    }
}

impl Connector for Shelf {
    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        self.properties().require(options.durability)?;
        let key = ObjectKey::sealed(ObjectId::random(), &object, Integrity::Checksum);
        let place = self.place(&key.id)?;
        let draft = place.with_extension("draft");
        let written = std::fs::write(&draft, &object).and_then(|()| std::fs::rename(&draft, &place));
        written.map_err(|cause| {
            // A failed put leaves nothing behind.
            let _ = std::fs::remove_file(&draft);
            Error::from_io("write", place.display(), cause)
        })?;
        Ok(key.into())
    }

    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        self.require_open()?;
        let mut written = Vec::with_capacity(objects.len());
        for object in objects {
            match self.put(object.clone(), options) {
                Ok(key) => written.push(key),
                Err(error) => return Err(undo_batch(self, written, error)),
            }
        }
        Ok(written)
    }

    fn get(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        let key = key.as_object()?;
        let place = self.place(&key.id)?;
        match std::fs::read(&place) {
            Ok(object) => {
                key.verify(&object, options.integrity.unwrap_or_default())?;
                Ok(Some(object.into()))
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::from_io("read", place.display(), cause)),
        }
    }

    fn get_batch(&self, keys: &[Key], options: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        self.require_open()?;
        keys.iter().map(|key| self.get(key, options)).collect()
    }

    fn exists(&self, key: &Key) -> Result<bool> {
        let place = self.place(&key.as_object()?.id)?;
        place.try_exists().map_err(|cause| Error::from_io("look for", place.display(), cause))
    }

    fn evict(&self, key: &Key) -> Result<()> {
        let place = self.place(&key.as_object()?.id)?;
        match std::fs::remove_file(&place) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(Error::from_io("remove", place.display(), cause))
            }
            _ => Ok(()),
        }
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        None
    }

    fn config(&self) -> ConnectorConfig {
        self.options.config()
    }

    fn properties(&self) -> Properties {
        self.options.properties()
    }

    fn check(&self) -> Result<Checkup> {
        Checkup::of(self)
    }

    fn gc(&self, _: &GcOptions) -> Result<GcReport> {
        self.place(&ObjectId::random())?;
        Ok(GcReport::default())
    }

    fn close(&self, _: &CloseOptions) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

/// The built-in types and this one.
fn registry() -> Registry {
    let mut registry = Registry::builtin();
    let read = |fields: &Fields<'_>| -> Result<Arc<dyn Opener>> { Ok(Arc::new(ShelfOptions::from_fields(fields)?)) };
    registry.register(ConnectorType::new("shelf", ShelfOptions::FIELDS, read));
    registry
}

fn main() -> Result<()> {
    let path = std::env::temp_dir().join(format!("shelf-{}", std::process::id()));
    let text = format!("[connectors.mine]\ntype = \"shelf\"\npath = \"{}\"", path.display());
    let multi = registry().connect(&Config::from_text(&text)?)?;
    let key = multi.put("an object", &PutOptions::new())?;
    println!("{key}");
    assert_eq!(multi.get(&key)?.as_deref(), Some(&b"an object"[..]));
    std::fs::remove_dir_all(&path).map_err(|cause| Error::from_io("remove", path.display(), cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossdock::testing::Subject;

    fn subject() -> Subject {
        let dir = tempfile::tempdir().unwrap();
        let options = ShelfOptions { path: Reference::literal(&dir.path().display().to_string()) };
        Subject::new(options.open().unwrap(), |config| registry().open(config)).keeping(dir)
    }

    crossdock::conformance!(shelf, subject());
}
