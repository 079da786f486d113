//! The contract, over several kinds of options.

use std::sync::Arc;

use crossdock::connectors::{FileOptions, LocalOptions, ObjectStoreOptions};
use crossdock::testing::{RULES, Subject};
use crossdock::{Integrity, MultiConnector, Policy};
use crossdock_servers::{Program, trial};
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

/// Memory for what is tiny, the bucket for what is small, files for the rest: all see every batch.
fn multi() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let up_to = |bytes| Policy::builder().max_size_bytes(bytes).build().unwrap();
    let multi = MultiConnector::builder()
        .lazy("memory", Arc::new(LocalOptions::default()), up_to(50))
        .lazy("bucket", Arc::new(options(&SHARED)), up_to(30_000))
        .lazy("files", Arc::new(FileOptions::new(dir.path().join("objects"))), Policy::any())
        .build()
        .unwrap();
    Subject::new(multi, reopen).keeping(dir)
}

const SUBJECTS: &[(&str, fn() -> Subject)] =
    &[("plain", plain), ("in_parts", in_parts), ("unconditional", unconditional), ("multi", multi)];

pub(crate) fn trials() -> Vec<Trial> {
    let each = SUBJECTS.iter().flat_map(|(subject, make)| {
        RULES.iter().map(move |(rule, test)| {
            trial(&format!("{subject}::{rule}"), &[Program::S3], move || {
                test(&make());
                Ok(())
            })
        })
    });
    each.collect()
}
