//! Every connector of this crate keeps the contract, and so do multi-connectors over them.

use std::sync::Arc;

use crossdock::connectors::{FileConnector, FileOptions, LocalConnector, LocalOptions, ShmConnector, ShmOptions};
use crossdock::testing::{FaultyConnector, Subject};
use crossdock::{ConnectorConfig, Durability, Integrity, MultiConnector, Opener, Policy, Registry, Result};

fn reopen(config: &ConnectorConfig) -> Result<Arc<dyn crossdock::Connector>> {
    Registry::builtin().open(config)
}

fn local() -> Subject {
    Subject::new(LocalConnector::new(), reopen)
}

fn local_with_quota() -> Subject {
    Subject::new(LocalConnector::with_options(&LocalOptions::new().max_total_bytes(100_000_000)), reopen)
}

fn file_with(adjust: impl Fn(FileOptions) -> FileOptions) -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let options = adjust(FileOptions::new(dir.path().join("objects")));
    Subject::new(FileConnector::open(&options).unwrap(), reopen).keeping(dir)
}

fn shm_with(adjust: impl Fn(ShmOptions) -> ShmOptions) -> Subject {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let options = adjust(ShmOptions::in_dir(dir.path().join("objects")));
    Subject::new(ShmConnector::open(&options).unwrap(), reopen).keeping(dir)
}

/// In a directory on a disk, where no memory is used again.
fn shm_on_disk() -> Subject {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    Subject::new(ShmConnector::open(&ShmOptions::in_dir(dir.path())).unwrap(), reopen).keeping(dir)
}

fn faulty_without_faults() -> Subject {
    Subject::new(FaultyConnector::new(LocalConnector::new()).not_deferrable(), reopen)
}

/// Local for what is small, files for the rest: both see every batch of the suite.
fn multi() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let files = FileOptions::new(dir.path().join("objects"));
    let multi = MultiConnector::builder()
        .lazy("small", Arc::new(LocalOptions::default()), Policy::builder().max_size_bytes(100).build().unwrap())
        .lazy("rest", Arc::new(files), Policy::any())
        .build()
        .unwrap();
    Subject::new(multi, reopen).keeping(dir)
}

fn multi_over_files() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Arc::new(FileOptions::new(dir.path().join(name))) as Arc<dyn Opener>;
    let small = Policy::builder().max_size_bytes(100).priority(1).build().unwrap();
    let inner = MultiConnector::builder().lazy("small", open("small"), small).lazy("rest", open("rest"), Policy::any());
    let outer = MultiConnector::builder().connector("nested", inner.build().unwrap(), Policy::any());
    Subject::new(outer.build().unwrap(), reopen).keeping(dir)
}

crossdock::conformance!(local, local());
crossdock::conformance!(local_with_quota, local_with_quota());
crossdock::conformance!(file, file_with(|options| options));
crossdock::conformance!(file_on_the_disk, file_with(|options| options.durability(crossdock::Durability::Host)));
crossdock::conformance!(file_with_quota, file_with(|options| options.max_total_bytes(100_000_000)));
crossdock::conformance!(shm, shm_with(|options| options));
crossdock::conformance!(shm_without_recycling, shm_with(|options| options.recycle_bytes(0)));
crossdock::conformance!(shm_with_checksums, shm_with(|options| options.integrity(Integrity::Checksum)));
crossdock::conformance!(shm_with_quota, shm_with(|options| options.max_total_bytes(100_000_000)));
crossdock::conformance!(shm_on_disk, shm_on_disk());
crossdock::conformance!(faulty_without_faults, faulty_without_faults());
crossdock::conformance!(multi, multi());
crossdock::conformance!(nested_multi, multi_over_files());

#[test]
fn a_durability_above_what_files_reach_is_refused_when_they_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let refused = FileConnector::open(&FileOptions::new(dir.path()).durability(Durability::Backend)).unwrap_err();
    assert_eq!(refused.kind(), crossdock::ErrorKind::Unsupported);
}
