//! Batches: one pipeline, or one for each node of a cluster, all at the same time.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::RedisConnector;
use super::call::{Call, Lost};
use super::connection::Connection;
use super::failure::{Cause, Failure, Next, Refusal};
use super::resp::Reply;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;
use crate::key::{Key, ObjectId, ObjectKey};
use crate::options::{Durability, GetOptions, Integrity, PutOptions};

/// What the server is asked for at once at most: it keeps its replies in memory until we have read them.
const WINDOW_ITEMS: usize = 4096;
const WINDOW_BYTES: u64 = 64 << 20;
/// What an object is taken for whose key says no size, in bytes.
const UNKNOWN_SIZE: u64 = 1 << 20;

/// How long evicting may take what a failed batch has written.
const LONGEST_UNDO: Duration = Duration::from_secs(2);
/// The same where the caller wants no more: a server that answers needs a hundredth of it.
const UNDO_WHEN_INTERRUPTED: Duration = Duration::from_millis(50);

/// A batch that is being written.
struct Batch<'b> {
    keys: &'b [ObjectKey],
    objects: &'b [Bytes],
    level: Option<Durability>,
    deadline: Deadline,
}

/// What a call, or what one node had of it, has left.
pub(super) struct Part {
    /// The keys of what was written, or may have been.
    pub(super) touched: Vec<Key>,
    pub(super) lost: Vec<Lost>,
}

/// One item of a batch: its place in it, and its name on the server.
struct Item {
    place: usize,
    name: Vec<u8>,
}

impl RedisConnector {
    /// What [`Connector::put_batch`](crate::Connector::put_batch) does; `meanwhile` is told the keys while the server is at
    /// work, at most once. They count only when they come back from here.
    ///
    /// # Errors
    /// As there.
    pub fn put_batch_while(
        &self,
        objects: &[Bytes],
        options: &PutOptions,
        meanwhile: impl FnOnce(&[ObjectKey]),
    ) -> Result<Vec<Key>> {
        self.require_open()?;
        let new = ObjectId::several(objects.len()).into_iter().zip(objects);
        let keys: Vec<ObjectKey> = new.map(|(id, object)| self.key_of(id, object)).collect();
        let names = self.names(keys.iter())?;
        let deadline = self.deadline(objects.iter().map(|object| object.len() as u64).sum());
        let batch = &Batch { keys: &keys, objects, level: self.level(options), deadline };
        let mut groups = self.groups(names, deadline)?.into_iter();
        let Some(first) = groups.next() else { return Ok(Vec::new()) };
        let mut meanwhile = Some(meanwhile);
        let sent = || {
            if let Some(meanwhile) = meanwhile.take() {
                meanwhile(&keys);
            }
        };
        let others = groups.map(|group| move || self.put_part(batch, &group, || {}));
        let (mut parts, part) = interrupt::together(others, || self.put_part(batch, &first, sent));
        parts.push(part);
        let (parts, outcomes): (Vec<Part>, Vec<Result<()>>) = parts.into_iter().unzip();
        match outcomes.into_iter().filter_map(Result::err).min_by_key(|error| rank(error.kind())) {
            None => Ok(keys.into_iter().map(Key::from).collect()),
            Some(error) => Err(self.undo(&parts, error)),
        }
    }

    /// Stores what one node has; `sent` is called each time that the node has got it all.
    fn put_part(&self, batch: &Batch<'_>, group: &[Item], sent: impl FnMut()) -> (Part, Result<()>) {
        let own: Vec<Key> = group.iter().map(|item| batch.keys[item.place].clone().into()).collect();
        let lost = RefCell::default();
        let call =
            Call { deadline: Some(batch.deadline), durability: batch.level, lost: Some(&lost), ..Call::default() };
        let (mut touched, outcome) = match self.put_group(batch, group, Call { writes: &own, ..call }, sent) {
            Ok(elsewhere) => {
                let store = |place: usize| self.store(call, &batch.keys[place], &batch.objects[place], false).map(drop);
                let outcome = elsewhere.into_iter().try_for_each(store);
                (own, outcome)
            }
            Err(error) => (Vec::new(), Err(error)),
        };
        if let Err(error) = &outcome {
            touched.extend_from_slice(error.keys());
        }
        (Part { touched, lost: lost.into_inner() }, outcome)
    }

