//! A server that is stopped, gone, cut off or silent: every call ends when it should, with the right kind of error, and the
//! same connector works again once the server does.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::config::Reference;
use crossdock::connectors::{RedisConnector, RedisOptions};
use crossdock::{
    CloseOptions, Connector, ConnectorExt, Deferrable, Error, ErrorKind, GetOptions, Key, KeyHint, PutOptions,
};
use crossdock_servers::{ClusterOptions, Fault, LossyProxy, Redis, RedisCluster, Rule, Tls};

use super::{AT_FAULT, Servers, calm, eventually, id, names, options};
use crate::hazards::{Hazard, Need};
use crate::run::{Outcome, Run};
use crate::system::{FullPort, FullSocket};

pub(crate) const HAZARD: Hazard = Hazard {
    name: "redis-deadlines",
    looked_for: "late ends, wrong kinds, untold objects",
    small: 150,
    full: 1_000,
    needs: &[Need::Redis, Need::Openssl],
    run,
};

const DEADLINE: Duration = Duration::from_millis(500);
/// What a busy machine may add to a deadline and its tenth.
const GRACE: Duration = Duration::from_secs(1);
const PREFIX: &str = "deadlines:";
/// A large object, or a batch of many small ones, in bytes.
const LARGE: usize = 3_000_000;
const ITEM: usize = 1_500;

/// What is called, each by a thread and a connector of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Put,
    PutLarge,
    PutBatch,
    PutLargeBatch,
    Set,
    SetAgain,
    Get,
    GetBatch,
    Exists,
    Evict,
    Check,
    Clear,
}

const ALL: [Does; 12] = [
    Does::Put,
    Does::PutLarge,
    Does::PutBatch,
    Does::PutLargeBatch,
    Does::Set,
    Does::SetAgain,
    Does::Get,
    Does::GetBatch,
    Does::Exists,
    Does::Evict,
    Does::Check,
    Does::Clear,
];

/// What a call may end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// Nobody is there.
    Unavailable,
    /// Somebody is there and says nothing, not even to a greeting: nothing was written.
    Timeout,
    /// The request has got through: reads end with this kind, of writes the outcome is not known.
    Unknown(ErrorKind),
    /// Success, too, in time.
    Anything,
}

/// What happens to a server, or to the way to it.
struct Scene<'a> {
    name: &'static str,
    options: RedisOptions,
    /// Whether the connectors have a connection before it happens.
    warm: bool,
    expect: Expect,
    happens: &'a dyn Fn() -> Outcome,
    /// Ends it: after all calls have ended, or that long after they began.
    after: Option<Duration>,
    ends: &'a dyn Fn() -> Outcome,
    /// Where the objects are; without, there is nothing to recover.
    server: Option<&'a Redis>,
}

struct Called {
    does: Does,
    took: Duration,
    allowed: Duration,
    outcome: Result<Vec<Key>, Error>,
}

/// What was seen so far.
#[derive(Default)]
struct Tally {
    calls: u64,
    late: u64,
    /// The longest call, as a part of what it may take.
    worst: f64,
    worst_is: String,
    /// The ids of what may be on a server.
    known: HashSet<String>,
}

fn run(run: &mut Run) -> Outcome {
    let server = Redis::start(&Servers::new().tls(Tls::Beside))?;
    let cluster = RedisCluster::start(&ClusterOptions::new().masters(1))?;
    let proxy = LossyProxy::before(server.address())?;
    let mut tally = Tally::default();
    for pass in 0.. {
        each_scene(run, &server, &cluster.nodes()[0], &proxy, pass, &mut tally)?;
        if tally.calls >= run.count {
            break;
        }
    }
    run.did(tally.calls);
    run.note(format_args!(
        "{} of {} calls took more than their deadline and a tenth; the longest {:.2} deadlines ({})",
        tally.late, tally.calls, tally.worst, tally.worst_is
    ));
    Ok(())
}

