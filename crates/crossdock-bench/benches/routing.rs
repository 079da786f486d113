//! Routing by itself: `cargo bench -p crossdock-bench`. What it adds to a put is in the program of this crate.

use crossdock::connectors::LocalConnector;
use crossdock::{Connector, PutOptions};
use crossdock_bench::{Kind, last_of};
use divan::Bencher;

fn main() {
    divan::main();
}

#[divan::bench]
fn bare_put(bencher: Bencher<'_, '_>) {
    let (bare, options) = (LocalConnector::new(), PutOptions::new());
    bencher.bench(|| bare.put(bytes::Bytes::from_static(b"object"), &options).and_then(|key| bare.evict(&key)));
}

#[divan::bench(args = [1, 4, 16, 64, 256])]
fn put_through_policies(bencher: Bencher<'_, '_>, count: u64) {
    let (multi, options) = (last_of(count, Kind::Sizes), PutOptions::new());
    bencher.bench(|| multi.put(bytes::Bytes::from_static(b"object"), &options).and_then(|key| multi.evict(&key)));
}

#[divan::bench(args = [1, 4, 16, 64, 256])]
fn explain(bencher: Bencher<'_, '_>, count: u64) {
    let (multi, options) = (last_of(count, Kind::Sizes), PutOptions::new());
    bencher.bench(|| multi.explain(Some(6), &options));
}
