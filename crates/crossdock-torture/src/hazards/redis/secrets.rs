//! What references stand for never shows, whatever a server answers, and whichever way the connection fails.

use std::fs;
use std::path::Path;

use crossdock::Registry;
use crossdock_servers::{ClusterOptions, Redis, RedisCluster, Tls};

use super::Servers;
use crate::hazards::secrets::{CANARIES, canary, everything_said, variable};
use crate::hazards::{Hazard, Need};
use crate::rng::Rng;
use crate::run::{Outcome, Run};
use crate::system::FullPort;

pub(crate) const HAZARD: Hazard = Hazard {
    name: "redis-secrets",
    looked_for: "values of references in any text",
    small: 200,
    full: 10_000,
    needs: &[Need::Redis, Need::Openssl],
    run,
};

/// Servers that take the first canary for a password, or refuse it in one way or the other.
struct World {
    servers: Vec<Redis>,
    tls: Redis,
    cluster: RedisCluster,
    full: FullPort,
    base: String,
    ca: String,
}

fn run(run: &mut Run) -> Outcome {
    let mut secrets: Vec<String> = (0..2 * CANARIES).map(|index| canary(run.seed, index)).collect();
    for index in CANARIES..2 * CANARIES {
        fs::write(run.path(format!("secret-{index}")), &secrets[index as usize])?;
    }
    // An address can be a secret, too; this one is of this host.
    let mut rng = run.rng(u64::MAX);
    let host = format!("127.{}.{}.{}", 100 + rng.below(150), 100 + rng.below(150), 100 + rng.below(150));
    fs::write(run.path("host"), &host)?;
    let world = build(&run.path(""), &secrets[0], &host)?;
    secrets.push(host);
    let registry = Registry::builtin();
    let (mut texts, mut put) = (0, 0);
    for index in 0..run.count {
        let mut rng = run.rng(index);
        let source = some_config(&mut rng, &world);
        run.about_to(&source)?;
        for (place, text) in everything_said(&registry, &source, &mut rng) {
            texts += 1;
            put += u64::from(place == "a key");
            let told = secrets.iter().any(|secret| text.contains(&**secret));
            run.check(!told, || format!("config {index}, {place}: {text:.400}\n{source}"));
        }
        run.did(1);
    }
    run.note(format_args!("{texts} texts looked through, {put} of them keys of puts that succeeded"));
    Ok(())
}

fn build(base: &Path, password: &str, host: &str) -> Outcome<World> {
    let listens = format!("127.0.0.1 {host}");
    let plain = || Servers::new().set("bind", &listens);
    let servers = vec![
        Redis::start(&plain().password(password))?,
        Redis::start(&plain().password("another"))?,
        Redis::start(&plain())?,
        // What a server does not know, it repeats.
        Redis::start(&plain().set("rename-command", "AUTH \"\""))?,
        Redis::start(&plain().set("rename-command", "SET \"\""))?,
        Redis::start(&plain().max_memory(1, "noeviction"))?,
        Redis::start(&plain())?,
    ];
    servers.last().ok_or("no server")?.kill()?;
    let tls = Redis::start(&plain().tls(Tls::Only).password(password))?;
    let ca = tls.certificates().ok_or("it has certificates")?.ca().to_string_lossy().into_owned();
    // Its nodes leave it to the client by which name he knows them.
    let nodes = plain().set("cluster-preferred-endpoint-type", "unknown-endpoint").max_memory(1, "noeviction");
    let cluster = RedisCluster::start(&ClusterOptions::new().masters(1).nodes(nodes))?;
    for (index, server) in servers.iter().chain([&tls]).enumerate() {
        let scheme = if index < servers.len() { "redis" } else { "rediss" };
        let url = format!("{scheme}://:{password}@{host}:{}/0", server.address().port());
        fs::write(base.join(format!("url-{index}")), url)?;
    }
    let base = base.to_string_lossy().trim_end_matches('/').to_owned();
    Ok(World { servers, tls, cluster, full: FullPort::new()?, base, ca })
}