fn each_scene(
    run: &mut Run,
    server: &Redis,
    node: &Redis,
    proxy: &LossyProxy,
    pass: u32,
    tally: &mut Tally,
) -> Outcome {
    let ca = server.certificates().ok_or("it has certificates")?.ca();
    let tls_address = server.tls_address().ok_or("it speaks TLS")?;
    let secured = options(tls_address).tls_ca_file(Reference::literal(&ca.to_string_lossy()));
    let (direct, through) = (options(server.address()), options(proxy.address()));
    let clustered = options(node.address()).cluster(true);
    let full_port = FullPort::new()?;
    let full_socket = FullSocket::new(&run.path(format!("full-{pass}")))?;

    let nothing = || Ok(());
    let (stop, go_on) = (|| Ok(server.stop()?), || Ok(server.cont()?));
    let (stop_node, continue_node) = (|| Ok(node.stop()?), || Ok(node.cont()?));
    let (kill, restart) = (|| Ok(server.kill()?), || Ok(server.restart()?));
    let (silence, cut) = (|| Ok(proxy.silence()?), || Ok(proxy.cut()?));
    let lose_replies = || Ok(proxy.obey(Rule::new(Fault::CutReply(0)).times(u64::MAX))?);
    let slow_down = || Ok(proxy.delay(DEADLINE.mul_f64(0.4))?);
    let mend = || {
        proxy.delay(Duration::ZERO)?;
        proxy.forget_rules()?;
        Ok(proxy.mend()?)
    };
    let here = |name, options: &RedisOptions, expect, happens, ends| Scene {
        name,
        options: options.clone().prefix(PREFIX).deadline(DEADLINE),
        warm: !matches!(expect, Expect::Timeout),
        expect,
        happens,
        after: None,
        ends,
        server: Some(server),
    };
    let timeout = Expect::Unknown(ErrorKind::Timeout);
    let unavailable = Expect::Unknown(ErrorKind::Unavailable);
    // While a batch is undone: the one or the other.
    let undone = DEADLINE + if pass.is_multiple_of(2) { extra(LARGE) } else { Duration::ZERO };
    let woken = undone + Duration::from_millis(5 * u64::from(pass / 2 % 12));
    let scenes = [
        here("stopped", &direct, timeout, &stop, &go_on),
        here("stopped before the first call", &direct, Expect::Timeout, &stop, &go_on),
        Scene { after: Some(woken), ..here("stopped for a while", &direct, Expect::Anything, &stop, &go_on) },
        here("stopped, TLS", &secured, timeout, &stop, &go_on),
        here("stopped before the first call, TLS", &secured, Expect::Timeout, &stop, &go_on),
        Scene { server: Some(node), ..here("stopped, a cluster", &clustered, timeout, &stop_node, &continue_node) },
        here("gone", &direct, Expect::Unavailable, &kill, &restart),
        here("silent", &through, timeout, &silence, &mend),
        here("silent before the first call", &through, Expect::Timeout, &silence, &mend),
        here("cut off", &through, Expect::Unavailable, &cut, &mend),
        here("reset at every reply", &through, unavailable, &lose_replies, &mend),
        here("slow", &through, Expect::Anything, &slow_down, &mend),
        Scene {
            server: None,
            ..here("a full port", &options(full_port.address()), Expect::Timeout, &nothing, &nothing)
        },
        Scene {
            server: None,
            ..here(
                "a full unix socket",
                &RedisOptions::unix_socket(&full_socket.path().to_string_lossy()),
                Expect::Timeout,
                &nothing,
                &nothing,
            )
        },
    ];
    for scene in &scenes {
        run.about_to(scene.name)?;
        play(run, scene, tally)?;
    }
    Ok(())
}

/// Every call at once, while it happens.
fn play(run: &mut Run, scene: &Scene<'_>, tally: &mut Tally) -> Outcome {
    let before = match scene.server {
        Some(server) => calm(server, PREFIX)?.put_batch(&vec!["before".into(); ALL.len() + 20], &PutOptions::new())?,
        None => vec!["7c9e6679-7425-40de-944b-e07fc1f90ae7".parse()?; ALL.len() + 20],
    };
    tally.known.extend(before.iter().map(id));
    let connectors: Vec<RedisConnector> =
        ALL.iter().map(|_| RedisConnector::attach(&scene.options)).collect::<Result<_, _>>()?;
    if scene.warm {
        connectors.iter().try_for_each(|redis| eventually(|| redis.exists(&before[0])).map(drop))?;
    }
    (scene.happens)()?;
    let calls = thread::scope(|scope| -> Outcome<Vec<Called>> {
        let calls: Vec<_> = ALL
            .iter()
            .zip(&connectors)
            .enumerate()
            .map(|(index, (does, redis))| {
                let before = &before[index..];
                scope.spawn(move || call(*does, redis, before))
            })
            .collect();
        let ended = scene.after.map(|after| {
            thread::sleep(after);
            (scene.ends)()
        });
        let calls = calls.into_iter().map(|call| call.join().map_err(|_| "a call panicked".into())).collect();
        ended.unwrap_or_else(|| (scene.ends)())?;
        calls
    })?;
    calls.iter().for_each(|call| judge(run, scene, call, tally));
    let Some(server) = scene.server else { return Ok(()) };
    for (does, redis) in ALL.iter().zip(&connectors).filter(|(does, _)| **does != Does::Clear) {
        let mut note = |error: &Error| tally.known.extend(error.keys().iter().map(id));
        match eventually(|| redis.put_bytes("after").inspect_err(&mut note)) {
            Ok(key) => drop(tally.known.insert(id(&key))),
            Err(error) => run.found(format!("{}, {does:?}: it does not recover: {error:?}", scene.name)),
        }
    }
    for name in names(server, PREFIX)?.iter().filter(|name| !tally.known.contains(*name)) {
        run.found(format!("{}: {name} is there, and nobody was told of it", scene.name));
    }
    server.command(&["FLUSHALL"])?;
    Ok(())
}

