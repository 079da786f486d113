//! The file connector: its layout on the disk, its guards, its garbage collection.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossdock::config::Config;
use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{
    CloseOptions, Connector, ConnectorExt, Deferrable, Durability, ErrorKind, GcOptions, GetOptions, Integrity, Key,
    KeyHint, ObjectKey, Opener, PutOptions, Registry,
};
use tempfile::TempDir;

const UUID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

fn open(dir: &TempDir) -> FileConnector {
    FileConnector::open(&FileOptions::new(dir.path())).unwrap()
}

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn id(key: &Key) -> String {
    match key {
        Key::Object(key) => key.id.to_string(),
        other => panic!("{other} is not a file's key"),
    }
}

fn bare(id: &str) -> Key {
    ObjectKey::bare(id).into()
}

fn everything() -> GcOptions {
    GcOptions::default().min_age(Duration::ZERO)
}

#[test]
fn objects_of_every_size_are_whole_private_and_marked() {
    let dir = temp();
    let files = open(&dir);
    // Small ones are written under their names, large ones get them when they are whole.
    for size in [0, 1, 128 << 10, (128 << 10) + 1, 20 << 20] {
        let object: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let key = files.put_bytes(object.clone()).unwrap();
        assert_eq!(files.get_bytes(&key).unwrap().as_deref(), Some(&object[..]));
        let stat = fs::metadata(dir.path().join(id(&key))).unwrap();
        assert_eq!((stat.mode() & 0o777, stat.nlink(), stat.len()), (0o600, 1, object.len() as u64));
        assert!(files.exists(&key).unwrap());
        fs::remove_file(dir.path().join(format!("{}.ready", id(&key)))).unwrap();
        assert!(!files.exists(&key).unwrap());
        assert_eq!(files.get_bytes(&bare(&id(&key))).unwrap(), None, "without its marker it is no object");
    }
}

#[test]
fn without_write_once_an_object_can_be_replaced_whole() {
    let dir = temp();
    let files = FileConnector::open(&FileOptions::new(dir.path()).write_once(false)).unwrap();
    let key = files.put_bytes("first").unwrap();
    assert_eq!(key, bare(&id(&key)), "the key says nothing of bytes that may change");
    let view = files.get(&key, &GetOptions::view()).unwrap().unwrap();
    let second = vec![2; 3 << 20];
    files.set(&key, second.clone().into(), &PutOptions::new()).unwrap();
    assert_eq!(&*view, b"first", "who looks at the old one goes on to see it");
    assert_eq!(files.get_bytes(&key).unwrap().unwrap(), second);
    let later = files.new_key(&KeyHint::new()).unwrap();
    files.set(&later, "a".into(), &PutOptions::new()).unwrap();
    files.set(&later, "b".into(), &PutOptions::new()).unwrap();
    assert_eq!(files.get_bytes(&later).unwrap().as_deref(), Some(&b"b"[..]));
    assert_eq!(names(dir.path()).len(), 4, "two objects with their markers, and nothing else");
    assert_eq!(
        Opener::config(&FileOptions::new(dir.path()).write_once(false)).options.get("write_once").unwrap().value,
        false.into()
    );

    // Readers have the one or the other, never a mixture.
    let (old, new) = (vec![1; 1 << 20], vec![2; 1 << 20]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..200 {
                let object = if n % 2 == 0 { &old } else { &new };
                files.set(&key, object.clone().into(), &PutOptions::new()).unwrap();
            }
        });
        for _ in 0..200 {
            let found = files.get_bytes(&key).unwrap().unwrap();
            assert!(found == old || found == new || found == second);
        }
    });
}

