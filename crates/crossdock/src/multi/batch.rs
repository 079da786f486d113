//! Batches: each connector gets its share in one call; those that wait for other machines wait at the same time.

use bytes::Bytes;

use super::MultiConnector;
use crate::connector::{Connector, undo_batch};
use crate::dispatch::Share;
use crate::error::Result;
use crate::interrupt::together;
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
        let places: Vec<usize> = shares.iter().map(|share| share.connector).collect();
        self.at_the_same_time(&places, |turn| {
            let share = &shares[turn];
            work(self.slots[share.connector].connector()?, &share.items)
        })
    }

    /// Calls `work` for the connectors at these places, with the turn of each: those that wait for other machines wait at the
    /// same time. The outcomes come in order.
    pub(super) fn at_the_same_time<T: Send>(&self, places: &[usize], work: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let is_remote =
            |turn: &usize| self.slots[places[*turn]].properties().is_some_and(|properties| properties.remote);
        let (remote, here): (Vec<usize>, Vec<usize>) = (0..places.len()).partition(is_remote);
        if remote.len() < 2 {
            return (0..places.len()).map(work).collect();
        }
        let work = &work;
        let elsewhere = remote.iter().map(|turn| move || work(*turn));
        let (remotely, locally) = together(elsewhere, || here.iter().map(|turn| work(*turn)).collect::<Vec<_>>());
        let turns = remote.into_iter().zip(remotely).chain(here.into_iter().zip(locally));
        let mut outcomes: Vec<(usize, T)> = turns.collect();
        outcomes.sort_by_key(|(turn, _)| *turn);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}