/// A reference to a canary, by its variable or its file.
fn reference(rng: &mut Rng, base: &str) -> String {
    let index = rng.next() % CANARIES;
    if rng.one_in(2) {
        format!("${{env:{}}}", variable(index))
    } else {
        format!("${{file:{base}/secret-{}}}", CANARIES + index)
    }
}

fn some_config(rng: &mut Rng, world: &World) -> String {
    let mut text = format!("[connectors.r]\ntype = \"redis\"\n{}", some_place(rng, world));
    let base = &world.base;
    if rng.one_in(3) {
        text.push_str(&format!("prefix = '{}:'\n", reference(rng, base)));
    }
    if rng.one_in(4) {
        text.push_str(&format!("username = '{}'\n", reference(rng, base)));
    }
    text.push_str(&format!("deadline = \"200ms\"\nretries = {}\n", rng.below(10) / 9));
    if rng.one_in(6) {
        damage(&mut text, rng);
    }
    text
}

/// Where the server is, and what is shown to it.
fn some_place(rng: &mut Rng, world: &World) -> String {
    let base = &world.base;
    let any = |rng: &mut Rng| rng.pick(&world.servers).address().port();
    let host = format!("${{file:{base}/host}}");
    let host = if rng.one_in(2) { host } else { "127.0.0.1".to_owned() };
    let first = format!("${{env:{}}}", variable(0));
    let secret = if rng.one_in(2) { first.clone() } else { reference(rng, base) };
    match rng.below(15) {
        0..=2 => format!("hostname = '{host}'\nport = {}\npassword = '{secret}'\n", any(rng)),
        3 => format!("url = 'redis://:{secret}@{host}:{}/0'\n", any(rng)),
        4 => format!("url = 'redis://{}:{secret}@{host}:{}/0'\n", reference(rng, base), any(rng)),
        5 | 6 => format!("url = '${{file:{base}/url-{}}}'\n", rng.below(world.servers.len() + 1)),
        7 => format!("url = '{secret}'\n"),
        8 => format!("url = '{secret}://{host}:{}'\n", any(rng)),
        9 => format!("unix_socket = '{base}/{}{secret}/socket'\n", "long".repeat(rng.below(40))),
        10 => {
            // The certificate is made out to 127.0.0.1 alone.
            let port = world.tls.address().port();
            format!("hostname = '{host}'\nport = {port}\npassword = '{first}'\ntls_ca_file = '{}'\n", world.ca)
        }
        11 => {
            let ca =
                rng.pick(&[format!("{base}/secret-{CANARIES}"), format!("{base}/{secret}"), secret.clone()]).clone();
            let port = if rng.one_in(2) { world.tls.address().port() } else { any(rng) };
            format!("url = 'rediss://:{secret}@{host}:{port}'\ntls_ca_file = '{ca}'\n")
        }
        12 => {
            let key = format!("tls_cert_file = '{}'\ntls_key_file = '{base}/secret-{CANARIES}'\n", world.ca);
            format!("hostname = '{host}'\nport = {}\ntls_ca_file = '{}'\n{key}", world.tls.address().port(), world.ca)
        }
        13 => {
            let port = any(rng);
            format!("sentinels = ['127.0.0.1:{port}']\nsentinel_service = 'x'\nsentinel_password = '{secret}'\n")
        }
        _ if rng.one_in(5) => {
            format!("hostname = '127.0.0.1'\nport = {}\npassword = '{secret}'\n", world.full.address().port())
        }
        _ => {
            let port = world.cluster.nodes()[0].address().port();
            format!("hostname = '{host}'\nport = {port}\ncluster = true\n")
        }
    }
}

/// Within a reference: damaged elsewhere, a config could name hosts that are not this one.
fn damage(text: &mut String, rng: &mut Rng) {
    let starts: Vec<usize> = text.match_indices("${").map(|(at, _)| at).collect();
    if starts.is_empty() {
        return;
    }
    let at = *rng.pick(&starts) + rng.below(12);
    text.insert_str(at.min(text.len()), rng.word(&["$", "{", "}", ":", "x", "\\"]));
}
