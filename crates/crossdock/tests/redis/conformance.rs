//! The contract, over every kind of server and of options.

use std::sync::{Arc, LazyLock};

use crossdock::config::Reference;
use crossdock::connectors::{FileOptions, LocalOptions, RedisOptions};
use crossdock::testing::{RULES, Subject};
use crossdock::{MultiConnector, Policy};
use crossdock_servers::{Program, Redis, Tls, trial};
use libtest_mimic::Trial;

use crate::common::{CLUSTER, SHARED, open, options, reopen, start};

fn subject(options: &RedisOptions) -> Subject {
    Subject::new(open(options), reopen)
}

fn single() -> Subject {
    subject(&options(&SHARED))
}

fn prefixed() -> Subject {
    subject(&options(&SHARED).prefix("a [prefix]*:"))
}

fn over_a_socket() -> Subject {
    subject(&RedisOptions::unix_socket(SHARED.socket().to_str().unwrap()))
}

fn with_a_time_to_live() -> Subject {
    subject(&options(&SHARED).ttl(std::time::Duration::from_secs(600)).database(3))
}

/// Two users; TLS with the server's own authority, and a password in a file.
fn secured() -> Subject {
    static SECURED: LazyLock<(Redis, tempfile::TempDir)> = LazyLock::new(|| {
        let redis = start(&crossdock_servers::RedisOptions::new().user("worker", "s3cret/@:%").tls(Tls::Only));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), "s3cret/@:%\n").unwrap();
        (redis, dir)
    });
    let (redis, dir) = &*SECURED;
    let url = format!("rediss://worker:${{file:{}/password}}@{}", dir.path().display(), redis.tls_address().unwrap());
    let ca = redis.certificates().unwrap().ca();
    let options = RedisOptions::from_url(&url).unwrap().tls_ca_file(Reference::literal(ca.to_str().unwrap()));
    subject(&options)
}

fn cluster() -> Subject {
    subject(&options(&CLUSTER.nodes()[1]).cluster(true))
}

/// Memory for what is tiny, Redis for what is small, files for the rest: all see every batch.
fn multi() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let up_to = |bytes| Policy::builder().max_size_bytes(bytes).build().unwrap();
    let multi = MultiConnector::builder()
        .lazy("memory", Arc::new(LocalOptions::default()), up_to(50))
        .lazy("redis", Arc::new(options(&SHARED)), up_to(30_000))
        .lazy("files", Arc::new(FileOptions::new(dir.path().join("objects"))), Policy::any())
        .build()
        .unwrap();
    Subject::new(multi, reopen).keeping(dir)
}

/// What makes a subject, and its name.
type Named = (&'static str, fn() -> Subject);

const SUBJECTS: &[Named] = &[
    ("single", single),
    ("prefix", prefixed),
    ("socket", over_a_socket),
    ("ttl", with_a_time_to_live),
    ("password_and_tls", secured),
    ("cluster", cluster),
    ("multi", multi),
];

pub(crate) fn trials() -> Vec<Trial> {
    let each = SUBJECTS.iter().flat_map(|(subject, make)| {
        RULES.iter().map(move |(rule, test)| {
            let name = format!("{subject}::{rule}");
            trial(&name, &[Program::Redis, Program::Openssl], move || {
                test(&make());
                Ok(())
            })
        })
    });
    each.collect()
}
