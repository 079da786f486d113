//! The program for tests that are not in Rust.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossdock_servers::{Program, trial};
use libtest_mimic::{Arguments, Failed};
use serde_json::{Value, json};

type Outcome = Result<(), Failed>;

const REDIS: &[Program] = &[Program::Redis];
const TLS: &[Program] = &[Program::Redis, Program::Openssl];
const S3S: &[Program] = &[Program::S3];

fn main() {
    let trials = vec![
        trial("redis obeys", REDIS, redis_obeys),
        trial("redis with everything", TLS, redis_with_everything),
        trial("a proxy obeys", REDIS, a_proxy_obeys),
        trial("a cluster obeys", REDIS, a_cluster_obeys),
        trial("a sentinel obeys", REDIS, a_sentinel_obeys),
        trial("s3 obeys", S3S, s3_obeys),
        trial("its servers die with it", REDIS, its_servers_die_with_it),
        trial("what is not installed", &[], what_is_not_installed),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    said: Value,
}

impl Running {
    fn start(arguments: &[&str]) -> Result<Self, Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossdock-servers"));
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut running = Self { stdin: child.stdin.take(), child, lines, said: Value::Null };
        running.said = running.line()?;
        Ok(running)
    }

    fn line(&mut self) -> Result<Value, Failed> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    fn obey(&mut self, command: &str) -> Result<Value, Failed> {
        writeln!(self.stdin.as_mut().ok_or("no pipe")?, "{command}")?;
        self.line()
    }

    /// Closes its input and waits for its end.
    fn end(mut self) -> Outcome {
        self.stdin = None;
        assert!(self.child.wait()?.success());
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn connect(said: &Value) -> std::io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", u16::try_from(said["port"].as_u64().unwrap_or(0)).unwrap_or(0)))
}

/// What the server answers to one line, as far as it goes.
fn inline(said: &Value, line: &str) -> Result<String, Failed> {
    let mut stream = connect(said)?;
    stream.write_all(format!("{line}\r\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(&mut stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

fn is_alive(pid: &Value) -> bool {
    // A zombie of another owner may be left for a moment.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn redis_obeys() -> Outcome {
    let mut redis = Running::start(&["redis"])?;
    let said = redis.said.clone();
    assert_eq!((&said["kind"], &said["host"], &said["tls"]), (&json!("redis"), &json!("127.0.0.1"), &Value::Null));
    assert_eq!(said["url"], format!("redis://127.0.0.1:{}/0", said["port"]));
    assert!(said["socket"].as_str().is_some_and(|socket| Path::new(socket).exists()));
    assert_eq!(redis.obey("command SET name value")?, json!({"reply": "OK", "ok": true}));
    assert_eq!(inline(&said, "STRLEN name")?, ":5");
    assert_eq!(redis.obey("kill")?, json!({"pid": said["pid"], "ok": true}));
    assert!(connect(&said).is_err() && !is_alive(&said["pid"]));
    let again = redis.obey("restart")?;
    assert!(again["pid"] != said["pid"] && again["ok"] == true);
    assert_eq!(inline(&said, "EXISTS name")?, ":0");
    for command in ["stop", "cont", "pid"] {
        assert_eq!(redis.obey(command)?, again);
    }
    let refused = redis.obey("explode now")?;
    assert_eq!(refused["ok"], false);
    assert!(refused["error"].as_str().is_some_and(|why| why.contains("explode now")));
    redis.end()?;
    assert!(!is_alive(&again["pid"]));
    assert!(said["dir"].as_str().is_some_and(|dir| !Path::new(dir).exists()));
    Ok(())
}

fn redis_with_everything() -> Outcome {
    let redis = Running::start(&[
        "redis",
        "--password=s3cret",
        "--user=ann:her:s",
        "--aof=always",
        "--set=maxmemory=3mb",
        "--tls=beside",
        "--client-certificates",
    ])?;
    let said = &redis.said;
    assert_eq!((&said["user"], &said["password"]), (&json!("ann"), &json!("her:s")));
    assert_eq!(inline(said, "PING")?, "-NOAUTH Authentication required.");
    assert_eq!(inline(said, "AUTH s3cret")?, "+OK");
    assert_eq!(said["tls"]["url"], format!("rediss://ann:her%3As@127.0.0.1:{}/0", said["tls"]["port"]));
    for file in ["ca", "client", "client_key"] {
        assert!(said["tls"][file].as_str().is_some_and(|path| Path::new(path).is_file()), "{file}");
    }
    redis.end()
}

fn a_proxy_obeys() -> Outcome {
    let mut redis = Running::start(&["redis", "--proxy"])?;
    let said = redis.said["proxy"].clone();
    assert_eq!(said["url"], format!("redis://127.0.0.1:{}/0", said["port"]));
    assert_eq!(inline(&said, "PING")?, "+PONG");
    assert_eq!(redis.obey("proxy drop 1 SET 1")?["ok"], true);
    assert_eq!((inline(&said, "SET one 1")?, inline(&said, "SET two 2")?), ("+OK".to_owned(), String::new()));
    assert_eq!(inline(&said, "GET two")?, "$1");
    assert_eq!(redis.obey("proxy counts")?["faults"], 1);
    redis.obey("proxy cut")?;
    assert!(connect(&said).is_err());
    redis.obey("proxy mend")?;
    assert_eq!(inline(&said, "PING")?, "+PONG");
    for command in
        ["drop-reset", "drop-silence 2", "cut-request 9 SET", "cut-reply 1", "delay 1", "reset", "silence", "forget"]
    {
        assert_eq!(redis.obey(&format!("proxy {command}"))?["ok"], true, "{command}");
    }
    for command in ["drop much", "explode", "cut-request", "delay -1"] {
        assert_eq!(redis.obey(&format!("proxy {command}"))?["ok"], false, "{command}");
    }
    redis.end()
}

fn a_cluster_obeys() -> Outcome {
    let mut cluster = Running::start(&["cluster", "--password", "s3cret"])?;
    let nodes = cluster.said["nodes"].clone();
    assert_eq!(cluster.said["urls"].as_array().map(Vec::len), Some(3));
    assert_eq!(inline(&nodes[0], "AUTH s3cret")?, "+OK");
    assert_eq!(cluster.obey("command 1 DBSIZE")?["reply"], 0);
    assert_eq!(cluster.obey("kill 2")?["pid"], nodes[2]["pid"]);
    assert!(connect(&nodes[2]).is_err());
    assert_eq!(cluster.obey("kill 3")?["ok"], false);
    cluster.obey("restart 2")?;
    assert_eq!(cluster.obey("settle")?, json!({"ok": true}));
    cluster.end()
}

fn a_sentinel_obeys() -> Outcome {
    let mut sentinel = Running::start(&["sentinel"])?;
    let said = sentinel.said.clone();
    assert_eq!((&said["service"], &said["primary"]), (&json!("crossdock"), &said["nodes"][0]["url"]));
    assert_eq!(sentinel.obey("primary")?["primary"]["url"], said["primary"]);
    assert_eq!(sentinel.obey("pid 2")?["pid"], said["sentinels"][0]["pid"]);
    assert_eq!(sentinel.obey("promote")?["primary"]["url"], said["nodes"][1]["url"]);
    sentinel.end()
}

fn s3_obeys() -> Outcome {
    let mut s3 = Running::start(&["s3", "--bucket", "runs", "--bucket", "others", "--proxy"])?;
    let said = s3.said.clone();
    assert!(
        ["runs", "others"].iter().all(|name| said["buckets"][name].as_str().is_some_and(|dir| Path::new(dir).is_dir()))
    );
    for at in [&said, &said["proxy"]] {
        assert_eq!(at["endpoint"], format!("http://127.0.0.1:{}", at["port"]));
        assert!(inline(at, "GET / HTTP/1.1\r\nHost: localhost\r\n")?.starts_with("HTTP/1.1 403"));
    }
    assert_eq!(s3.obey("kill")?["pid"], said["pid"]);
    assert!(connect(&said).is_err());
    assert_ne!(s3.obey("restart")?["pid"], said["pid"]);
    assert_eq!(s3.obey("command PING")?["ok"], false);
    s3.end()
}

/// Killed, it cannot end them.
fn its_servers_die_with_it() -> Outcome {
    let mut redis = Running::start(&["redis"])?;
    redis.obey("stop")?;
    let pid = redis.said["pid"].clone();
    assert!(is_alive(&pid));
    drop(redis);
    let begin = Instant::now();
    while is_alive(&pid) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the server lives on");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn what_is_not_installed() -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossdock-servers"));
    command.arg("redis").env("CROSSDOCK_REDIS_SERVER", "/not/there").stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut text = String::new();
    child.stderr.take().ok_or("no pipe")?.read_to_string(&mut text)?;
    assert_eq!(child.wait()?.code(), Some(3));
    assert!(text.starts_with("redis-server is not installed: make servers"), "{text}");
    Ok(())
}
