//! Very many forked children read, with the connector and the views that they inherit, while their parent goes on putting and
//! evicting.

use std::thread;
use std::time::Duration;

use bytes::Bytes;
use crossdock::connectors::ShmConnector;
use crossdock::{Connector, ConnectorExt, Key};

use super::{Memory, check_whole, some_size};
use crate::hazards::{Hazard, Need};
use crate::object;
use crate::rng::Rng;
use crate::run::{Outcome, Run};
use crate::system::{self, Ended, Forked};

pub(in crate::hazards) const HAZARD: Hazard = Hazard {
    name: "shm-readers",
    looked_for: "children that read wrong bytes, crash or hang",
    small: 40,
    full: 1_000,
    needs: &[Need::SharedMemory],
    run,
};

/// How many objects there are at a time.
const LIVE: usize = 20;
/// How often a child reads.
const READS: usize = 30;
/// Against hangs only.
const LIMIT_S: u32 = 300;

/// The objects of the parent, and views of some that may be evicted already.
struct Stock {
    live: Vec<(u64, Key)>,
    views: Vec<(u64, Bytes)>,
}

impl Stock {
    fn renew(&mut self, shm: &ShmConnector, rng: &mut Rng) -> Outcome {
        let seed = rng.next();
        self.live.push((seed, shm.put_bytes(object::make(seed, some_size(rng)))?));
        if self.live.len() > LIVE {
            let (seed, key) = self.live.swap_remove(rng.below(self.live.len()));
            if rng.one_in(4) {
                self.views.extend(shm.get_bytes(&key)?.map(|view| (seed, view)));
            }
            shm.evict(&key)?;
        }
        if self.views.len() > LIVE {
            drop(self.views.swap_remove(rng.below(self.views.len())));
        }
        Ok(())
    }
}

fn run(run: &mut Run) -> Outcome {
    let memory = Memory::new()?;
    let shm = memory.open()?;
    let mut rng = run.rng(0);
    let mut stock = Stock { live: Vec::new(), views: Vec::new() };
    let mut children: Vec<Forked> = Vec::new();
    let mut puts = 0_u64;
    for child in 0..run.count {
        for _ in 0..20 {
            stock.renew(&shm, &mut rng)?;
            puts += 1;
        }
        let random = run.rng(child + 1);
        children.push(system::fork(LIMIT_S, || u8::from(!reads_well(&shm, &stock, random)))?);
    }
    for child in children {
        stock.renew(&shm, &mut rng)?;
        let ended = child.wait()?;
        run.did(1);
        run.check(ended == Ended::Code(0), || format!("a child: {ended:?}"));
    }
    shm.close(&crossdock::CloseOptions::default())?;
    check_whole(run, &memory.dir(), "afterwards")?;
    run.note(format_args!("{puts} puts meanwhile"));
    Ok(())
}

/// The life of a child. It has puts of its own too, in memory that is not its parent's.
fn reads_well(shm: &ShmConnector, stock: &Stock, mut rng: Rng) -> bool {
    let mut held: Vec<(u64, Bytes)> = Vec::new();
    for _ in 0..READS {
        let (seed, key) = &stock.live[rng.below(stock.live.len())];
        match shm.get_bytes(key) {
            Ok(Some(found)) if object::seed_of(&found) == Some(*seed) => held.push((*seed, found)),
            Ok(None) => {}
            _ => return false,
        }
        thread::sleep(Duration::from_micros(rng.below(2_000) as u64));
    }
    let seed = rng.next();
    let object = object::make(seed, some_size(&mut rng));
    let own = shm.put_bytes(object.clone()).and_then(|key| {
        let found = shm.get_bytes(&key);
        shm.evict(&key).and(found)
    });
    let is_whole = |(seed, view): &(u64, Bytes)| object::seed_of(view) == Some(*seed);
    // The child ends without dropping anything, as one that is killed does; what it has announced is given back here.
    let closed = shm.close(&crossdock::CloseOptions::default());
    closed.is_ok() && own.is_ok_and(|found| found == Some(object)) && held.iter().chain(&stock.views).all(is_whole)
}
