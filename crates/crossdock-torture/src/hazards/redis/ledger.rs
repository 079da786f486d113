//! What a server must have and what it may have, as told by the outcomes of calls.
//!
//! An object whose put has succeeded must be there, whole, until its evict has. One that an error's keys list may be
//! there. Nothing else may.
//!
//! A server that syncs its log every second is an exception that Redis makes: while its disk syncs, it answers before it
//! has written to the log at all, so a kill then loses what it has acknowledged lately. What has reached the log must stay.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use crossdock::connectors::RedisConnector;
use crossdock::{
    Connector, ConnectorExt, Deferrable, Error, ErrorKind, GetOptions, Key, KeyHint, ObjectKey, PutOptions,
};
use crossdock_servers::Redis;

use super::{AT_FAULT, calm, id, names};
use crate::object;
use crate::rng::Rng;
use crate::run::{Outcome, Run};

#[derive(Default)]
pub(super) struct Ledger {
    stored: Vec<Stored>,
    /// Whether the server may forget what it has acknowledged lately.
    forgetful: bool,
    forgotten: u64,
    /// What may be there: ids, and the seeds of their objects where these are known.
    told: HashMap<String, Option<u64>>,
    /// Errors by kind.
    kinds: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
}

#[derive(Clone)]
struct Stored {
    key: Key,
    seed: u64,
    /// It is in the log of the server.
    firm: bool,
}

/// What a caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Put,
    PutBatch,
    Set,
    Get,
    GetBatch,
    Exists,
    Evict,
}

impl Act {
    pub(super) fn any(rng: &mut Rng) -> Self {
        *rng.pick(&[
            Self::Put,
            Self::Put,
            Self::Put,
            Self::PutBatch,
            Self::Set,
            Self::Set,
            Self::Get,
            Self::GetBatch,
            Self::Exists,
            Self::Evict,
            Self::Evict,
        ])
    }

    /// The word in its requests.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Put | Self::PutBatch | Self::Set => "SET",
            Self::Get | Self::GetBatch => "GET",
            Self::Exists => "EXISTS",
            Self::Evict => "UNLINK",
        }
    }

    /// Whether the server has less or more afterwards.
    pub(super) fn writes(self) -> bool {
        matches!(self, Self::Put | Self::PutBatch | Self::Set | Self::Evict)
    }
}

/// Mostly small, as a server is killed in the middle of few large ones.
fn some_size(rng: &mut Rng) -> usize {
    match rng.below(40) {
        0 => 50_000 + rng.below(250_000),
        1..=6 => rng.below(20_000),
        _ => rng.below(1_000),
    }
}

impl Stored {
    fn is(&self, object: Option<&Bytes>) -> bool {
        object.and_then(|object| object::seed_of(object)) == Some(self.seed)
    }
}

impl Ledger {
    /// Does something, notes what came of it, and says whether it succeeded.
    pub(super) fn act(&mut self, act: Act, redis: &RedisConnector, rng: &mut Rng) -> bool {
        match act {
            Act::Put => {
                let seed = rng.next();
                let put = redis.put_bytes(object::make(seed, some_size(rng)));
                let put = put.map(|key| self.stored(key, seed));
                self.note(act, put)
            }
            Act::PutBatch => {
                let seeds: Vec<u64> = (0..2 + rng.below(40)).map(|_| rng.next()).collect();
                let objects: Vec<Bytes> = seeds.iter().map(|seed| object::make(*seed, some_size(rng))).collect();
                let put = redis.put_batch(&objects, &PutOptions::new());
                let put = put.map(|keys| keys.into_iter().zip(seeds).for_each(|(key, seed)| self.stored(key, seed)));
                self.note(act, put)
            }
            Act::Set => self.set(redis, rng),
            Act::Evict => self.evict(redis, rng),
            Act::Get | Act::GetBatch | Act::Exists => self.read(act, redis, rng),
        }
    }

    fn stored(&mut self, key: Key, seed: u64) {
        self.stored.push(Stored { key, seed, firm: false });
    }

    /// A new key, or one whose outcome was left open: setting that again is safe.
    fn set(&mut self, redis: &RedisConnector, rng: &mut Rng) -> bool {
        let seed = rng.next();
        let object = object::make(seed, some_size(rng));
        let key = match redis.new_key(&KeyHint::new()) {
            Ok(key) => key,
            Err(error) => return self.note(Act::Set, Err(error)),
        };
        let mut set = redis.set(&key, object.clone(), &PutOptions::new());
        if let Err(error) = &set
            && error.kind() == ErrorKind::Ambiguous
        {
            self.told.insert(id(&key), Some(seed));
            if error.keys() != std::slice::from_ref(&key) {
                self.wrong.push(format!("the error of a set has other keys: {error:?} {:?}", error.keys()));
            }
            if rng.one_in(2) {
                set = redis.set(&key, object, &PutOptions::new());
            }
        }
        let set = set.map(|()| self.stored(key, seed));
        self.note(Act::Set, set)
    }

    fn evict(&mut self, redis: &RedisConnector, rng: &mut Rng) -> bool {
        if self.stored.is_empty() {
            return true;
        }
        let index = rng.below(self.stored.len());
        let Stored { key, seed, .. } = self.stored[index].clone();
        let evicted = redis.evict(&key);
        let is_open = matches!(&evicted, Err(error) if error.kind() == ErrorKind::Ambiguous);
        // After any other error nothing was done, so it must still be there.
        if evicted.is_ok() || is_open {
            self.stored.swap_remove(index);
        }
        if is_open || self.forgetful {
            self.told.insert(id(&key), Some(seed));
        }
        self.note(Act::Evict, evicted)
    }

