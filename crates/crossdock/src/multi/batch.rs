//! Batches: each connector gets its share in one call; those that wait for other machines wait at the same time.

use std::thread;

use bytes::Bytes;

use super::MultiConnector;
use crate::connector::{Connector, undo_batch};
use crate::dispatch::Share;
use crate::error::Result;
use crate::key::{Key, MultiKey};
use crate::options::{GetOptions, PutOptions};

impl MultiConnector {
    pub(super) fn put_objects(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<MultiKey>> {
        let sizes: Vec<u64> = objects.iter().map(|object| object.len() as u64).collect();
        let write = |shares: &[Share]| {
            self.run(shares, |connector, items| {
                let share: Vec<Bytes> = items.iter().map(|item| objects[*item].clone()).collect();
                connector.put_batch(&share, options)
            })
        };
        let named = |(place, key): (usize, Key)| MultiKey::new(self.name(place).clone(), key);
        let undo = |written: Vec<_>, error| {
            undo_batch(self, written.into_iter().map(|written| named(written).into()).collect(), error)
        };
        let written = self.dispatcher.put_batch(&sizes, options, None, write, undo)?;
        Ok(written.into_iter().map(named).collect())
    }

    pub(super) fn get_objects<'k>(
        &self,
        keys: impl Iterator<Item = &'k MultiKey>,
        options: &GetOptions,
    ) -> Result<Vec<Option<Bytes>>> {
        let keys: Vec<&MultiKey> = keys.collect();
        self.dispatcher.require_open()?;
        let find = |key: &&MultiKey| self.dispatcher.find(&key.connector_name);
        let places: Vec<usize> = keys.iter().map(find).collect::<Result<_>>()?;
        self.dispatcher.get_batch(places.into_iter(), |shares| {
            self.run(shares, |connector, items| {
                let share: Vec<Key> = items.iter().map(|item| keys[*item].connector_key.clone()).collect();
                connector.get_batch(&share, options)
            })
        })
    }

    /// Calls `work` with each share's connector; the outcomes come in the order of the shares.
    fn run<T: Send>(
        &self,
        shares: &[Share],
        work: impl Fn(&dyn Connector, &[usize]) -> Result<T> + Sync,
    ) -> Vec<Result<T>> {
        let one = |share: &Share| work(self.slots[share.connector].connector()?, &share.items);
        let is_remote =
            |share: &Share| self.slots[share.connector].properties().is_some_and(|properties| properties.remote);
        if shares.iter().filter(|share| is_remote(share)).count() < 2 {
            return shares.iter().map(one).collect();
        }
        thread::scope(|scope| {
            let spawned: Vec<_> = shares
                .iter()
                .map(|share| if is_remote(share) { Ok(scope.spawn(|| one(share))) } else { Err(one(share)) })
                .collect();
            spawned
                .into_iter()
                .map(|outcome| match outcome {
                    Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                    Err(done) => done,
                })
                .collect()
        })
    }
}
