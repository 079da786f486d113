//! The contract, over several kinds of options.

use std::sync::{Arc, LazyLock};

use crossdock::connectors::{FileOptions, LocalOptions, ObjectStoreOptions, RedisOptions};
use crossdock::testing::{RULES, Subject};
use crossdock::{Integrity, MultiConnector, Policy};
use crossdock_servers::{Program, Redis, trial};
use libtest_mimic::Trial;

use crate::common::{SHARED, open, options, reopen};

fn subject(options: &ObjectStoreOptions) -> Subject {
    Subject::new(open(options), reopen)
}

fn plain() -> Subject {
    subject(&options(&SHARED))
}

/// Whatever is larger than nothing goes in parts and comes in ranges.
fn in_parts() -> Subject {
    subject(&options(&SHARED).multipart_threshold(0).part_size(5 << 20).concurrency(3))
}

/// As with a server that knows no conditional writes.
fn unconditional() -> Subject {
    subject(&options(&SHARED).conditional_put(false).concurrency(1).integrity(Integrity::Checksum))
}

/// Memory, Redis, files and the bucket, by size: all see every batch.
fn multi() -> Subject {
    static REDIS: LazyLock<Redis> =
        LazyLock::new(|| Redis::start(&crossdock_servers::RedisOptions::new()).expect("redis-server starts"));
    let dir = tempfile::tempdir().unwrap();
    let up_to = |bytes| Policy::builder().max_size_bytes(bytes).build().unwrap();
    let multi = MultiConnector::builder()
        .lazy("memory", Arc::new(LocalOptions::default()), up_to(20))
        .lazy("redis", Arc::new(RedisOptions::new("127.0.0.1", REDIS.address().port())), up_to(150))
        .lazy("files", Arc::new(FileOptions::new(dir.path().join("objects"))), up_to(15_000))
        .lazy("bucket", Arc::new(options(&SHARED)), Policy::any())
        .build()
        .unwrap();
    Subject::new(multi, reopen).keeping(dir)
}

/// What makes a subject, and its name.
type Named = (&'static str, fn() -> Subject);

const SUBJECTS: &[Named] =
    &[("plain", plain), ("in_parts", in_parts), ("unconditional", unconditional), ("multi", multi)];

pub(crate) fn trials() -> Vec<Trial> {
    let each = SUBJECTS.iter().flat_map(|(subject, make)| {
        RULES.iter().map(move |(rule, test)| {
            trial(&format!("{subject}::{rule}"), &[Program::S3, Program::Redis], move || {
                test(&make());
                Ok(())
            })
        })
    });
    each.collect()
}