    /// The places of those that the node has no longer.
    fn put_group(
        &self,
        batch: &Batch<'_>,
        group: &[Item],
        call: Call<'_>,
        mut sent: impl FnMut(),
    ) -> Result<Vec<usize>> {
        let largest = group.iter().map(|item| batch.objects[item.place].len() as u64).max().unwrap_or(0);
        let conditions = self.conditions(false);
        let after: Vec<&[u8]> = conditions.iter().map(Vec::as_slice).collect();
        let name = group.first().map(|item| &*item.name);
        let replies = self.call(Call { name, largest, ..call }, |connection, deadline| {
            let push = |connection: &mut Connection| {
                for Item { place, name } in group {
                    connection.push_object(&[b"SET", name], &batch.objects[*place], &after, deadline)?;
                }
                connection.send(deadline)
            };
            push(connection).map_err(Failure::when_sent)?;
            sent();
            let replies = replies(connection, group.len(), deadline).map_err(Failure::when_sent)?;
            self.require_ready(replies.iter().filter_map(Reply::refusal)).map_err(Failure::when_sent)?;
            Ok(replies)
        })?;
        self.elsewhere(group, replies).map_err(|error| error.with_keys(call.writes.iter().cloned()))
    }

    /// The places of the items that other nodes have by now.
    fn elsewhere(&self, group: &[Item], replies: Vec<Reply>) -> Result<Vec<usize>> {
        let mut elsewhere = Vec::new();
        for (item, reply) in group.iter().zip(replies) {
            let Reply::Refused(refusal) = reply else { continue };
            if !self.is_elsewhere(&refusal) {
                return Err(self.refused(refusal));
            }
            elsewhere.push(item.place);
        }
        Ok(elsewhere)
    }

    fn is_elsewhere(&self, refusal: &Refusal) -> bool {
        self.options.cluster && refusal.next() != Next::Stop
    }