#[test]
fn the_key_of_a_put_cannot_be_set_to_other_bytes() {
    let dir = temp();
    let files = open(&dir);
    let key = files.put_bytes("object").unwrap();
    for other in ["0bject", "longer object"] {
        let error = files.set(&key, other.into(), &PutOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
    files.set(&key, "object".into(), &PutOptions::new()).unwrap();
}

#[test]
fn an_object_is_read_into_memory_of_the_callers() {
    let dir = temp();
    let files = open(&dir);
    let key = files.put_bytes("object").unwrap();
    let read =
        |key: &Key, room: usize| files.get_into(key, &GetOptions::default(), |_| Ok(Box::new_uninit_slice(room)));
    let memory = read(&key, 9).unwrap().unwrap();
    assert_eq!(memory.len(), 9, "more than enough is fine");
    assert_eq!(read(&key, 5).unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(read(&bare(UUID), 9).unwrap().is_none());
    let refuse = |_| Err::<Box<[std::mem::MaybeUninit<u8>]>, _>(crossdock::Error::new(ErrorKind::Full, "no memory"));
    assert_eq!(files.get_into(&key, &GetOptions::default(), refuse).unwrap_err().kind(), ErrorKind::Full);
    fs::write(dir.path().join(id(&key)), "0bject").unwrap();
    assert_eq!(read(&key, 6).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn an_object_is_a_uuid_and_an_empty_marker_beside_it() {
    let dir = temp();
    let files = open(&dir);
    for object in ["first", "second"] {
        let key = files.put_bytes(object).unwrap();
        let id = id(&key);
        assert_eq!(fs::read(dir.path().join(&id)).unwrap(), object.as_bytes());
        assert_eq!(fs::read(dir.path().join(format!("{id}.ready"))).unwrap(), b"");
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "4", "a random UUID: version 4");
    }
    assert_eq!(names(dir.path()).len(), 4);
}

#[test]
fn objects_of_proxystore_are_read_by_keys_that_say_nothing() {
    let dir = temp();
    fs::write(dir.path().join(UUID), "theirs").unwrap();
    let files = open(&dir);
    assert!(!files.exists(&bare(UUID)).unwrap(), "not before its marker");
    assert_eq!(files.get_bytes(&bare(UUID)).unwrap(), None);
    fs::write(dir.path().join(format!("{UUID}.ready")), "").unwrap();
    assert!(files.exists(&bare(UUID)).unwrap());
    assert_eq!(files.get_bytes(&bare(UUID)).unwrap().as_deref(), Some(&b"theirs"[..]));
    files.evict(&bare(UUID)).unwrap();
    assert!(names(dir.path()).is_empty());
}

#[test]
fn files_are_private() {
    let dir = temp();
    let below = dir.path().join("a/b");
    let files = FileConnector::open(&FileOptions::new(&below)).unwrap();
    let key = files.put_bytes("object").unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(below.join(id(&key))), 0o600);
    assert_eq!(mode(below.join(format!("{}.ready", id(&key)))), 0o600);
    assert_eq!([mode(below), mode(dir.path().join("a"))], [0o700, 0o700]);
}

#[test]
fn a_marker_can_be_had_however_many_there_are() {
    let dir = temp();
    let files = open(&dir);
    let first = files.put_bytes("first").unwrap();
    files.evict(&first).unwrap();
    // The empty file that markers are links to has lost its last name by now.
    let keys: Vec<Key> = (0..3).map(|n| files.put_bytes(vec![n; 3]).unwrap()).collect();
    let links = |key| fs::metadata(dir.path().join(format!("{}.ready", id(key)))).unwrap().nlink();
    assert_eq!(keys.iter().map(links).collect::<Vec<_>>(), [3, 3, 3]);
}

#[test]
fn no_key_reads_or_removes_outside_of_the_directory() {
    let parent = temp();
    let dir = parent.path().join("objects");
    let files = FileConnector::open(&FileOptions::new(&dir)).unwrap();
    for name in ["outside", "outside.ready"] {
        fs::write(parent.path().join(name), "canary").unwrap();
    }
    let absolute = parent.path().join("outside").display().to_string();
    for id in ["../outside", "./../outside", "objects/../../outside", &absolute, "..", "."] {
        let key = bare(id);
        assert_eq!(files.get_bytes(&key).unwrap_err().kind(), ErrorKind::InvalidKey, "{id}");
        assert_eq!(files.exists(&key).unwrap_err().kind(), ErrorKind::InvalidKey, "{id}");
        assert_eq!(files.evict(&key).unwrap_err().kind(), ErrorKind::InvalidKey, "{id}");
        let set = files.set(&key, "x".into(), &PutOptions::new());
        assert_eq!(set.unwrap_err().kind(), ErrorKind::InvalidKey, "{id}");
    }
    assert_eq!(fs::read(parent.path().join("outside")).unwrap(), b"canary");
}

#[test]
fn links_fifos_and_directories_are_no_objects() {
    let (dir, elsewhere) = (temp(), temp());
    let files = open(&dir);
    let secret = elsewhere.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    symlink(&secret, dir.path().join("link")).unwrap();
    fs::create_dir(dir.path().join("directory")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    for name in ["link", "directory", "fifo"] {
        fs::write(dir.path().join(format!("{name}.ready")), "").unwrap();
        for options in [GetOptions::default(), GetOptions::view()] {
            assert_eq!(files.get(&bare(name), &options).unwrap_err().kind(), ErrorKind::InvalidKey, "{name}");
        }
    }
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
}

#[test]
fn a_changed_file_is_corrupt_never_wrong_bytes() {
    let dir = temp();
    let files = open(&dir);
    let key = files.put_bytes("the object").unwrap();
    let path = dir.path().join(id(&key));
    for changed in ["the 0bject", "the objec", "the object!", ""] {
        fs::write(&path, changed).unwrap();
        assert_eq!(files.get_bytes(&key).unwrap_err().kind(), ErrorKind::Corrupt, "{changed:?}");
        let checked = GetOptions::view().integrity(Integrity::Checksum);
        assert_eq!(files.get(&key, &checked).unwrap_err().kind(), ErrorKind::Corrupt, "{changed:?}");
    }
}

#[test]
fn keys_carry_no_checksum_where_only_the_size_is_asked_for() {
    let dir = temp();
    let files = FileConnector::open(&FileOptions::new(dir.path()).integrity(Integrity::Size)).unwrap();
    let key = files.put_bytes("object").unwrap();
    assert!(key.to_string().ends_with(":6"), "{key}");
}

#[test]
fn a_key_that_says_what_its_object_is_takes_no_other() {
    let dir = temp();
    let files = open(&dir);
    let key = files.put_bytes("object").unwrap();
    files.evict(&key).unwrap();
    assert_eq!(files.set(&key, "other!".into(), &PutOptions::new()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    files.set(&key, "object".into(), &PutOptions::new()).unwrap();
    assert_eq!(files.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]));
}

#[test]
fn a_set_that_was_killed_before_its_marker_can_be_repeated() {
    let dir = temp();
    let files = open(&dir);
    let key = files.new_key(&KeyHint::default()).unwrap();
    files.set(&key, "object".into(), &PutOptions::new().durability(Durability::Host)).unwrap();
    fs::remove_file(dir.path().join(format!("{}.ready", id(&key)))).unwrap();
    assert!(!files.exists(&key).unwrap());
    let other = files.set(&key, "other".into(), &PutOptions::new());
    assert_eq!(other.unwrap_err().kind(), ErrorKind::AlreadyExists);
    files.set(&key, "object".into(), &PutOptions::new()).unwrap();
    assert_eq!(files.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]));
}

#[test]
fn gc_removes_halves_and_nothing_else() {
    let dir = temp();
    let files = open(&dir);
    let kept = files.put_bytes("object").unwrap();
    let other = |n: usize| format!("7c9e6679-7425-40de-944b-{n:012}");
    fs::write(dir.path().join(other(1)), "killed before its marker").unwrap();
    fs::write(dir.path().join(format!("{}.ready", other(2))), "").unwrap();
    fs::write(dir.path().join("notes.txt"), "foreign").unwrap();
    fs::write(dir.path().join("other.ready"), "foreign").unwrap();
    fs::create_dir(dir.path().join(other(3))).unwrap();
    symlink("/etc/passwd", dir.path().join(other(4))).unwrap();

    let young = files.gc(&GcOptions::default()).unwrap();
    assert_eq!((young.removed, young.kept), (0, 2));
    let counted = files.gc(&everything().dry_run(true)).unwrap();
    assert_eq!((counted.removed, counted.bytes), (2, 24));
    assert_eq!(names(dir.path()).len(), 8, "a dry run removes nothing");
    assert_eq!(files.gc(&everything()).unwrap(), counted);
    let foreign = [other(3), other(4), "notes.txt".to_owned(), "other.ready".to_owned()];
    let object = [id(&kept), format!("{}.ready", id(&kept))];
    assert_eq!(names(dir.path()), foreign.into_iter().chain(object).collect());
}

#[test]
fn clearing_removes_objects_and_leaves_what_is_foreign() {
    let dir = temp();
    let objects = dir.path().join("objects");
    let files = FileConnector::open(&FileOptions::new(&objects).clear(true)).unwrap();
    files.put_bytes("object").unwrap();
    fs::write(objects.join("notes.txt"), "foreign").unwrap();
    files.close(&CloseOptions::default()).unwrap();
    assert_eq!(names(&objects), BTreeSet::from(["notes.txt".to_owned()]));
    fs::remove_file(objects.join("notes.txt")).unwrap();
    let again = FileConnector::open(&FileOptions::new(&objects).clear(true)).unwrap();
    again.put_bytes("object").unwrap();
    again.close(&CloseOptions::default()).unwrap();
    assert!(!objects.exists(), "nothing else was in it");
}

#[test]
fn a_close_may_override_what_was_asked_for_at_first() {
    let dir = temp();
    let files = FileConnector::open(&FileOptions::new(dir.path()).clear(true)).unwrap();
    let key = files.put_bytes("object").unwrap();
    files.close(&CloseOptions::default().clear(false)).unwrap();
    assert!(open(&dir).exists(&key).unwrap());
}

#[test]
fn a_directory_that_was_removed_is_made_anew_by_a_put_and_empty_for_a_get() {
    let dir = temp();
    let objects = dir.path().join("objects");
    let files = FileConnector::open(&FileOptions::new(&objects)).unwrap();
    let key = files.put_bytes("object").unwrap();
    fs::remove_dir_all(&objects).unwrap();
    assert_eq!(files.get_bytes(&key).unwrap(), None);
    assert!(!objects.exists(), "reading makes nothing");
    let key = files.put_bytes("again").unwrap();
    assert_eq!(files.get_bytes(&key).unwrap().as_deref(), Some(&b"again"[..]));
}

#[test]
fn a_directory_that_was_replaced_is_looked_at_anew() {
    let dir = temp();
    let objects = dir.path().join("objects");
    let reader = FileConnector::open(&FileOptions::new(&objects)).unwrap();
    fs::rename(&objects, dir.path().join("away")).unwrap();
    let key = FileConnector::open(&FileOptions::new(&objects)).unwrap().put_bytes("object").unwrap();
    assert_eq!(reader.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]));
}

