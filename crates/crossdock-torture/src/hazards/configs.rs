//! Configs from strangers, and damaged ones: each is read or refused with a message, and reading makes no file and no
//! connection.
//!
//! The whole hazard runs where making a file, a link, a directory or a socket kills the process.

use std::time::{Duration, Instant};

use crossdock::config::{Config, Format};
use crossdock::{ErrorKind, Flavor, Hostname, Registry};

use super::Hazard;
use crate::rng::Rng;
use crate::run::{Outcome, Run};
use crate::seccomp;
use crate::system::{self, Ended};

pub(super) const HAZARD: Hazard = Hazard {
    name: "configs",
    looked_for: "panics, unclear refusals, files or sockets made, over 2 s",
    small: 5_000,
    full: 100_000,
    needs: &[],
    run,
};

/// The slowest that reading a config of a few hundred kilobytes may be: only against configs that blow up.
const LIMIT: Duration = Duration::from_secs(2);

const VALID: &[&str] = &[
    r#"[connectors.fast]
type = "file"
dir = "/nonexistent/my-run"
durability = "host"
policy = { max_size_bytes = "64 MiB", host_pattern = "nid\\d+", priority = 10 }

[connectors.shared]
type = "local"
max_total_bytes = 1_000_000
policy = { max_size_bytes = "1 MB", subset_tags = ["a", "b"], superset_tags = ["c"] }

[connectors.bulk]
type = "file"
dir = "${env:HOME}/objects"
policy = { min_size_bytes = 1_000_001, fallback = true, cooldown = "500 ms", host_pattern = ["a.*", "b+"] }
"#,
    r#"[connectors.cache]
type = "redis"
url = "rediss://user:${env:HOME}@cache.example:6380/2"
prefix = "run-${env:USER}:"
ttl = "12h"
deadline = "500ms"
retries = 5
tls_ca_file = "/nonexistent/ca.pem"
policy = { max_size_bytes = "1 MB", fallback = true }

[connectors.cluster]
type = "redis"
hostname = "10.0.0.1"
port = 7000
cluster = true
durability = "host"
integrity = "size"
write_once = false

[connectors.primary]
type = "redis"
sentinels = ["a.example:26379", "[::1]:26379"]
sentinel_service = "mymaster"
sentinel_password = "${file:/nonexistent/password}"
username = "me"
password = "${env:HOME}"

[connectors.near]
type = "redis"
unix_socket = "/nonexistent/redis.sock"
database = 3
"#,
    r#"{"connectors": {"outer": {"type": "multi", "connectors": {"inner": {"type": "local"}},
  "policy": {"priority": -3}}, "disk": {"type": "file", "dir": "/nonexistent/objects", "integrity": "size",
  "allow_foreign_owner": true}}}
"#,
    r#"{"small": ["proxystore.connectors.local.LocalConnector", {"include_data_in_config": false},
  {"priority": 1, "host_pattern": null, "min_size_bytes": 0, "max_size_bytes": 9223372036854775807,
   "subset_tags": [], "superset_tags": []}],
 "rest": ["proxystore.connectors.file.FileConnector", {"store_dir": "/nonexistent/store", "clear": true, "buffering": -1}, {}],
 "more": ["proxystore.connectors.multi.MultiConnector", {"x": ["crossdock.connectors.local.LocalConnector", {}, {}]},
  {"subset_tags": ["checkpoint"]}],
 "cache": ["proxystore.connectors.redis.RedisConnector", {"hostname": "cache.example", "port": 6379, "clear": false}, {}],
 "alien": ["my.package.Connector", {"anything": [1, 2.5, {"deep": null}]}, {"host_pattern": ["a", "b"]}]}
"#,
];

