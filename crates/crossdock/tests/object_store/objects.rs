//! Objects of every size, keys of every kind, batches, clearing.

use std::collections::HashSet;
use std::fs;

use crossdock::connectors::ObjectStoreOptions;
use crossdock::{
    Bytes, CloseOptions, Connector, ConnectorExt, Deferrable, ErrorKind, GcOptions, GetOptions, Integrity, Key,
    KeyHint, ObjectKey, PutOptions,
};
use libtest_mimic::Trial;

use crate::common::{Outcome, SHARED, count, kind_of, open, options, parts, pattern, start};

pub(crate) fn trials() -> Vec<Trial> {
    crate::common::trials(&[
        ("objects_around_the_thresholds", objects_around_the_thresholds),
        ("a_large_object_goes_in_parts", a_large_object_goes_in_parts),
        ("objects_are_files_behind_the_prefix", objects_are_files_behind_the_prefix),
        ("bytes_in_memory_of_the_callers", bytes_in_memory_of_the_callers),
        ("a_batch_of_many_and_of_large_ones", a_batch_of_many_and_of_large_ones),
        ("a_batch_read_with_keys_that_say_nothing", a_batch_read_with_keys_that_say_nothing),
        ("large_objects_are_set_once", large_objects_are_set_once),
        ("an_object_that_may_be_replaced", an_object_that_may_be_replaced),
        ("damaged_objects_are_not_handed_out", damaged_objects_are_not_handed_out),
        ("only_plain_ids_are_keys", only_plain_ids_are_keys),
        ("clearing_removes_what_is_ours", clearing_removes_what_is_ours),
        ("only_who_asks_clears", only_who_asks_clears),
        ("a_check_says_what_it_found", a_check_says_what_it_found),
    ])
}

const MIB: usize = 1 << 20;

/// Parts as small as S3 allows.
fn in_small_parts() -> ObjectStoreOptions {
    options(&SHARED).multipart_threshold(6 << 20).part_size(5 << 20)
}

fn bare(key: &Key) -> Key {
    let Key::Object(object) = key else { panic!("a key of an object") };
    ObjectKey::bare(object.id.clone()).into()
}

fn objects_around_the_thresholds() -> Outcome {
    let store = open(&in_small_parts());
    let edges = [0, 1, 5 * MIB, 6 * MIB, 10 * MIB, 15 * MIB, 30 * MIB];
    let sizes: HashSet<usize> = edges.iter().flat_map(|edge| [edge.saturating_sub(1), *edge, edge + 1]).collect();
    for size in sizes {
        let object = pattern(size, size);
        let key = store.put_bytes(object.clone())?;
        assert!(store.get_bytes(&key)? == Some(object.clone()), "{size} bytes");
        assert!(store.get_bytes(&bare(&key))? == Some(object), "{size} bytes, by a key that does not say so");
        store.evict(&key)?;
        assert_eq!((store.get_bytes(&key)?, store.get_bytes(&bare(&key))?), (None, None));
    }
    Ok(())
}

fn a_large_object_goes_in_parts() -> Outcome {
    let server = start();
    let store = open(&options(&server));
    let object = pattern(1, 100_000_001);
    let key = store.put_bytes(object.clone())?;
    assert!(store.get_bytes(&key)? == Some(object));
    assert_eq!((count(&server), parts(&server)), (1, 0), "one object, nothing besides");
    Ok(())
}

fn objects_are_files_behind_the_prefix() -> Outcome {
    let server = start();
    let options = options(&server);
    let key = open(&options).put_bytes("object")?;
    let Key::Object(object) = &key else { return Err("a key of an object".into()) };
    let (_, path) = options.url().split_once("s3://objects/").ok_or("a prefix")?;
    let file = server.bucket_dir("objects").join(path).join(object.id.to_string());
    assert_eq!(fs::read(file)?, b"object");
    Ok(())
}