#[test]
fn relative_directories_are_fixed_when_they_are_named() {
    let options = FileOptions::new("objects");
    let here = std::env::current_dir().unwrap().join("objects").display().to_string();
    assert_eq!(options.config().options.get("dir").unwrap().value, here.as_str().into());
}

#[test]
fn a_config_names_no_directory_that_depends_on_the_reader() {
    for (dir, advice) in [
        ("objects", "whole path"),
        ("./objects", "whole path"),
        ("~/objects", "${env:HOME}/objects"),
        ("$SCRATCH/objects", "${env:SCRATCH}"),
    ] {
        let config = Config::from_text(&format!("[connectors.a]\ntype = \"file\"\ndir = \"{dir}\"")).unwrap();
        let error = Registry::builtin().connect(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.message().contains(advice) && error.message().contains("line 3"), "{error}");
    }
}

#[test]
fn a_path_that_is_no_utf8_is_refused_not_changed() {
    use std::os::unix::ffi::OsStrExt;
    let dir = temp();
    let path = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    let error = FileConnector::open(&FileOptions::new(path)).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidConfig && error.message().contains("UTF-8"), "{error}");
    assert!(names(dir.path()).is_empty());
}

/// As a config opens it.
fn lazily(options: &FileOptions) -> std::sync::Arc<dyn Connector> {
    options.open().unwrap()
}

