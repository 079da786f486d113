//! Keys from strangers: on a server that others use, nothing is read, written or deleted but strings whose names are the
//! prefix and a UUID.

use std::collections::BTreeMap;

use bytes::Bytes;
use crossdock::connectors::RedisConnector;
use crossdock::{
    Connector, Error, ErrorKind, GetOptions, Key, MultiConnector, MultiKey, ObjectKey, Policy, PutOptions,
};
use crossdock_servers::{Redis, Reply};

use super::{LIMIT, Servers, names, options};
use crate::hazards::keys::PIECES;
use crate::hazards::{Hazard, Need};
use crate::rng::Rng;
use crate::run::{Outcome, Run};

pub(crate) const HAZARD: Hazard = Hazard {
    name: "redis-keys",
    looked_for: "anything touched but objects, panics, hangs",
    small: 10_000,
    full: 1_000_000,
    needs: &[Need::Redis],
    run,
};

const PREFIX: &str = "ours:";
const CANARY: &str = "the canary outside";
/// The server is inspected after so many keys.
const KEYS: u64 = 2_000;

struct World {
    server: Redis,
    redis: std::sync::Arc<RedisConnector>,
    multi: MultiConnector,
    /// Names of other people, and what they keep there.
    foreign: BTreeMap<String, Reply>,
    /// Names of ours under which something is that is no string.
    no_strings: Vec<String>,
}

fn run(run: &mut Run) -> Outcome {
    let mut world = build(&mut run.rng(u64::MAX))?;
    for index in 0..run.count {
        let mut rng = run.rng(index);
        let id = some_id(&mut rng, &world);
        let item = format!("key {index}: {id:?}");
        run.about_to(&item)?;
        let outcome = run.guarded(|| item.clone(), || try_everything(&world, &id, &mut rng));
        if let Some(Err(what)) = outcome {
            run.found(format!("{item}: {what}"));
        }
        if index % KEYS == KEYS - 1 || index + 1 == run.count {
            inspect(run, &mut world, index)?;
        }
        run.did(1);
    }
    Ok(())
}

/// As text and as values, in every operation.
fn try_everything(world: &World, id: &str, rng: &mut Rng) -> Result<(), String> {
    let size = rng.one_in(2).then(|| *rng.pick(&[0, 1, 18, u64::MAX, u64::MAX / 2 + 1, 1 << 40]));
    let checksum = rng.one_in(2).then(|| rng.next());
    let single = Key::from(ObjectKey { id: id.into(), size, checksum });
    let names = ["redis", "", "..", id];
    let nested = Key::from(MultiKey::new(*rng.pick(&names), single.clone()));
    let double = Key::from(MultiKey::new("redis", nested.clone()));
    let texts = [id.to_owned(), format!("redis/{id}"), format!("{id}:{}:{:016x}", rng.next(), rng.next())];
    let parsed = texts.iter().filter_map(|text| text.parse::<Key>().ok());
    let subjects: [(&dyn Connector, Key); 4] =
        [(&*world.redis, single), (&world.multi, nested.clone()), (&*world.redis, nested), (&world.multi, double)];
    let parsed = parsed.flat_map(|key| [(&*world.redis as &dyn Connector, key.clone()), (&world.multi, key)]);
    for (connector, key) in subjects.into_iter().chain(parsed) {
        try_key(world, connector, &key, id, rng)?;
    }
    Ok(())
}

fn try_key(world: &World, connector: &dyn Connector, key: &Key, id: &str, rng: &mut Rng) -> Result<(), String> {
    known(connector.exists(key).map(drop))?;
    let one = connector.get(key, &GetOptions::default()).map(|object| vec![object]);
    let several = connector.get_batch(&[key.clone(), key.clone(), key.clone()], &GetOptions::view());
    for found in [one, several] {
        let objects = found.as_deref().unwrap_or_default().iter().flatten();
        if objects.into_iter().any(|object| object.starts_with(CANARY.as_bytes())) {
            return Err(format!("{key:?} reads the canary"));
        }
        known(found.map(drop))?;
    }
    if rng.one_in(3) {
        let deferrable = connector.deferrable().ok_or("not deferrable")?;
        known(deferrable.set(key, Bytes::from_static(b"hostile"), &PutOptions::new()))?;
    }
    // Evicting is by name, whatever is kept there.
    if rng.one_in(3) && !world.no_strings.iter().any(|name| name == id) {
        known(connector.evict(key))?;
    }
    Ok(())
}