fn bytes_in_memory_of_the_callers() -> Outcome {
    let store = open(&in_small_parts());
    let of = |size| Ok(Box::new_uninit_slice(size));
    for size in [0, 10, 20 * MIB + 3] {
        let object = pattern(7, size);
        let key = store.put_bytes(object.clone())?;
        let memory = store.get_into(&key, &GetOptions::default(), of)?.ok_or("it is there")?;
        // All of it was filled, or it would not have come back.
        let bytes: Vec<u8> = memory.iter().map(|byte| filled(*byte)).collect();
        assert!(bytes == object);
        let more = |size| Ok(Box::new_uninit_slice(size + 5));
        assert_eq!(store.get_into(&key, &GetOptions::default(), more)?.map(|memory| memory.len()), Some(size + 5));
        let less = |size: usize| Ok(Box::new_uninit_slice(size.saturating_sub(1)));
        let too_small = store.get_into(&key, &GetOptions::default(), less);
        assert_eq!(too_small.is_err(), size > 0);
        store.evict(&key)?;
        assert!(store.get_into(&key, &GetOptions::default(), of)?.is_none());
    }
    Ok(())
}

#[expect(unsafe_code, reason = "looking at memory that was filled")]
fn filled(byte: std::mem::MaybeUninit<u8>) -> u8 {
    // SAFETY: `get_into` has filled it.
    unsafe { byte.assume_init() }
}

fn a_batch_of_many_and_of_large_ones() -> Outcome {
    let server = start();
    let store = open(&options(&server).multipart_threshold(6 << 20).part_size(5 << 20));
    let mut objects: Vec<Bytes> = (0..256).map(|n| pattern(n, 10_000 + n)).collect();
    objects[17] = pattern(17, 12 * MIB);
    objects[255] = Bytes::new();
    let keys = store.put_batch(&objects, &PutOptions::new())?;
    assert_eq!((count(&server), parts(&server)), (256, 0));
    let mut wanted: Vec<Key> = keys.iter().rev().cloned().collect();
    wanted.push(ObjectKey::bare("of-nobody").into());
    let found = store.get_batch(&wanted, &GetOptions::default())?;
    let expected: Vec<Option<Bytes>> = objects.into_iter().rev().map(Some).chain([None]).collect();
    assert!(found == expected, "each in its place");
    Ok(())
}

fn a_batch_read_with_keys_that_say_nothing() -> Outcome {
    let store = open(&in_small_parts());
    let objects: Vec<Bytes> = [0, 5, 12 * MIB].into_iter().map(|size| pattern(size, size)).collect();
    let keys: Vec<Key> = store.put_batch(&objects, &PutOptions::new())?.iter().map(bare).collect();
    let found = store.get_batch(&keys, &GetOptions::default())?;
    assert!(found.into_iter().eq(objects.into_iter().map(Some)));
    Ok(())
}

fn large_objects_are_set_once() -> Outcome {
    let server = start();
    let store = open(&options(&server).multipart_threshold(6 << 20).part_size(5 << 20));
    let key = store.new_key(&KeyHint::new())?;
    let object = pattern(1, 11 * MIB);
    store.set(&key, object.clone(), &PutOptions::new())?;
    store.set(&key, object.clone(), &PutOptions::new())?;
    for other in [pattern(2, 11 * MIB), pattern(1, 11 * MIB + 1), "short".into()] {
        assert_eq!(kind_of(store.set(&key, other, &PutOptions::new())), ErrorKind::AlreadyExists);
    }
    assert!(store.get_bytes(&key)? == Some(object));
    assert_eq!((count(&server), parts(&server)), (1, 0));
    Ok(())
}

fn an_object_that_may_be_replaced() -> Outcome {
    let store = open(&in_small_parts().write_once(false));
    let key = store.put_bytes("first")?;
    assert_eq!(key, bare(&key), "it says nothing of the bytes");
    for object in [Bytes::from("second"), pattern(3, 11 * MIB), "fourth".into()] {
        store.set(&key, object.clone(), &PutOptions::new())?;
        assert!(store.get_bytes(&key)? == Some(object));
    }
    Ok(())
}

fn damaged_objects_are_not_handed_out() -> Outcome {
    let server = start();
    let options = options(&server).multipart_threshold(6 << 20).part_size(5 << 20);
    let store = open(&options);
    for size in [100, 11 * MIB] {
        let key = store.put_bytes(pattern(1, size))?;
        let Key::Object(object) = &key else { return Err("a key of an object".into()) };
        let (_, path) = options.url().split_once("s3://objects/").ok_or("a prefix")?;
        let file = server.bucket_dir("objects").join(path).join(object.id.to_string());
        let mut bytes = fs::read(&file)?;
        bytes[size - 1] ^= 1;
        fs::write(&file, &bytes)?;
        assert_eq!(kind_of(store.get_bytes(&key)), ErrorKind::Corrupt);
        assert_eq!(kind_of(store.get_batch(std::slice::from_ref(&key), &GetOptions::default())), ErrorKind::Corrupt);
        let by_size = GetOptions::default().integrity(Integrity::Size);
        assert!(store.get(&key, &by_size)?.is_some());
        bytes.truncate(size - 1);
        fs::write(&file, &bytes)?;
        assert_eq!(kind_of(store.get(&key, &by_size)), ErrorKind::Corrupt);
    }
    Ok(())
}

