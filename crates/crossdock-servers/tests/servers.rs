//! Each server starts, answers, comes back where it was, and ends with its owner.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crossdock_servers::{
    Aof, Certificates, ClusterOptions, Error, Program, Redis, RedisCluster, RedisOptions, RedisSentinel, Reply, S3,
    S3Options, SentinelOptions, Tls, trial,
};
use libtest_mimic::{Arguments, Failed};

type Outcome = Result<(), Failed>;

const REDIS: &[Program] = &[Program::Redis];
const TLS: &[Program] = &[Program::Redis, Program::Openssl];
const S3S: &[Program] = &[Program::S3];

fn main() {
    let trials = vec![
        trial("redis answers and can be looked into", REDIS, redis_answers),
        trial("redis comes back at the same port", REDIS, redis_comes_back),
        trial("redis is stopped and goes on", REDIS, redis_is_stopped),
        trial("redis wants passwords", REDIS, redis_wants_passwords),
        trial("redis has a limit of memory", REDIS, redis_has_a_limit_of_memory),
        trial("redis keeps what it logs", REDIS, redis_keeps_what_it_logs),
        trial("redis says why it does not start", REDIS, redis_says_why_it_does_not_start),
        trial("nothing is left of a dropped server", REDIS, nothing_is_left),
        trial("a server outlives the thread that started it", REDIS, a_server_outlives_its_thread),
        trial("redis speaks TLS", TLS, redis_speaks_tls),
        trial("a cluster serves all slots", REDIS, a_cluster_serves_all_slots),
        trial("sentinels promote the replica", REDIS, sentinels_promote_the_replica),
        trial("s3 answers and comes back", S3S, s3_answers),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn ok() -> Reply {
    Reply::Bytes(b"OK".to_vec())
}

fn redis_answers() -> Outcome {
    let redis = Redis::start(&RedisOptions::new())?;
    assert_eq!(redis.command(&["SET", "name", "a value"])?, ok());
    assert_eq!(redis.command(&["GET", "name"])?.text(), "a value");
    assert_eq!(redis.command(&["GET", "another"])?, Reply::Nil);
    assert_eq!(redis.command(&["EXISTS", "name"])?, Reply::Integer(1));
    assert_eq!(
        redis.command(&["CONFIG", "GET", "appendonly"])?.field("appendonly").map(Reply::text),
        Some("no".into())
    );
    assert!(matches!(redis.command(&["INCR", "name"])?, Reply::Error(why) if why.contains("not an integer")));
    assert_eq!(redis.url(), format!("redis://{}/0", redis.address()));
    assert_eq!(inline(&redis, "GET name")?, "$7\r\na value\r\n");
    Ok(())
}

/// One line to the server's TCP port, and what it answers.
fn inline(redis: &Redis, line: &str) -> Result<String, Failed> {
    let mut stream = TcpStream::connect(redis.address())?;
    stream.write_all(format!("{line}\r\n").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn redis_comes_back() -> Outcome {
    let redis = Redis::start(&RedisOptions::new())?;
    redis.command(&["SET", "name", "value"])?;
    let (address, pid) = (redis.address(), redis.pid());
    redis.kill()?;
    redis.kill()?;
    assert!(TcpStream::connect(address).is_err(), "nobody answers for it");
    assert!(redis.stop().is_err_and(|error| error.to_string().contains("not running")));
    redis.restart()?;
    assert_eq!((redis.address(), inline(&redis, "GET name")?), (address, "$-1\r\n".to_owned()));
    assert_ne!(redis.pid(), pid);
    redis.terminate()?;
    redis.terminate()?;
    assert!(TcpStream::connect(address).is_err());
    redis.restart()?;
    redis.restart()?;
    Ok(())
}

fn redis_is_stopped() -> Outcome {
    let redis = Redis::start(&RedisOptions::new())?;
    redis.stop()?;
    let mut stream = TcpStream::connect(redis.address())?;
    stream.write_all(b"PING\r\n")?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut answer = [0; 7];
    assert!(stream.read(&mut answer).is_err(), "no answer while it is stopped");
    redis.cont()?;
    stream.set_read_timeout(None)?;
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"+PONG\r\n");
    redis.stop()?;
    redis.restart()?;
    Ok(())
}

fn redis_wants_passwords() -> Outcome {
    let secret = "s3c \"ret\\ é";
    let redis = Redis::start(&RedisOptions::new().password(secret))?;
    assert!(inline(&redis, "GET name")?.starts_with("-NOAUTH"));
    assert_eq!(redis.url(), format!("redis://:s3c%20%22ret%5C%20%C3%A9@{}/0", redis.address()));
    assert_eq!(redis.command(&["SET", "name", "value"])?, ok());
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", redis.pid()))?;
    assert!(!arguments.contains("s3c"), "{arguments}");

    let redis = Redis::start(&RedisOptions::new().user("ann", "of tests"))?;
    assert!(inline(&redis, "GET name")?.starts_with("-NOAUTH"));
    assert_eq!(redis.url(), format!("redis://ann:of%20tests@{}/0", redis.address()));
    assert_eq!(redis.command(&["ACL", "WHOAMI"])?.text(), "ann");
    let both = Redis::start(&RedisOptions::new().user("ann", "hers").password("ours"))?;
    assert!(inline(&both, "AUTH ours")?.starts_with("+OK"));
    assert!(inline(&both, "AUTH ann hers")?.starts_with("+OK"));
    Ok(())
}

fn redis_has_a_limit_of_memory() -> Outcome {
    let redis = Redis::start(&RedisOptions::new().max_memory(3 << 20, "noeviction"))?;
    let value = "x".repeat(1 << 20);
    let refused = (0..4).any(
        |n| matches!(redis.command(&["SET", &n.to_string(), &value]), Ok(Reply::Error(why)) if why.starts_with("OOM")),
    );
    assert!(refused);
    Ok(())
}

fn redis_keeps_what_it_logs() -> Outcome {
    for sync in [Aof::Always, Aof::EverySecond] {
        let redis = Redis::start(&RedisOptions::new().aof(sync).password("secret"))?;
        redis.command(&["SET", "name", "value"])?;
        redis.kill()?;
        redis.restart()?;
        assert_eq!(redis.command(&["GET", "name"])?.text(), "value", "{sync:?}");
    }
    Ok(())
}

fn redis_says_why_it_does_not_start() -> Outcome {
    let Err(error) = Redis::start(&RedisOptions::new().set("maxmemory", "much")) else {
        return Err("it started".into());
    };
    assert!(error.to_string().contains("maxmemory"), "{error}");
    Ok(())
}

/// What `openssl` as a client gets from the server for one line.
fn over_tls(address: SocketAddr, arguments: &[&Path], line: &str) -> Result<String, Failed> {
    let mut openssl = Command::new(Program::Openssl.find()?);
    openssl.args(["s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-verify_ip", "127.0.0.1", "-connect"]);
    openssl.arg(address.to_string()).args(arguments);
    let mut child = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdin = child.stdin.take().ok_or("no pipe")?;
    stdin.write_all(format!("{line}\r\nQUIT\r\n").as_bytes())?;
    // Its input stays open, as it ends with it.
    let mut text = String::new();
    child.stdout.take().ok_or("no pipe")?.read_to_string(&mut text)?;
    child.wait()?;
    Ok(text)
}

fn redis_speaks_tls() -> Outcome {
    let redis = Redis::start(&RedisOptions::new().tls(Tls::Beside))?;
    let address = redis.tls_address().ok_or("no address")?;
    let files = redis.certificates().ok_or("no certificates")?;
    assert_ne!(address, redis.address());
    assert_eq!(
        (redis.url().split(':').next(), redis.tls_url()),
        (Some("redis"), Some(format!("rediss://{address}/0")))
    );
    assert_eq!(over_tls(address, &[Path::new("-CAfile"), &files.ca()], "PING")?, "+PONG\r\n+OK\r\n");
    assert_eq!(inline(&redis, "PING")?, "+PONG\r\n");
    let other = Certificates::make(&redis.dir().join("other"))?;
    assert_eq!(over_tls(address, &[Path::new("-CAfile"), &other.ca()], "PING")?, "");

    let redis = Redis::start(&RedisOptions::new().tls(Tls::Only).client_certificates().password("secret"))?;
    let files = redis.certificates().ok_or("no certificates")?;
    assert_eq!(redis.url(), format!("rediss://:secret@{}/0", redis.address()));
    assert_eq!((redis.tls_url(), redis.tls_address()), (Some(redis.url()), Some(redis.address())));
    let (ca, client, key) = (files.ca(), files.client(), files.client_key());
    let trusting = [Path::new("-CAfile"), &ca, Path::new("-cert"), &client, Path::new("-key"), &key];
    assert_eq!(over_tls(redis.address(), &trusting, "AUTH secret")?, "+OK\r\n+OK\r\n");
    assert_eq!(over_tls(redis.address(), &trusting[..2], "AUTH secret")?, "");
    redis.kill()?;
    redis.restart()?;
    assert_eq!(over_tls(redis.address(), &trusting, "AUTH secret")?, "+OK\r\n+OK\r\n");
    Ok(())
}

fn a_cluster_serves_all_slots() -> Outcome {
    let nodes = RedisOptions::new().password("s3 cret");
    let cluster = RedisCluster::start(&ClusterOptions::new().replicas(1).nodes(nodes))?;
    let roles = |nodes: &[Redis]| nodes.iter().map(role).collect::<Result<Vec<_>, _>>();
    assert_eq!(roles(cluster.masters())?, ["master"; 3]);
    assert_eq!(roles(cluster.replicas())?, ["slave"; 3]);
    assert!(cluster.urls().iter().all(|url| url.starts_with("redis://:s3%20cret@127.0.0.1:")));
    for n in 0..30 {
        let name = format!("name {n}");
        let set = |node: &Redis| node.command(&["SET", &name, "x"]);
        let answers = cluster.nodes().iter().map(set).collect::<Result<Vec<_>, _>>()?;
        assert_eq!(answers.iter().filter(|answer| **answer == ok()).count(), 1, "{answers:?}");
    }
    let node = &cluster.replicas()[1];
    node.kill()?;
    node.restart()?;
    cluster.settle()?;
    Ok(())
}

fn role(node: &Redis) -> Result<String, Error> {
    let Reply::Array(role) = node.command(&["ROLE"])? else { return Ok(String::new()) };
    Ok(role[0].text())
}

fn sentinels_promote_the_replica() -> Outcome {
    let nodes = RedisOptions::new().user("ann", "of tests");
    let sentinel = RedisSentinel::start(&SentinelOptions::new().nodes(nodes).sentinel_password("watch men"))?;
    assert!(inline(&sentinel.sentinels()[0], "SENTINEL MASTERS")?.starts_with("-NOAUTH"));
    let [first, second] = sentinel.nodes() else { return Err("not two nodes".into()) };
    assert_eq!(sentinel.primary()?.address(), first.address());
    assert_eq!((role(first)?, role(second)?), ("master".to_owned(), "slave".to_owned()));
    assert_eq!(sentinel.promote()?.address(), second.address());
    assert_eq!(second.command(&["SET", "name", "value"])?, ok());
    sentinel.rejoin()?;
    assert_eq!(sentinel.primary()?.address(), second.address());
    assert_eq!(role(first)?, "slave");
    Ok(())
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn nothing_is_left() -> Outcome {
    let redis = Redis::start(&RedisOptions::new())?;
    let (pid, dir) = (redis.pid(), redis.dir().to_owned());
    assert!(runs(pid) && dir.exists() && redis.socket().exists());
    redis.stop()?;
    drop(redis);
    assert!(!runs(pid) && !dir.exists());
    Ok(())
}

fn a_server_outlives_its_thread() -> Outcome {
    let started = std::thread::spawn(|| Redis::start(&RedisOptions::new())).join();
    let redis = started.map_err(|_| "the thread panicked")??;
    assert_eq!(redis.command(&["PING"])?.text(), "PONG");
    Ok(())
}

fn s3_answers() -> Outcome {
    let s3 = S3::start(&S3Options::new().bucket("runs").bucket("others"))?;
    assert_eq!(s3.buckets(), ["runs", "others"]);
    assert!(s3.bucket_dir("runs").is_dir());
    for _ in 0..2 {
        let mut stream = TcpStream::connect(s3.address())?;
        stream.write_all(b"GET /runs/none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        assert!(text.contains("403 Forbidden") && text.contains("AccessDenied"), "{text}");
        s3.kill()?;
        s3.restart()?;
    }
    s3.stop()?;
    s3.terminate()?;
    assert!(TcpStream::connect(s3.address()).is_err());
    Ok(())
}
