//! What these tests share.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crossdock::config::Reference;
use crossdock::connectors::{ObjectStoreConnector, ObjectStoreOptions};
use crossdock::{Bytes, Connector, ConnectorConfig, ErrorKind, Registry, Result};
use crossdock_servers::{Program, S3, S3Options, trial};
use libtest_mimic::Trial;

pub(crate) type Outcome = std::result::Result<(), libtest_mimic::Failed>;

/// A test and its name.
pub(crate) type Named = (&'static str, fn() -> Outcome);

/// What runs a test by its name, where the server is there.
pub(crate) fn trials(tests: &[Named]) -> Vec<Trial> {
    tests.iter().map(|(name, test)| trial(name, &[Program::S3], *test)).collect()
}

pub(crate) fn kind_of<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    outcome.expect_err("this fails").kind()
}

/// One server for all tests that neither change nor stop it. It ends with the process.
pub(crate) static SHARED: LazyLock<S3> = LazyLock::new(start);

pub(crate) fn start() -> S3 {
    S3::start(&S3Options::new()).expect("s3s-fs starts")
}

/// A prefix of its own for each caller.
pub(crate) fn options(server: &S3) -> ObjectStoreOptions {
    options_at(server, &server.endpoint())
}

/// Likewise, by another way to the server.
pub(crate) fn options_at(server: &S3, endpoint: &str) -> ObjectStoreOptions {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    options_of(server, endpoint, &format!("s3://objects/test/{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// With the credentials of the server.
pub(crate) fn options_of(server: &S3, endpoint: &str, url: &str) -> ObjectStoreOptions {
    let secret = server.dir().join("secret");
    // Other tests read it at this very moment.
    let draft = tempfile::NamedTempFile::new_in(server.dir()).expect("the directory of the server can be written to");
    fs::write(draft.path(), server.secret_key()).expect("the directory of the server can be written to");
    draft.persist(&secret).expect("the directory of the server can be written to");
    let secret = Reference::new(format!("${{file:{}}}", secret.display())).expect("a reference");
    ObjectStoreOptions::new(url)
        .option("endpoint", Reference::literal(endpoint))
        .option("access_key_id", Reference::literal(server.access_key()))
        .option("secret_access_key", secret)
}

/// With a deadline that a test can wait for.
pub(crate) fn hurried(server: &S3) -> ObjectStoreOptions {
    options(server).deadline(Duration::from_secs(2))
}

pub(crate) fn open(options: &ObjectStoreOptions) -> ObjectStoreConnector {
    ObjectStoreConnector::open(options).expect("the options are right")
}

pub(crate) fn reopen(config: &ConnectorConfig) -> Result<Arc<dyn Connector>> {
    Registry::builtin().open(config)
}

/// How many objects there are in the bucket, as the server stores them.
pub(crate) fn count(server: &S3) -> usize {
    count_files(&server.bucket_dir("objects"))
}

fn count_files(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }).sum()
}

/// The parts that the server keeps of uploads in parts.
pub(crate) fn parts(server: &S3) -> usize {
    let entries = fs::read_dir(server.root()).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".upload_id-")).count()
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn pattern(seed: usize, size: usize) -> Bytes {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}