    /// Of a single server that loads its data or is about to become the primary, the whole pipeline is asked again.
    fn require_ready<'r>(&self, mut refusals: impl Iterator<Item = &'r Refusal>) -> Result<(), Failure> {
        match refusals.find(|refusal| !self.options.cluster && refusal.next() == Next::Retry) {
            Some(refusal) => Err(Failure::before_sending(Cause::Refused(refusal.clone()))),
            None => Ok(()),
        }
    }

    /// The error of one item.
    fn refused(&self, refusal: Refusal) -> Error {
        let message = format!("{}: {refusal}; {}", self.options.shown(), refusal.advice());
        let error = Error::new(refusal.kind(), message);
        if refusal.may_pass() { error } else { error.permanent() }
    }

    /// Evicts what was written, or may have been, before a call ended with an error: on all nodes at the same time, and in one
    /// pipeline each. What resists is in the error.
    pub(super) fn undo(&self, parts: &[Part], error: Error) -> Error {
        let Some((first, others)) = parts.split_first() else { return error };
        if parts.iter().all(|part| part.touched.is_empty()) {
            return error;
        }
        // The call has used up its time, or is wanted no more: this must be quick.
        let is_wanted = error.kind() != ErrorKind::Interrupted;
        let longest = if is_wanted { LONGEST_UNDO } else { UNDO_WHEN_INTERRUPTED };
        let deadline = Deadline::new((self.options.deadline / 20).min(longest), 0);
        let evict = |part: &Part| {
            let outcome = self.cut_off(&part.lost, deadline).and_then(|()| self.evict_all(&part.touched, deadline));
            if outcome.is_ok() { Vec::new() } else { part.touched.clone() }
        };
        let evict_all = || interrupt::together(others.iter().map(|part| move || evict(part)), || evict(first));
        let (others, first) = interrupt::scope(|| false, evict_all);
        let left: Vec<Key> = others.into_iter().flatten().chain(first).collect();
        if left.is_empty() {
            return error.settled();
        }
        let count = left.len();
        error.context(format_args!("{count} objects that may have been written could not be evicted")).with_only(left)
    }

    /// Has the servers end connections that were given up: what they still have to say must not come after an eviction.
    fn cut_off(&self, lost: &[Lost], deadline: Deadline) -> Result<()> {
        lost.iter().try_for_each(|Lost { endpoint, client }| {
            let Some(client) = client else {
                let message = "the server does not tell which of its connections is ours";
                return Err(Error::new(ErrorKind::Unsupported, message));
            };
            let call = Call { node: Some(endpoint), deadline: Some(deadline), ..Call::default() };
            self.call(call, |connection, deadline| connection.ask(&client.to_kill(), deadline).map(drop))
        })
    }

    fn evict_all(&self, keys: &[Key], deadline: Deadline) -> Result<()> {
        let ids = keys.iter().map(Key::as_object).collect::<Result<Vec<_>>>()?;
        for group in self.groups(self.names(ids.into_iter())?, deadline)? {
            let call =
                Call { name: group.first().map(|item| &*item.name), deadline: Some(deadline), ..Call::default() };
            let replies = self.call(call, |connection, deadline| {
                group.iter().for_each(|item| connection.push(&[b"UNLINK", &item.name]));
                connection.send(deadline)?;
                replies(connection, group.len(), deadline)
            })?;
            for place in self.elsewhere(&group, replies)? {
                self.evict_within(Some(deadline), &keys[place])?;
            }
        }
        Ok(())
    }

    /// Several objects, read into memory of the caller's: what [`Connector::get_batch`](crate::Connector::get_batch) does,
    /// without its buffers. `allocate` is told the place of a key in the batch and the size of its object in bytes, and gives
    /// memory as for [`get_into`](Self::get_into).
    ///
    /// # Errors
    /// As there, for the first key that fails.
    pub fn get_batch_into<M: AsMut<[MaybeUninit<u8>]> + Send>(
        &self,
        keys: &[Key],
        options: &GetOptions,
        allocate: impl FnMut(usize, usize) -> Result<M> + Send,
    ) -> Result<Vec<Option<M>>> {
        self.require_open()?;
        let wanted: Vec<&ObjectKey> = keys.iter().map(Key::as_object).collect::<Result<_>>()?;
        let names = self.names(wanted.iter().copied())?;
        // What keys say of sizes may be anything: each object adds its own when it comes.
        let deadline = self.deadline(0);
        let mut groups = self.groups(names, deadline)?.into_iter();
        let Some(first) = groups.next() else { return Ok(Vec::new()) };
        let (wanted, allocate) = (&wanted, &Mutex::new(allocate));
        let read = |group: Vec<Item>| {
            move || {
                let allocate = |place, size| {
                    let mut allocate = allocate.lock().unwrap_or_else(PoisonError::into_inner);
                    allocate(place, size)
                };
                self.get_part(&group, wanted, options, deadline, allocate)
            }
        };
        let (parts, part) = interrupt::together(groups.map(read), read(first));
        let mut found: Vec<Option<M>> = keys.iter().map(|_| None).collect();
        for part in parts.into_iter().chain([part]) {
            for (place, object) in part? {
                found[place] = object;
            }
        }
        Ok(found)
    }

    /// Reads what one node has: the objects and their places.
    fn get_part<M: AsMut<[MaybeUninit<u8>]>>(
        &self,
        group: &[Item],
        wanted: &[&ObjectKey],
        options: &GetOptions,
        mut deadline: Deadline,
        mut allocate: impl FnMut(usize, usize) -> Result<M>,
    ) -> Result<Vec<(usize, Option<M>)>> {
        let mut found = Vec::with_capacity(group.len());
        for window in windows(group, wanted) {
            interrupt::check()?;
            let outcomes = self.get_window(window, wanted, options, &mut deadline, &mut allocate)?;
            for (Item { place, .. }, outcome) in window.iter().zip(outcomes) {
                let object = match outcome {
                    Ok(object) => object,
                    Err(refusal) if self.is_elsewhere(&refusal) => {
                        let key = Key::from(wanted[*place].clone());
                        self.read_within(Some(deadline), &key, options, &mut |size| allocate(*place, size))?
                    }
                    Err(refusal) => return Err(self.refused(refusal)),
                };
                found.push((*place, object));
            }
        }
        Ok(found)
    }

    fn get_window<M: AsMut<[MaybeUninit<u8>]>>(
        &self,
        window: &[Item],
        keys: &[&ObjectKey],
        options: &GetOptions,
        whole: &mut Deadline,
        allocate: &mut impl FnMut(usize, usize) -> Result<M>,
    ) -> Result<Vec<Result<Option<M>, Refusal>>> {
        let call = Call { name: window.first().map(|item| &*item.name), deadline: Some(*whole), ..Call::default() };
        let integrity = options.integrity.unwrap_or(self.options.integrity);
        self.call(call, |connection, deadline| {
            window.iter().for_each(|item| connection.push(&[b"GET", &item.name]));
            connection.send(deadline)?;
            let mut read = |item: &Item| {
                let found =
                    next_object(connection, keys[item.place], integrity, deadline, |size| allocate(item.place, size));
                match found {
                    // What is no object is refused, and the pipeline goes on.
                    Err(Failure { cause: Cause::Refused(refusal), .. }) => Ok(Err(refusal)),
                    found => found.map(Ok),
                }
            };
            let found = window.iter().map(&mut read).collect::<Result<Vec<_>, Failure>>()?;
            *whole = *deadline;
            self.require_ready(found.iter().filter_map(|found| found.as_ref().err()))?;
            Ok(found)
        })
    }

    fn names<'k>(&self, keys: impl Iterator<Item = &'k ObjectKey>) -> Result<Vec<Item>> {
        keys.enumerate().map(|(place, key)| Ok(Item { place, name: self.name(&key.id)? })).collect()
    }

    /// The items by the node that has them, as far as is known; all together where there is one server.
    fn groups(&self, items: Vec<Item>, deadline: Deadline) -> Result<Vec<Vec<Item>>> {
        if !self.options.cluster || items.is_empty() {
            return Ok(if items.is_empty() { Vec::new() } else { vec![items] });
        }
        let slots = self.slots(deadline)?;
        let mut groups: Vec<Vec<Item>> = slots.nodes().iter().map(|_| Vec::new()).collect();
        let mut unserved = Vec::new();
        for item in items {
            let node = slots.node_of(&item.name);
            let place = node.and_then(|node| slots.nodes().iter().position(|known| known == node));
            groups.get_mut(place.unwrap_or(usize::MAX)).unwrap_or(&mut unserved).push(item);
        }
        groups.push(unserved);
        groups.retain(|group| !group.is_empty());
        Ok(groups)
    }
}