fn call(does: Does, redis: &RedisConnector, before: &[Key]) -> Called {
    let put = |size: usize| redis.put_bytes(vec![7; size]).map(|key| vec![key]);
    let put_batch = |count: usize| redis.put_batch(&vec![Bytes::from(vec![7; ITEM]); count], &PutOptions::new());
    let none = |()| Vec::new();
    let begin = Instant::now();
    let outcome = match does {
        Does::Put => put(1_000),
        Does::PutLarge => put(LARGE),
        Does::PutBatch => put_batch(20),
        Does::PutLargeBatch => put_batch(LARGE / ITEM),
        Does::Set => redis
            .new_key(&KeyHint::new())
            .and_then(|key| redis.set(&key, "object".into(), &PutOptions::new()).map(|()| vec![key])),
        Does::SetAgain => redis.set(&before[0], "before".into(), &PutOptions::new()).map(none),
        Does::Get => redis.get_bytes(&before[0]).map(drop).map(none),
        Does::GetBatch => redis.get_batch(&before[..20], &GetOptions::default()).map(drop).map(none),
        Does::Exists => redis.exists(&before[0]).map(drop).map(none),
        Does::Evict => redis.evict(&before[0]).map(none),
        Does::Check => redis.check().map(drop).map(none),
        Does::Clear => redis.close(&CloseOptions::default().clear(true)).map(none),
    };
    Called { does, took: begin.elapsed(), allowed: does.deadline(), outcome }
}

impl Does {
    fn deadline(self) -> Duration {
        match self {
            Self::PutLarge | Self::PutLargeBatch => DEADLINE + extra(LARGE),
            // A put, a get and an evict; a look for names and their eviction.
            Self::Check => 3 * DEADLINE,
            Self::Clear => 2 * DEADLINE,
            _ => DEADLINE,
        }
    }

    fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::GetBatch | Self::Exists | Self::Clear)
    }
}

/// A second for each 8 MiB.
fn extra(bytes: usize) -> Duration {
    Duration::from_millis(bytes as u64 * 1000 / (8 << 20))
}

fn judge(run: &mut Run, scene: &Scene<'_>, call: &Called, tally: &mut Tally) {
    let when = format!("{}, {:?}", scene.name, call.does);
    let part = call.took.as_secs_f64() / call.allowed.as_secs_f64();
    tally.calls += 1;
    tally.late += u64::from(part > 1.1);
    if part > tally.worst {
        (tally.worst, tally.worst_is) = (part, when.clone());
    }
    let limit = call.allowed.mul_f64(1.1) + GRACE;
    run.check(call.took <= limit, || format!("{when}: it took {:?} of {:?}", call.took, call.allowed));
    let error = match &call.outcome {
        Ok(keys) => {
            tally.known.extend(keys.iter().map(id));
            run.check(scene.expect == Expect::Anything, || format!("{when}: it succeeds"));
            return;
        }
        Err(error) => error,
    };
    tally.known.extend(error.keys().iter().map(id));
    let told = !error.keys().is_empty();
    let right = match scene.expect {
        Expect::Unavailable => error.kind() == ErrorKind::Unavailable && !told,
        Expect::Timeout => error.kind() == ErrorKind::Timeout && !told,
        // The time may be up before the last attempt.
        Expect::Unknown(kind) if !call.does.writes() => [kind, ErrorKind::Timeout].contains(&error.kind()) && !told,
        // Half of a large object is nothing.
        Expect::Unknown(_) if call.does == Does::PutLarge && error.kind() == ErrorKind::Timeout => !told,
        Expect::Unknown(_) if matches!(call.does, Does::PutBatch | Does::PutLargeBatch) => {
            AT_FAULT.contains(&error.kind()) && told
        }
        Expect::Unknown(_) => error.kind() == ErrorKind::Ambiguous && told,
        Expect::Anything => AT_FAULT.contains(&error.kind()),
    };
    run.check(right, || format!("{when}: {error:?}, with {} keys", error.keys().len()));
}
