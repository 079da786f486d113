//! Connectors are closed, with and without clearing, on a server that other people use as well.

use std::net::SocketAddr;
use std::sync::Arc;

use crossdock::config::{Config, Format};
use crossdock::connectors::RedisConnector;
use crossdock::{CloseOptions, Connector, ConnectorExt, GetOptions, Key, MultiConnector, Opener, Policy, Registry};
use crossdock_servers::{Redis, Reply};

use super::{Servers, calm, options};
use crate::hazards::{Hazard, Need};
use crate::rng::Rng;
use crate::run::{Outcome, Run};
use crate::system;

pub(crate) const HAZARD: Hazard = Hazard {
    name: "redis-clear",
    looked_for: "foreign keys touched, objects deleted unasked",
    small: 60,
    full: 1_000,
    needs: &[Need::Redis],
    run,
};

/// What our names begin with, in turn; patterns in them are only letters. Another's may begin with ours.
const PREFIXES: [&str; 6] = ["run:", "a*", "[x-z]", "q?\\", "run:2:", "naïve^"];

fn run(run: &mut Run) -> Outcome {
    let server = Redis::start(&Servers::new())?;
    let foreign = plant(&server, &mut run.rng(u64::MAX))?;
    for round in 0..run.count {
        let prefix = PREFIXES[(round / 7 % PREFIXES.len() as u64) as usize];
        let redis = calm(&server, prefix)?;
        let keys: Vec<Key> = (0..5).map(|item| redis.put_bytes(format!("object {item}"))).collect::<Result<_, _>>()?;
        let (name, clears) = close_in_some_way(server.address(), prefix, round)?;
        let when = format!("round {round}, {prefix:?}, {name}");
        for entry in &foreign {
            run.check(entry.is_intact(&server)?, || format!("{when}: {:?} has changed or is gone", entry.name));
        }
        let left = redis.get_batch(&keys, &GetOptions::default())?.iter().flatten().count();
        let wanted = if clears { 0 } else { keys.len() };
        run.check(left == wanted, || format!("{when}: {left} of {} objects are left", keys.len()));
        keys.iter().try_for_each(|key| redis.evict(key))?;
        let there: usize = server.command(&["DBSIZE"])?.text().parse()?;
        let planted = foreign.iter().filter(|entry| entry.database == 0).count();
        run.check(there == planted, || format!("{when}: {there} names, {planted} were planted"));
        run.did(1);
    }
    run.note(format_args!("{} foreign keys looked at after each", foreign.len()));
    Ok(())
}

/// How it was closed, and whether that clears.
fn close_in_some_way(address: SocketAddr, prefix: &str, round: u64) -> Outcome<(&'static str, bool)> {
    let options = options(address).prefix(prefix);
    let unasked = CloseOptions::default();
    let clear = CloseOptions::default().clear(true);
    let clearing = options.clone().clear(true);
    Ok(match round % 7 {
        0 => {
            RedisConnector::open(&options)?.close(&unasked)?;
            ("closed", false)
        }
        1 => {
            RedisConnector::open(&options)?.close(&clear)?;
            ("closed and asked to clear", true)
        }
        2 => {
            RedisConnector::open(&clearing)?.close(&unasked)?;
            ("closed, built to clear", true)
        }
        3 => {
            let config = RedisConnector::attach(&clearing)?.config();
            Registry::builtin().open(&config)?.close(&unasked)?;
            ("closed after it was rebuilt from the config of one that clears", false)
        }
        4 => {
            let multi =
                Registry::builtin().connect(&Config::parse(&as_proxystore(address.port(), prefix), Format::Json)?)?;
            for (_, checked) in multi.check_each() {
                checked?;
            }
            multi.close(&unasked)?;
            ("closed, with clear = true in the config", false)
        }
        5 => {
            let parent = RedisConnector::open(&clearing)?;
            let child = system::fork(60, || u8::from(parent.close(&CloseOptions::default()).is_err()))?;
            if child.wait()? != system::Ended::Code(0) {
                return Err("closing in a forked child failed".into());
            }
            parent.close(&CloseOptions::default().clear(false))?;
            ("closed in a forked child of one that clears", false)
        }
        _ => {
            let opener: Arc<dyn Opener> = Arc::new(options);
            let multi = MultiConnector::builder().lazy("redis", opener, Policy::any()).build()?;
            multi.close(&clear)?;
            ("a multi-connector closed and asked to clear", true)
        }
    })
}

/// As ProxyStore writes connectors that clear.
fn as_proxystore(port: u16, prefix: &str) -> String {
    let class = "crossdock.connectors.redis.RedisConnector";
    format!(
        r#"{{"a": ["{class}", {{"hostname": "127.0.0.1", "port": {port}, "prefix": {prefix:?}, "clear": true}}, {{}}]}}"#
    )
}

/// Something of other people.
struct Foreign {
    database: u32,
    name: String,
    dump: Reply,
}

impl Foreign {
    fn is_intact(&self, server: &Redis) -> Outcome<bool> {
        Ok(dump(server, self.database, &self.name)? == self.dump)
    }
}

/// What is kept under a name of a database; names may be any bytes, here in the notation of Lua.
fn dump(server: &Redis, database: u32, name: &str) -> Outcome<Reply> {
    let script = format!("redis.call('SELECT', {database}) return redis.call('DUMP', {name})");
    Ok(server.command(&["EVAL", &script, "0"])?)
}

/// Plants what is nearly ours, in every database that is not.
fn plant(server: &Redis, rng: &mut Rng) -> Outcome<Vec<Foreign>> {
    let mut foreign = Vec::new();
    let mut add = |database: u32, name: &str, command: &str| -> Outcome {
        let (before, after) = command.split_once('@').unwrap_or((command, ""));
        let script = format!("redis.call('SELECT', {database}) return redis.call({before}{name}{after})");
        if let Reply::Error(why) = server.command(&["EVAL", &script, "0"])? {
            return Err(format!("{script}: {why}").into());
        }
        foreign.push(Foreign { database, name: name.to_owned(), dump: dump(server, database, name)? });
        Ok(())
    };
    const STRING: &str = "'SET', @, 'foreign'";
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\"));
    for prefix in PREFIXES {
        let uuid = rng.uuid();
        for name in [
            format!("{prefix}{}", uuid.to_uppercase()),
            format!("{prefix}{}", uuid.replace('-', "")),
            format!("{prefix}{{{uuid}}}"),
            format!("{prefix}{uuid}x"),
            format!("{prefix} {uuid}"),
            format!("{prefix}{}", uuid.replace('-', "_")),
            format!("{prefix}other:{uuid}"),
            format!("x{prefix}{uuid}"),
            prefix.to_owned(),
        ] {
            add(0, &quoted(&name), STRING)?;
        }
        add(1, &quoted(&format!("{prefix}{uuid}")), STRING)?;
        for other in [
            "'HSET', @, 'a', 'b'",
            "'RPUSH', @, 'a'",
            "'SADD', @, 'a'",
            "'ZADD', @, 1, 'a'",
            "'XADD', @, '1-1', 'a', 'b'",
        ] {
            add(0, &quoted(&format!("{prefix}{}", rng.uuid())), other)?;
        }
    }
    // What the patterns would match if they were some.
    for beginning in ["abc", "x", "y", "qq\\", "q?", "nav^", ""] {
        add(0, &quoted(&format!("{beginning}{}", rng.uuid())), STRING)?;
    }
    for name in ["'\\255\\254\\0'".to_owned(), format!("'run:\\255{}'", &rng.uuid()[1..]), "''".to_owned()] {
        add(0, &name, STRING)?;
    }
    Ok(foreign)
}