    fn read(&mut self, act: Act, redis: &RedisConnector, rng: &mut Rng) -> bool {
        if self.stored.is_empty() {
            return true;
        }
        let count = if act == Act::GetBatch { 1 + rng.below(20) } else { 1 };
        let some: Vec<Stored> = (0..count).map(|_| rng.pick(&self.stored).clone()).collect();
        let keys: Vec<Key> = some.iter().map(|one| one.key.clone()).collect();
        let found = match act {
            Act::Exists => {
                let exists = redis.exists(&keys[0]);
                if matches!(exists, Ok(false)) {
                    self.misses(&some[0], None);
                }
                return self.note(act, exists.map(drop));
            }
            Act::Get => redis.get_bytes(&keys[0]).map(|object| vec![object]),
            _ => redis.get_batch(&keys, &GetOptions::default()),
        };
        match found {
            Ok(found) => {
                for (one, object) in some.iter().zip(&found).filter(|(one, object)| !one.is(object.as_ref())) {
                    self.misses(one, object.as_ref());
                }
                true
            }
            Err(error) => self.note(act, Err(error)),
        }
    }

    /// An object is not what was stored.
    fn misses(&mut self, stored: &Stored, object: Option<&Bytes>) {
        if self.forgetful && !stored.firm && object.is_none() {
            let before = self.stored.len();
            self.stored.retain(|one| one.key != stored.key);
            self.forgotten += (before - self.stored.len()) as u64;
        } else {
            self.wrong.push(format!("{} was stored and reads as {:?} bytes", stored.key, object.map(Bytes::len)));
        }
    }

    fn note(&mut self, act: Act, outcome: Result<(), Error>) -> bool {
        let Err(error) = outcome else { return true };
        *self.kinds.entry(error.kind().as_str()).or_default() += 1;
        let ambiguous = error.kind() == ErrorKind::Ambiguous;
        if !AT_FAULT.contains(&error.kind()) || (ambiguous && act.writes() && error.keys().is_empty()) {
            self.wrong.push(format!("{act:?}: {error:?}"));
        }
        for key in error.keys() {
            self.told.entry(id(key)).or_default();
        }
        false
    }

    /// For a server that may forget what it has acknowledged lately.
    pub(super) fn of_a_forgetful_server() -> Self {
        Self { forgetful: true, ..Self::default() }
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.stored.extend(other.stored);
        self.forgotten += other.forgotten;
        self.told.extend(other.told);
        other.kinds.into_iter().for_each(|(kind, count)| *self.kinds.entry(kind).or_default() += count);
        self.wrong.extend(other.wrong);
    }

    /// Holds the server against this. Whatever it has acknowledged by now is in its log, if it has one.
    pub(super) fn verify(&mut self, run: &mut Run, server: &Redis, prefix: &str, when: &str) -> Outcome {
        let redis = calm(server, prefix)?;
        let there = names(server, prefix)?;
        let stored: HashSet<String> = self.stored.iter().map(|one| id(&one.key)).collect();
        for name in there.iter().filter(|name| !stored.contains(*name) && !self.told.contains_key(*name)) {
            run.found(format!("{when}: {name} is there, and nobody was told of it"));
        }
        let all = self.stored.clone();
        let keys: Vec<Key> = all.iter().map(|one| one.key.clone()).collect();
        for (one, object) in all.iter().zip(redis.get_batch(&keys, &GetOptions::default())?) {
            if !one.is(object.as_ref()) {
                self.misses(one, object.as_ref());
            }
        }
        self.stored.iter_mut().for_each(|one| one.firm = true);
        self.wrong.drain(..).for_each(|wrong| run.found(format!("{when}: {wrong}")));
        for (name, expected) in self.told.iter().filter(|(name, _)| there.contains(*name)) {
            // What was on its way may be there or gone by now, but never in part.
            let whole =
                match redis.get_bytes(&ObjectKey::bare(name.as_str()).into())?.map(|found| object::seed_of(&found)) {
                    None => true,
                    Some(seed) => seed.is_some() && expected.is_none_or(|expected| seed == Some(expected)),
                };
            run.check(whole, || format!("{when}: {name}, of which an error told, is torn or another's"));
        }
        Ok(())
    }

    /// Evicts everything that is or may be there; then nothing is.
    pub(super) fn evict_all(&mut self, run: &mut Run, server: &Redis, prefix: &str, when: &str) -> Outcome {
        let redis = calm(server, prefix)?;
        let told = self.told.keys().map(|name| ObjectKey::bare(name.as_str()).into());
        for key in self.stored.iter().map(|one| one.key.clone()).chain(told) {
            redis.evict(&key)?;
        }
        let left = names(server, prefix)?;
        run.check(left.is_empty(), || format!("{when}: {} objects are left when all were evicted", left.len()));
        self.stored.clear();
        self.told.clear();
        Ok(())
    }

    /// The server was emptied. What errors told of may still come; what a forgetful server had may come back.
    pub(super) fn emptied(&mut self) {
        let stored = self.stored.drain(..);
        if self.forgetful {
            self.told.extend(stored.map(|one| (id(&one.key), Some(one.seed))));
        }
    }

    /// How many objects must be there.
    pub(super) fn objects(&self) -> usize {
        self.stored.len()
    }

    /// How many were acknowledged and forgotten, where that may be.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The errors so far, as words.
    pub(super) fn errors(&self) -> String {
        if self.kinds.is_empty() {
            return "none".to_owned();
        }
        let words: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        words.join(", ")
    }
}