#[test]
fn only_a_put_makes_the_directory_and_reading_without_it_is_unavailable() {
    let dir = temp();
    let objects = dir.path().join("a/b");
    let key = bare(UUID);
    let reader = lazily(&FileOptions::new(&objects));
    for error in
        [reader.get_bytes(&key).unwrap_err(), reader.exists(&key).unwrap_err(), reader.evict(&key).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("is not there"), "{error}");
    }
    assert_eq!(reader.gc(&everything()).unwrap().removed, 0);
    assert!(names(dir.path()).is_empty());
    let strict = lazily(&FileOptions::new(&objects).make_dir(false));
    assert_eq!(strict.put_bytes("x").unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(names(dir.path()).is_empty());

    let key = lazily(&FileOptions::new(&objects)).put_bytes("object").unwrap();
    assert_eq!(reader.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]), "it sees what came later");
    assert_eq!(strict.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]));
    strict.put_bytes("there now").unwrap();
}

#[test]
fn what_cannot_be_opened_says_why() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path().to_owned(), file.path().join("below")] {
        let error = FileConnector::open(&FileOptions::new(&path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn a_second_set_compares_bytes_not_sizes() {
    let dir = temp();
    let files = open(&dir);
    let key = files.new_key(&KeyHint::default()).unwrap();
    files.set(&key, "object".into(), &PutOptions::new()).unwrap();
    for other in ["0bject", "objec", "object!", ""] {
        let error = files.set(&key, other.into(), &PutOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{other:?}");
        assert_eq!(files.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]), "{other:?}");
    }
    files.set(&key, "object".into(), &PutOptions::new()).unwrap();
}

#[test]
fn an_object_exists_only_if_its_file_and_its_marker_do() {
    let dir = temp();
    let files = open(&dir);
    let key = files.put_bytes("object").unwrap();
    let path = dir.path().join(id(&key));
    fs::remove_file(&path).unwrap();
    assert!(!files.exists(&key).unwrap(), "only the marker is left");
    assert_eq!(files.get_bytes(&key).unwrap(), None);
    fs::create_dir(&path).unwrap();
    assert!(!files.exists(&key).unwrap(), "a directory is no object");
}

/// What is left where somebody was killed between the marker and the file of an object that he evicted, or set.
#[test]
fn without_its_marker_an_object_is_had_only_with_a_key_that_proves_it() {
    let dir = temp();
    let files = open(&dir);
    let key = files.put_bytes("object").unwrap();
    let (path, marker) = (dir.path().join(id(&key)), dir.path().join(format!("{}.ready", id(&key))));
    fs::remove_file(marker).unwrap();
    let Key::Object(sealed) = &key else { panic!("{key} is not a file's key") };
    let sized: Key = ObjectKey { checksum: None, ..sealed.clone() }.into();
    let unchecked = GetOptions::default().integrity(Integrity::Size);
    for (key, options) in [(&sized, &GetOptions::default()), (&key, &unchecked), (&key, &GetOptions::view())] {
        assert_eq!(files.get(key, options).unwrap(), None, "{key}, {options:?}");
    }
    assert_eq!(files.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]));
    for changed in ["0bject", "objec", "object!", ""] {
        fs::write(&path, changed).unwrap();
        assert_eq!(files.get_bytes(&key).unwrap(), None, "{changed:?}");
        let memory = files.get_into(&key, &GetOptions::default(), |size| Ok(Box::new_uninit_slice(size)));
        assert!(memory.unwrap().is_none(), "{changed:?}");
    }
    files.evict(&key).unwrap();
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_view_checks_the_size_and_the_checksum_only_when_asked() {
    let dir = temp();
    let files = open(&dir);
    let key = files.put_bytes("object").unwrap();
    fs::write(dir.path().join(id(&key)), "0bject").unwrap();
    assert_eq!(files.get(&key, &GetOptions::view()).unwrap().as_deref(), Some(&b"0bject"[..]));
    let checked = GetOptions::view().integrity(Integrity::Checksum);
    assert_eq!(files.get(&key, &checked).unwrap_err().kind(), ErrorKind::Corrupt);
    let unchecked = GetOptions::default().integrity(Integrity::Size);
    assert_eq!(files.get(&key, &unchecked).unwrap().as_deref(), Some(&b"0bject"[..]));
    fs::write(dir.path().join(id(&key)), "objec").unwrap();
    assert_eq!(files.get(&key, &GetOptions::view()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn an_evict_takes_the_marker_first() {
    let dir = temp();
    let files = open(&dir);
    let (path, marker) = (dir.path().join(UUID), dir.path().join(format!("{UUID}.ready")));
    fs::write(&path, "object").unwrap();
    // A directory is what an evict cannot remove.
    fs::create_dir(&marker).unwrap();
    assert_eq!(files.evict(&bare(UUID)).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(fs::read(&path).unwrap(), b"object");
    fs::remove_dir(&marker).unwrap();
    files.evict(&bare(UUID)).unwrap();
    assert!(names(dir.path()).is_empty(), "what a killed writer left can be evicted");
}

#[test]
fn a_foreign_file_is_not_evicted() {
    let dir = temp();
    let files = open(&dir);
    fs::write(dir.path().join("notes.txt"), "foreign").unwrap();
    assert!(!files.exists(&bare("notes.txt")).unwrap());
    files.evict(&bare("notes.txt")).unwrap();
    assert_eq!(names(dir.path()), BTreeSet::from(["notes.txt".to_owned()]));
    fs::write(dir.path().join("notes.txt.ready"), "").unwrap();
    files.evict(&bare("notes.txt")).unwrap();
    assert!(names(dir.path()).is_empty(), "with a marker it is an object");
}

#[test]
fn a_put_and_an_evict_follow_a_directory_that_was_replaced() {
    let dir = temp();
    let (objects, away) = (dir.path().join("objects"), dir.path().join("away"));
    let files = FileConnector::open(&FileOptions::new(&objects)).unwrap();
    let old = files.put_bytes("old").unwrap();
    fs::rename(&objects, &away).unwrap();
    fs::create_dir(&objects).unwrap();
    let theirs = FileConnector::open(&FileOptions::new(&objects)).unwrap().put_bytes("theirs").unwrap();
    files.evict(&theirs).unwrap();
    assert!(names(&objects).is_empty());
    let new = files.put_bytes("new").unwrap();
    assert_eq!(names(&objects), BTreeSet::from([id(&new), format!("{}.ready", id(&new))]));
    assert_eq!(names(&away), BTreeSet::from([id(&old), format!("{}.ready", id(&old))]));

    fs::rename(&objects, dir.path().join("away too")).unwrap();
    fs::create_dir(&objects).unwrap();
    let key = files.new_key(&KeyHint::default()).unwrap();
    files.set(&key, "set".into(), &PutOptions::new().durability(Durability::Host)).unwrap();
    files.set(&key, "set".into(), &PutOptions::new()).unwrap();
    assert_eq!(names(&objects), BTreeSet::from([id(&key), format!("{}.ready", id(&key))]));
}

#[test]
fn a_lone_marker_is_as_old_as_it_was_written_however_often_it_was_linked() {
    let dir = temp();
    let files = open(&dir);
    let lost = files.put_bytes("lost").unwrap();
    let half = files.put_bytes("half").unwrap();
    fs::remove_file(dir.path().join(id(&lost))).unwrap();
    fs::remove_file(dir.path().join(format!("{}.ready", id(&half)))).unwrap();
    for name in [format!("{}.ready", id(&lost)), id(&half)] {
        fs::File::open(dir.path().join(name)).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    let kept = files.put_bytes("linked now").unwrap();
    let report = files.gc(&GcOptions::default()).unwrap();
    assert_eq!((report.removed, report.kept), (1, 1), "nobody can make a file look older than it is");
    assert_eq!(names(dir.path()), BTreeSet::from([id(&half), id(&kept), format!("{}.ready", id(&kept))]));
}

#[test]
fn errors_show_references_and_never_what_they_stand_for() {
    use crossdock::config::Reference;
    let dir = temp();
    let (target, named) = (dir.path().join("secret"), dir.path().join("named"));
    fs::write(&named, target.display().to_string()).unwrap();
    let reference = format!("${{file:{}}}", named.display());
    let files = lazily(&FileOptions::at(Reference::new(reference.as_str()).unwrap()));
    let strict = lazily(&FileOptions::at(Reference::new(reference.as_str()).unwrap()).make_dir(false));
    let mut errors = vec![files.get_bytes(&bare(UUID)).unwrap_err(), strict.put_bytes("x").unwrap_err()];

    let key = files.put_bytes("object").unwrap();
    fs::remove_file(target.join(id(&key))).unwrap();
    fs::create_dir(target.join(id(&key))).unwrap();
    errors.push(files.get_bytes(&key).unwrap_err());
    errors.push(files.evict(&key).unwrap_err());

    fs::remove_dir_all(&target).unwrap();
    fs::write(&target, "a file").unwrap();
    let blocked = FileOptions::at(Reference::new(format!("{reference}/below")).unwrap());
    errors.push(FileConnector::open(&blocked).unwrap_err());
    let blocked = FileOptions::at(Reference::new(reference.as_str()).unwrap());
    errors.push(FileConnector::open(&blocked).unwrap_err());
    for error in errors {
        let text = format!("{error} {error:?}");
        assert!(text.contains(&reference) && !text.contains("secret"), "{text}");
    }
    assert!(!format!("{files:?} {blocked:?}").contains("secret"));
}
