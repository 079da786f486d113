//! The object store connector beside the crate `object_store`, on one S3 server.
//!
//! That server sets no `TCP_NODELAY` on its connections, so an answer in two parts waits up to 40 ms until the client's system
//! acknowledges the first one: for both contestants, but not in the same rounds. So this is measured apart (`network`); where
//! that may not be had, the report says so.

use std::fs;
use std::process::Command;

use crossdock::config::Reference;
use crossdock::connectors::{ObjectStoreConnector, ObjectStoreOptions};
use crossdock_bench::{Outcome, Target};
use crossdock_servers::{Program, S3, S3Options, missing};

use crate::bench::{Bench, Channel, Own, Store};
use crate::rivals;

const NAME: &str = "S3";
/// On a par.
const TARGET: Target = Target::AtLeast(1.0);
/// How many requests ours makes at the same time, where nothing else is said.
const USUAL: usize = 32;
const BATCH: (usize, u64) = (256, 1_000);
/// The largest object, in bytes: what the server does with one takes seconds.
const LARGEST: u64 = 100_000_000;

fn targets(_: &str, size: u64, _: &str) -> Option<Target> {
    (size >= 1_000).then_some(TARGET)
}

pub(crate) fn measure(bench: &mut Bench) -> Outcome {
    if let Some(why) = missing(&[Program::S3]) {
        return Err(why.into());
    }
    let server = S3::start(&S3Options::new())?;
    bench.report.versions.insert("s3s-fs".to_owned(), version()?);
    let usual = channel(&server, USUAL)?;
    let largest = bench.plan.largest_moved.min(LARGEST);
    bench.each_size(NAME, largest, 6, |bench, size| bench.puts_and_gets(&usual, size))?;
    let at_once = channel(&server, BATCH.0)?;
    bench.batches(&at_once, BATCH, Some(TARGET))?;
    if bench.plan.slow_batches { bench.batches(&usual, BATCH, None) } else { Ok(()) }
}

/// Ours makes so many requests at the same time; the rival all that it has.
fn channel(server: &S3, concurrency: usize) -> Outcome<Channel<'static>> {
    let note = if concurrency == USUAL { ", ours 32 at a time, as usual" } else { ", all at the same time" };
    let mut stores: Vec<Box<dyn Store>> =
        vec![Box::new(Own { connector: connector(server, concurrency)?, has_views: false })];
    stores.extend(rivals::s3(server)?);
    Ok(Channel { name: NAME, bare: "", stores, targets, note, copies: true })
}

fn connector(server: &S3, concurrency: usize) -> Outcome<ObjectStoreConnector> {
    let secret = server.dir().join("secret");
    fs::write(&secret, server.secret_key())?;
    let options = ObjectStoreOptions::new("s3://objects/ours")
        .option("endpoint", Reference::literal(&server.endpoint()))
        .option("region", Reference::literal("us-east-1"))
        .option("access_key_id", Reference::literal(server.access_key()))
        .option("secret_access_key", Reference::new(format!("${{file:{}}}", secret.display()))?)
        .concurrency(concurrency);
    Ok(ObjectStoreConnector::open(&options)?)
}

/// As the program says it: `s3s-fs 0.14.1`.
fn version() -> Outcome<String> {
    let told = Command::new(Program::S3.find()?).arg("--version").output()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    Ok(told.split_whitespace().last().unwrap_or("unknown").to_owned())
}