fn only_plain_ids_are_keys() -> Outcome {
    let server = start();
    let options = options(&server);
    let store = open(&options);
    let outside = server.bucket_dir("objects").join("outside");
    fs::write(&outside, "not ours")?;
    store.put_bytes("object")?;
    let long = "x".repeat(129);
    for id in
        ["..", ".", "../outside", "../../outside", "a/b", "/", "", "a b", "a%2fb", "ä", "a\0", ".hidden", "a~b", &long]
    {
        let key: Key = ObjectKey::bare(id).into();
        assert_eq!(kind_of(store.get_bytes(&key)), ErrorKind::InvalidKey, "{id:?}");
        assert_eq!(kind_of(store.exists(&key)), ErrorKind::InvalidKey);
        assert_eq!(kind_of(store.evict(&key)), ErrorKind::InvalidKey);
        assert_eq!(kind_of(store.set(&key, "x".into(), &PutOptions::new())), ErrorKind::InvalidKey);
        assert_eq!(kind_of(store.get_batch(&[key], &GetOptions::default())), ErrorKind::InvalidKey);
    }
    let plain: Key = ObjectKey::bare("Plain-id_1.x").into();
    store.set(&plain, "object".into(), &PutOptions::new())?;
    assert_eq!(store.get_bytes(&plain)?.as_deref(), Some(&b"object"[..]));
    assert_eq!(fs::read(outside)?, b"not ours");
    Ok(())
}

fn clearing_removes_what_is_ours() -> Outcome {
    let server = start();
    let options = options(&server).clear(true);
    let (_, path) = options.url().split_once("s3://objects/").ok_or("a prefix")?;
    let store = open(&options);
    store.put_batch(&vec![Bytes::from_static(b"object"); 1050], &PutOptions::new())?;
    let dir = server.bucket_dir("objects").join(path);
    let id = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let foreign = ["readme".to_owned(), format!("{id}.bak"), format!("deeper/{id}"), format!("../{id}")];
    fs::create_dir(dir.join("deeper"))?;
    for name in &foreign {
        fs::write(dir.join(name), "not ours")?;
    }
    // Another prefix that begins likewise.
    let other = dir.with_file_name(format!("{}x", dir.file_name().ok_or("a name")?.to_string_lossy()));
    fs::create_dir(&other)?;
    fs::write(other.join(id), "not ours")?;
    store.close(&CloseOptions::default())?;
    assert_eq!(count(&server), foreign.len() + 1);
    assert_eq!(kind_of(store.gc(&GcOptions::default())), ErrorKind::Closed);
    Ok(())
}

fn only_who_asks_clears() -> Outcome {
    let server = start();
    let options = options(&server);
    let store = open(&options.clone().clear(true));
    let key = store.put_bytes("object")?;
    let rebuilt = crate::common::reopen(&store.config())?;
    rebuilt.close(&CloseOptions::default())?;
    open(&options).close(&CloseOptions::default())?;
    store.close(&CloseOptions::default().clear(false))?;
    assert_eq!(open(&options).get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    open(&options).close(&CloseOptions::default().clear(true))?;
    assert_eq!(count(&server), 0);
    Ok(())
}

fn a_check_says_what_it_found() -> Outcome {
    let server = start();
    let checkup = open(&options(&server)).check()?;
    let name = checkup.server.ok_or("the server is named")?;
    assert!(name.contains(&server.endpoint()) && name.contains("s3://objects/test"), "{name}");
    assert_eq!(checkup.durability, Some(crossdock::Durability::Backend));
    assert!(checkup.put > std::time::Duration::ZERO && checkup.get > std::time::Duration::ZERO);
    let [warning] = &checkup.warnings[..] else { return Err(format!("one warning: {:?}", checkup.warnings).into()) };
    assert!(warning.contains("TLS"), "{warning}");
    assert_eq!(count(&server), 0, "it leaves nothing");
    Ok(())
}
