//! Objects in the memory of this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use crossdock::connectors::LocalConnector;
use crossdock::{MultiConnector, Policy};
use crossdock_bench::Outcome;

use crate::bench::{Bench, Channel, Held, Own, Routed, Store, no_target};
use crate::rivals;

/// Nobody copies: all keep references to the bytes that they were given.
pub(crate) fn measure(bench: &mut Bench) -> Outcome {
    let multi = MultiConnector::builder().connector("local", LocalConnector::new(), Policy::any()).build()?;
    let mut stores: Vec<Box<dyn Store>> = vec![
        Box::new(Bare::default()),
        Box::new(Own { connector: LocalConnector::new(), has_views: false }),
        Box::new(Routed(multi)),
    ];
    stores.extend(rivals::memory()?);
    let channel =
        Channel { name: "Memory", bare: "Mutex<HashMap>", stores, targets: no_target, note: "", copies: false };
    bench.each_size(channel.name, u64::MAX, 2, |bench, size| bench.puts_and_gets(&channel, size))
}

/// What a person would write.
#[derive(Default)]
struct Bare(Mutex<HashMap<String, Bytes>>);

impl Store for Bare {
    fn name(&self) -> &'static str {
        crate::bench::BARE
    }

    fn put(&self, object: &Bytes) -> Outcome<Held> {
        let name = Held::new_name();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), object.clone());
        Ok(Held::Name(name))
    }

    fn get(&self, held: &Held) -> Outcome<u64> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(held.name()?).cloned();
        Ok(found.ok_or("the object is not there")?.len() as u64)
    }

    fn evict(&self, held: Held) -> Outcome {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(held.name()?);
        Ok(())
    }
}