/// Only kinds that say what is wrong with the key or the object.
fn known(outcome: Result<(), Error>) -> Result<(), String> {
    use ErrorKind::{AlreadyExists, Corrupt, InvalidKey, UnknownConnector};
    match outcome {
        Err(error) if ![InvalidKey, UnknownConnector, Corrupt, AlreadyExists].contains(&error.kind()) => {
            Err(format!("{error:?}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn some_id(rng: &mut Rng, world: &World) -> String {
    let foreign: Vec<&String> = if rng.one_in(3) { world.foreign.keys().collect() } else { Vec::new() };
    match rng.below(10) {
        _ if !foreign.is_empty() => {
            let name = *rng.pick(&foreign);
            name.strip_prefix(PREFIX).unwrap_or(name).to_owned()
        }
        0 => rng.pick(&world.no_strings).clone(),
        1 | 2 => rng.uuid(),
        3 => rng.uuid().to_uppercase(),
        4 => format!("{}{}", rng.pick(PIECES), rng.uuid()),
        5 => rng.pick(PIECES).repeat(rng.below(300)),
        6 => (0..rng.below(12)).filter_map(|_| char::from_u32(rng.next() as u32 % 0x11_0000)).collect(),
        _ => (0..=rng.below(6)).map(|_| *rng.pick(PIECES)).collect(),
    }
}

fn build(rng: &mut Rng) -> Outcome<World> {
    let server = Redis::start(&Servers::new())?;
    let redis = RedisConnector::open(&options(server.address()).prefix(PREFIX).deadline(LIMIT))?;
    let redis = std::sync::Arc::new(redis);
    let multi = MultiConnector::builder().connector("redis", redis.clone(), Policy::any()).build()?;
    let mut world = World { server, redis, multi, foreign: BTreeMap::new(), no_strings: Vec::new() };
    let uuid = rng.uuid();
    let nearly = [
        uuid.clone(),
        format!("theirs:{uuid}"),
        format!("ours{uuid}"),
        PREFIX.to_owned(),
        format!("{PREFIX}session"),
        format!("{PREFIX}{}", uuid.to_uppercase()),
        format!("{PREFIX}{{{uuid}}}"),
        format!("{PREFIX}{uuid}x"),
        format!("{PREFIX}more:{uuid}"),
        "canary".to_owned(),
        "outside".to_owned(),
    ];
    let pieces = PIECES.iter().flat_map(|piece| [(*piece).to_owned(), format!("{PREFIX}{piece}")]);
    for name in nearly.into_iter().chain(pieces) {
        world.server.command(&["SET", &name, CANARY])?;
        world.foreign.insert(name, Reply::Nil);
    }
    for words in [["HSET", "a", CANARY], ["ZADD", "1", CANARY]] {
        let id = rng.uuid();
        world.server.command(&[words[0], &format!("{PREFIX}{id}"), words[1], words[2]])?;
        world.no_strings.push(id);
    }
    for command in ["RPUSH", "SADD"] {
        let id = rng.uuid();
        world.server.command(&[command, &format!("{PREFIX}{id}"), CANARY])?;
        world.no_strings.push(id);
    }
    for id in &world.no_strings {
        world.foreign.insert(format!("{PREFIX}{id}"), Reply::Nil);
    }
    for (name, kept) in &mut world.foreign {
        *kept = world.server.command(&["DUMP", name])?;
    }
    Ok(world)
}

fn inspect(run: &mut Run, world: &mut World, index: u64) -> Outcome {
    for (name, kept) in &world.foreign {
        let now = world.server.command(&["DUMP", name])?;
        run.check(now == *kept, || format!("up to key {index}: {name:?} has changed or is gone"));
    }
    for name in names(&world.server, "")?.iter().filter(|name| !world.foreign.contains_key(*name)) {
        let id = name.strip_prefix(PREFIX).unwrap_or_default();
        let is_uuid = id.len() == 36
            && id.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            });
        run.check(is_uuid, || format!("up to key {index}: {name:?} was made"));
        world.server.command(&["UNLINK", name])?;
    }
    Ok(())
}