/// What is inserted or put in the place of something else.
const TOKENS: &[&str] = &[
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "]]",
    ",",
    ":",
    "=",
    ".",
    "#",
    "\n",
    "\0",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-1",
    "0x7fffffffffffffff",
    "1e999",
    "-0.0",
    "nan",
    "inf",
    "18446744073709551616",
    "999999999999 PB",
    "1979-05-27",
    "${env:",
    "${file:/etc/passwd}",
    "${env:HOME}",
    "$${",
    "type",
    "policy",
    "connectors",
    "dir",
    "host_pattern",
    "(a+)+$",
    "(?P<x>",
    "\\\\",
    "ü",
    "\u{feff}",
    "\u{202e}",
    "\"\"\"",
    "multi",
    "file",
    "local",
    "connectors.a.connectors.b",
    "redis",
    "redis://",
    "redis://:${env:HOME}@h",
    "rediss://[::1]:6379/0?db=1",
    "unix:///",
    "@",
    "%",
    "\u{7f}",
];

fn run(run: &mut Run) -> Outcome {
    let registry = Registry::builtin();
    run.about_to("the valid ones")?;
    for text in VALID {
        let config = Config::from_text(text)?;
        registry.connect_as(&config, Hostname::Fixed("nid1".to_owned()))?;
    }
    seccomp::without_files_and_sockets()?;
    let (mut accepted, mut slowest) = (0_u64, Duration::ZERO);
    for index in 0..run.count {
        let mut rng = run.rng(index);
        let text = some_config(&mut rng, index);
        let shown: String = text.chars().take(200).collect();
        run.about_to(&format!("config {index}, {} bytes: {shown}", text.len()))?;
        if crafted(index).is_some() {
            apart(run, &registry, &text, &format!("config {index}, {} bytes: {shown:?}", text.len()))?;
            run.did(1);
            continue;
        }
        let begin = Instant::now();
        let outcome = run.guarded(|| format!("config {index}: {shown:?}"), || load(&registry, &text));
        let time = begin.elapsed();
        slowest = slowest.max(time);
        run.check(time < LIMIT, || format!("config {index}, {} bytes, took {time:?}: {shown:?}", text.len()));
        match outcome {
            Some(Ok(())) => accepted += 1,
            Some(Err(Some(what))) => run.found(format!("config {index}: {what} ({shown:?})")),
            Some(Err(None)) | None => {}
        }
        run.did(1);
    }
    run.note(format_args!("{accepted} were still valid; the slowest took {:.1} ms", slowest.as_secs_f64() * 1e3));
    Ok(())
}

/// In a process of its own, as these may overflow the stack or never end.
fn apart(run: &mut Run, registry: &Registry, text: &str, what: &str) -> Outcome {
    let work = || {
        let begin = Instant::now();
        match load(registry, text) {
            _ if begin.elapsed() > LIMIT => 3,
            Ok(()) | Err(None) => 0,
            Err(Some(why)) => {
                eprintln!("  {why}");
                2
            }
        }
    };
    match system::fork(5, work)?.wait()? {
        Ended::Code(0) => {}
        Ended::Code(2) => run.found(what),
        Ended::Code(3) | Ended::Signal(libc::SIGALRM) => run.found(format!("over {LIMIT:?}: {what}")),
        ended => run.found(format!("{ended:?}: {what}")),
    }
    Ok(())
}

/// `Err(None)` is a refusal as it should be.
fn load(registry: &Registry, text: &str) -> Result<(), Option<String>> {
    let refused = |error: crossdock::Error| {
        let clear = error.kind() == ErrorKind::InvalidConfig && error.message().chars().any(char::is_alphabetic);
        (!clear).then(|| format!("refused with {:.500}", format!("{error:?}")))
    };
    let config = Config::from_text(text).map_err(refused)?;
    let multi = registry.connect_as(&config, Hostname::Fixed("nid1".to_owned())).map_err(refused)?;
    drop(format!("{multi:?}"));
    let canonical = registry.canonical(&config).map_err(refused)?;
    for flavor in [Flavor::Crossdock, Flavor::Proxystore] {
        let written = registry.to_proxystore_json(&config, flavor).map_err(refused)?;
        again(&written.text)?;
    }
    // TOML cannot hold everything and says so.
    if let Ok(written) = canonical.to_text(Format::Toml) {
        again(&written)?;
    }
    let written = canonical.to_text(Format::Json).map_err(refused)?;
    let reread = again(&written)?;
    // Infinities have no form in JSON.
    if reread != canonical && !written.contains("null") {
        return Err(Some("written and read again it is another".to_owned()));
    }
    Ok(())
}

