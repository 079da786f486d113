//! Batches over several connectors: routed first, grouped by connector, in one call each, undone when one fails.

use std::thread;

use bytes::Bytes;

use super::{MultiConnector, also_failed};
use crate::connector::{Connector, undo_batch};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, MultiKey};
use crate::options::{GetOptions, PutOptions};
use crate::policy::Request;
use crate::router::Candidate;

/// The items of a batch that go to one connector, by their places in the batch.
struct Group {
    slot: usize,
    items: Vec<usize>,
}

/// Groups items by connector, both in the order of first appearance.
fn group(routed: impl Iterator<Item = (usize, usize)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (item, slot) in routed {
        match groups.iter_mut().find(|group| group.slot == slot) {
            Some(group) => group.items.push(item),
            None => groups.push(Group { slot, items: vec![item] }),
        }
    }
    groups
}

impl MultiConnector {
    /// 1. Route every item; nothing is written if one has no route.
    /// 2. Hand each connector its share as one batch, remote connectors at the same time.
    /// 3. A share that failed goes to each item's next candidate where the policy says `fallback`; back to 2.
    /// 4. When a share fails for good: evict what the others wrote, then raise.
    pub(super) fn put_objects(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<MultiKey>> {
        self.require_open()?;
        let mut written: Vec<Option<MultiKey>> = vec![None; objects.len()];
        let mut failed: Option<Error> = None;
        let mut pending = self.first_candidates(objects, options)?;
        while !pending.is_empty() {
            let groups = group(pending.iter().map(|(item, candidate)| (*item, candidate.index)));
            let outcomes = self.write(&groups, objects, options);
            let mut again = Vec::new();
            let mut is_lost = false;
            for (group, outcome) in groups.iter().zip(outcomes) {
                match outcome {
                    Ok(keys) => group.items.iter().zip(keys).for_each(|(item, key)| written[*item] = Some(key)),
                    Err(error) => {
                        let next = self.where_next(group, &error, &pending, objects, options);
                        is_lost |= next.is_none();
                        again.extend(next.into_iter().flatten());
                        failed = Some(also_failed(failed, error));
                    }
                }
            }
            if let Some(error) = failed.take_if(|_| is_lost) {
                return Err(undo_batch(self, written.into_iter().flatten().map(Key::from).collect(), error));
            }
            pending = again;
        }
        // Step 1 gave every item a candidate, and only written items leave `pending`.
        Ok(written.into_iter().flatten().collect())
    }

    /// Step 2: the keys of each share, or why it failed.
    fn write(&self, groups: &[Group], objects: &[Bytes], options: &PutOptions) -> Vec<Result<Vec<MultiKey>>> {
        let shares = self.run(groups, |connector, items| {
            let share: Vec<Bytes> = items.iter().map(|item| objects[*item].clone()).collect();
            same_count(connector.put_batch(&share, options)?, items.len())
        });
        let named = |(group, keys): (&Group, Result<Vec<Key>>)| {
            let name = &self.slots[group.slot].name;
            let keys = keys.map_err(|error| error.in_connector(name.clone()))?;
            Ok(keys.into_iter().map(|key| MultiKey::new(name.clone(), key)).collect())
        };
        groups.iter().zip(shares).map(named).collect()
    }

    /// Step 3: the next candidate of each item of a share that failed. `None` if the policy forbids it, or if one of
    /// them has nowhere to go.
    fn where_next(
        &self,
        failed: &Group,
        error: &Error,
        pending: &[(usize, Candidate)],
        objects: &[Bytes],
        options: &PutOptions,
    ) -> Option<Vec<(usize, Candidate)>> {
        if !self.slots[failed.slot].may_go_on(error) {
            return None;
        }
        let hosts = self.hosts();
        let mine = pending.iter().filter(|(_, candidate)| candidate.index == failed.slot);
        mine.map(|(item, candidate)| {
            let request = Request::for_put(Some(objects[*item].len() as u64), options);
            Some((*item, self.next(&request, hosts.as_ref(), candidate.position + 1)?))
        })
        .collect()
    }

    fn first_candidates(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<(usize, Candidate)>> {
        let hosts = self.hosts();
        let route = |(item, object): (usize, &Bytes)| {
            let request = Request::for_put(Some(object.len() as u64), options);
            match self.next(&request, hosts.as_ref(), 0) {
                Some(candidate) => Ok((item, candidate)),
                None => {
                    let place = format!("this is object {item} of {}, nothing was written", objects.len());
                    Err(self.no_route(&request).context(place))
                }
            }
        };
        objects.iter().enumerate().map(route).collect()
    }

    pub(super) fn get_objects<'k>(
        &self,
        keys: impl ExactSizeIterator<Item = &'k MultiKey>,
        options: &GetOptions,
    ) -> Result<Vec<Option<Bytes>>> {
        self.require_open()?;
        let mut found: Vec<Option<Bytes>> = vec![None; keys.len()];
        let keys: Vec<&MultiKey> = keys.collect();
        let slots: Vec<usize> = keys.iter().map(|key| self.named(key)).collect::<Result<_>>()?;
        let groups = group(slots.into_iter().enumerate());
        let outcomes = self.run(&groups, |connector, items| {
            let share: Vec<Key> = items.iter().map(|item| keys[*item].connector_key.clone()).collect();
            same_count(connector.get_batch(&share, options)?, items.len())
        });
        for (Group { slot, items }, outcome) in groups.iter().zip(outcomes) {
            let objects = outcome.map_err(|error| error.in_connector(self.slots[*slot].name.clone()))?;
            for (item, object) in items.iter().zip(objects) {
                found[*item] = object;
            }
        }
        Ok(found)
    }

    /// Calls `work` with each group's connector; the outcomes come in the order of the groups. When several wait for
    /// other machines, they wait at the same time.
    fn run<T: Send>(
        &self,
        groups: &[Group],
        work: impl Fn(&dyn Connector, &[usize]) -> Result<T> + Sync,
    ) -> Vec<Result<T>> {
        let one = |group: &Group| work(self.slots[group.slot].connector()?, &group.items);
        let is_remote = |group: &Group| self.slots[group.slot].properties().is_some_and(|properties| properties.remote);
        if groups.iter().filter(|group| is_remote(group)).count() < 2 {
            return groups.iter().map(one).collect();
        }
        thread::scope(|scope| {
            let spawned: Vec<_> = groups
                .iter()
                .map(|group| if is_remote(group) { Ok(scope.spawn(|| one(group))) } else { Err(one(group)) })
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

/// A connector of somebody else may break the contract; items must not be mixed up over it.
fn same_count<T>(items: Vec<T>, wanted: usize) -> Result<Vec<T>> {
    if items.len() == wanted {
        return Ok(items);
    }
    let message = format!("the connector answered {} items to a batch of {wanted}", items.len());
    Err(Error::new(ErrorKind::Ambiguous, message))
}