/// Of the errors of several nodes, the one that counts most has the lowest.
fn rank(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Interrupted => 0,
        ErrorKind::Ambiguous => 1,
        _ => 2,
    }
}

/// So many replies, refusals among them.
fn replies(connection: &mut Connection, count: usize, deadline: &Deadline) -> Result<Vec<Reply>, Failure> {
    (0..count).map(|_| connection.any_reply(deadline)).collect()
}

/// The next object that comes in, in memory that `allocate` gives for its size.
pub(super) fn next_object<M: AsMut<[MaybeUninit<u8>]>>(
    connection: &mut Connection,
    key: &ObjectKey,
    integrity: Integrity,
    deadline: &mut Deadline,
    allocate: impl FnOnce(usize) -> Result<M>,
) -> Result<Option<M>, Failure> {
    let Some(size) = connection.object_head(deadline)? else { return Ok(None) };
    key.verify_size(size as u64)?;
    deadline.extend_for(size as u64);
    let mut memory = allocate(size)?;
    let part = memory.as_mut().get_mut(..size).ok_or_else(|| Error::too_little_memory(size))?;
    key.verify(connection.object(part, deadline)?, integrity)?;
    Ok(Some(memory))
}

/// The items in parts whose objects the server can well have in memory at once.
fn windows<'i>(items: &'i [Item], keys: &[&ObjectKey]) -> Vec<&'i [Item]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0_u64);
    for (end, item) in items.iter().enumerate() {
        let size = keys[item.place].size.unwrap_or(UNKNOWN_SIZE);
        if end > start && (end - start == WINDOW_ITEMS || bytes.saturating_add(size) > WINDOW_BYTES) {
            parts.push(&items[start..end]);
            (start, bytes) = (end, 0);
        }
        bytes = bytes.saturating_add(size);
    }
    parts.push(&items[start..]);
    parts
}