fn again(text: &str) -> Result<Config, Option<String>> {
    Config::from_text(text).map_err(|error| Some(format!("what was written is refused: {error}")))
}

fn some_config(rng: &mut Rng, index: u64) -> String {
    if let Some(crafted) = crafted(index) {
        return crafted;
    }
    let mut bytes = rng.pick(VALID).as_bytes().to_vec();
    // Half of them stay well formed, so that what reads values is reached.
    let well_formed = rng.one_in(2);
    for _ in 0..=rng.below(4) {
        if well_formed {
            change_value(&mut bytes, rng);
        } else {
            mutate(&mut bytes, rng);
        }
    }
    // Configs are text: what is no UTF-8 is refused before it is a config.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What stands in the place of a number, or of the text in quotes.
const NUMBERS: &[&str] = &["0", "-1", "1.5", "18446744073709551615", "9223372036854775808", "true", "[]", "{}", "\"\""];
const TEXTS: &[&str] = &[
    "",
    "0",
    "1 kB",
    "-5 MB",
    "1.0000001 GiB",
    "99999999 PB",
    "1e3",
    "8 EiB",
    "local",
    "multi",
    "file",
    "host",
    "process",
    "backend",
    "type",
    "policy",
    "connectors",
    "dir",
    "store_dir",
    "priority",
    "fallback",
    "max_failures",
    "cooldown",
    "(a+)+$",
    "(",
    "[",
    "a{9999}",
    "${env:HOME}",
    "${oops",
    "$${",
    "a.b.C",
    "proxystore.connectors.file.FileConnector",
    "proxystore.connectors.redis.RedisConnector",
    "redis",
    "redis://h",
    "redis://u:p@h:1/2",
    "redis://:${env:HOME}@h",
    "rediss://${file:/nonexistent}:99999",
    "unix://${env:HOME}",
    "${env:HOME}://h",
    "[::1]:26379",
    "host:0",
    "500ms",
    "-1s",
    "1e400",
    "999999999999h",
    "unix_socket",
    "nodes",
    "sentinels",
    "password",
    "\u{202e}",
    "nid1",
];

/// Changes what stands between two quotes, or a number.
fn change_value(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let (is_start, new): (fn(&u8) -> bool, &str) =
        if rng.one_in(4) { (u8::is_ascii_digit, rng.word(NUMBERS)) } else { (|byte| *byte == b'"', rng.word(TEXTS)) };
    let starts: Vec<usize> = (0..bytes.len()).filter(|at| is_start(&bytes[*at])).collect();
    let quoted = starts.first().is_some_and(|at| bytes[*at] == b'"');
    // Every other quote opens.
    let index = rng.below(starts.len()) & if quoted { !1 } else { !0 };
    let Some(start) = starts.get(index) else { return };
    let from = start + usize::from(quoted);
    let is_inside = |byte: &u8| if quoted { *byte != b'"' } else { byte.is_ascii_digit() || *byte == b'_' };
    let length = bytes[from..].iter().take_while(|byte| is_inside(byte)).count();
    drop(bytes.splice(from..from + length, new.bytes()));
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(bytes.len().max(1)).min(bytes.len());
    match rng.below(9) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
        1 if !bytes.is_empty() => drop(bytes.remove(at)),
        2 => bytes.insert(at, rng.next() as u8),
        3 => bytes.truncate(at),
        4 => {
            let end = (at + rng.below(60)).min(bytes.len());
            drop(bytes.drain(at..end));
        }
        5 => {
            let end = (at + rng.below(200)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            let to = rng.below(bytes.len() + 1);
            drop(bytes.splice(to..to, piece));
        }
        6 => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let mut lines: Vec<&str> = text.split('\n').collect();
            let (from, to) = (rng.below(lines.len()), rng.below(lines.len()));
            lines.insert(to, lines[from]);
            *bytes = lines.join("\n").into_bytes();
        }
        _ => {
            let token = rng.pick(TOKENS).repeat(if rng.one_in(10) { 1 + rng.below(2_000) } else { 1 });
            let end = if rng.one_in(2) { (at + rng.below(12)).min(bytes.len()) } else { at };
            drop(bytes.splice(at..end, token.into_bytes()));
        }
    }
}

/// Deep, wide and long ones, the first to be tried.
fn crafted(index: u64) -> Option<String> {
    let nested = |depth: usize| {
        let open = r#"{"connectors":{"a":{"type":"multi","connectors":{"a":"#;
        // Each multi-connector holds one more.
        let level = r#"{"type":"multi","connectors":{"a":"#;
        format!("{open}{}{{\"type\":\"local\"}}{}", level.repeat(depth), "}}".repeat(depth + 2))
    };
    let in_lists = |depth: usize| {
        let level = r#"{"a":["crossdock.connectors.multi.MultiConnector","#;
        format!("{}{{}}{}", level.repeat(depth), ",{}]}".repeat(depth))
    };
    let in_headers = |depth: usize| {
        let mut text = String::new();
        for level in 1..=depth {
            let header = vec!["connectors.a"; level].join(".");
            text.push_str(&format!("[{header}]\ntype = \"{}\"\n", if level == depth { "local" } else { "multi" }));
        }
        text
    };
    Some(match index {
        0 => nested(5),
        1 => nested(12),
        2 => nested(25),
        3 => nested(2_000),
        4 => in_lists(10),
        5 => in_lists(25),
        6 => in_lists(5_000),
        7 => in_headers(10),
        8 => in_headers(25),
        9 => in_headers(200),
        10 => "[".repeat(100_000),
        11 => format!("a = {}", "[".repeat(100_000)),
        12 => format!("{{\"a\":{}", "{\"a\":".repeat(100_000)),
        13 => format!("a = {}", "{a=".repeat(100_000)),
        14 => format!("{} = 1", vec!["a"; 50_000].join(".")),
        15 => (0..3_000).map(|n| format!("[connectors.c{n}]\ntype = \"local\"\n")).collect(),
        16 => format!("[connectors.a]\ntype = \"{}\"", "x".repeat(1_000_000)),
        17 => format!("[connectors.{}]\ntype = \"nothing\"", "x".repeat(1_000_000)),
        18 => format!("[connectors.a]\ntype = \"local\"\n{} = 1", "y".repeat(1_000_000)),
        19 => format!("[connectors.a]\ntype = \"local\"\nmax_total_bytes = {}", "9".repeat(100_000)),
        20 => format!("[connectors.a]\ntype = \"local\"\npolicy = {{host_pattern = \"{}\"}}", "(".repeat(50_000)),
        21 => format!("[connectors.a]\ntype = \"local\"\npolicy = {{host_pattern = \"{}\"}}", "a{9}".repeat(5_000)),
        22 => format!("[connectors.a]\ntype = \"file\"\ndir = \"{}\"", "${env:A}".repeat(100_000)),
        23 => format!("[connectors.a]\ntype = \"file\"\ndir = \"{}\"", "$".repeat(200_000)),
        24 => format!("{{\"a\": [\"{}\", {{}}, {{}}]}}", "a.".repeat(100_000)),
        25 => String::new(),
        26 => "\n".repeat(1_000_000),
        27 => (0..20_000).map(|n| format!("k{n} = 1\n")).collect(),
        28 => format!("[connectors.a]\ntype = \"redis\"\nurl = \"redis://{}\"", "a@:[".repeat(100_000)),
        29 => format!("[connectors.a]\ntype = \"redis\"\nurl = \"redis://:{}@h\"", "${env:A}".repeat(50_000)),
        30 => format!("[connectors.a]\ntype = \"redis\"\nsentinels = [{}]", "\"a:1\",".repeat(50_000)),
        31 => format!("[connectors.a]\ntype = \"redis\"\nhostname = \"h\"\nprefix = \"{}\"", "%41".repeat(100_000)),
        32 => format!("{{{}\"a\": 1}}", (0..20_000).map(|n| format!("\"k{n}\": [],")).collect::<String>()),
        _ => return None,
    })
}
