//! One Redis server.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::place::Place;
use crate::port::Port;
use crate::program::Program;
use crate::resp::{Client, Reply};
use crate::server::{Kind, Server};
use crate::tls::Certificates;
use crate::wait::LIMIT;

/// When the log of writes is synced to the disk; the log itself is written before a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aof {
    /// Once a second (`appendfsync everysec`).
    EverySecond,
    /// Before each reply (`appendfsync always`).
    Always,
}

/// Where a Redis server speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// At its only port.
    Only,
    /// At a second port.
    Beside,
}

/// How a Redis server is to be. Without anything: no password, nothing on the disk, no limit of memory.
#[derive(Clone, Default)]
pub struct RedisOptions {
    password: Option<String>,
    user: Option<(String, String)>,
    tls: Option<Tls>,
    client_certificates: bool,
    aof: Option<Aof>,
    settings: Vec<(String, String)>,
}

impl RedisOptions {
    /// No password, nothing on the disk, no limit of memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// The default user needs this password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// A user who may do everything. Without [`password`](Self::password), the default user may do nothing.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.user = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// With certificates of its own; it needs `openssl`.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// With TLS, clients need a certificate, too.
    pub fn client_certificates(mut self) -> Self {
        self.client_certificates = true;
        self
    }

    /// What was written survives a kill.
    pub fn aof(mut self, sync: Aof) -> Self {
        self.aof = Some(sync);
        self
    }

    /// At most `bytes` of memory; `policy` as Redis calls them, such as `noeviction` or `allkeys-lru`.
    pub fn max_memory(self, bytes: u64, policy: &str) -> Self {
        self.set("maxmemory", &bytes.to_string()).set("maxmemory-policy", policy)
    }

    /// Any line of `redis.conf`; later ones win.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Who logs in, and with what.
    fn login(&self) -> Option<(Option<&str>, &str)> {
        match (&self.user, &self.password) {
            (Some((name, password)), _) => Some((Some(name), password)),
            (None, Some(password)) => Some((None, password)),
            (None, None) => None,
        }
    }

    /// Logs in and sends one command.
    fn ask(&self, socket: &Path, words: &[&str], limit: Duration) -> io::Result<Reply> {
        let mut client = Client::unix(socket, limit)?;
        let login = match self.login() {
            None => Reply::Nil,
            Some((None, password)) => client.call(&["AUTH", password])?,
            Some((Some(name), password)) => client.call(&["AUTH", name, password])?,
        };
        match login {
            Reply::Error(why) => Err(io::Error::other(why)),
            _ => client.call(words),
        }
    }

    /// So that a server logs in at others that are made with the same options.
    pub(crate) fn replicating(self) -> Self {
        let Some((name, password)) = self.login() else { return self };
        let (name, password) = (name.map(quoted), quoted(password));
        let options = self.set("masterauth", &password);
        match name {
            Some(name) => options.set("masteruser", &name),
            None => options,
        }
    }

    /// So that a sentinel logs in at `service`, which was made with the options `nodes`.
    pub(crate) fn watching(self, service: &str, nodes: &Self) -> Self {
        let Some((name, password)) = nodes.login() else { return self };
        let options = self.set("sentinel", &format!("auth-pass {service} {}", quoted(password)));
        match name {
            Some(name) => options.set("sentinel", &format!("auth-user {service} {}", quoted(name))),
            None => options,
        }
    }

    /// So that sentinels log in at each other.
    pub(crate) fn among_sentinels(self) -> Self {
        match self.login().map(|(_, password)| quoted(password)) {
            Some(password) => self.set("sentinel", &format!("sentinel-pass {password}")),
            None => self,
        }
    }

    fn config(&self, place: &Place, ports: &[Port], certificates: Option<&Certificates>) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| text.extend([name, " ", value, "\n"]);
        line("bind", "127.0.0.1");
        line("dir", &quoted_path(place.path()));
        line("unixsocket", &quoted_path(&place.join(SOCKET)));
        line("unixsocketperm", "700");
        line("save", "\"\"");
        let [port, last] = [ports.first(), ports.last()].map(|port| port.map_or(0, Port::number).to_string());
        line("port", if self.tls == Some(Tls::Only) { "0" } else { &port });
        if let Some(certificates) = certificates {
            line("tls-port", &last);
            line("tls-ca-cert-file", &quoted_path(&certificates.ca()));
            line("tls-cert-file", &quoted_path(&certificates.server()));
            line("tls-key-file", &quoted_path(&certificates.server_key()));
            line("tls-auth-clients", if self.client_certificates { "yes" } else { "optional" });
        }
        if let Some(sync) = self.aof {
            line("appendonly", "yes");
            line("appendfsync", if sync == Aof::Always { "always" } else { "everysec" });
        }
        if let Some(password) = &self.password {
            line("requirepass", &quoted(password));
        }
        if let Some((name, password)) = &self.user {
            line("user", &format!("{} on {} ~* &* +@all", quoted(name), quoted(&format!(">{password}"))));
            if self.password.is_none() {
                line("user", "default off");
            }
        }
        for (name, value) in &self.settings {
            line(name, value);
        }
        text
    }
}

const SOCKET: &str = "redis.sock";
const TLS_DIR: &str = "tls";

/// A string as `redis.conf` has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'"' && byte != b'\\' => quoted.push(char::from(byte)),
            _ => drop(write!(quoted, "\\x{byte:02x}")),
        }
    }
    quoted + "\""
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// What a server does with its config.
#[derive(Clone)]
struct Single {
    options: RedisOptions,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Data,
    Cluster,
    Sentinel,
}

impl Kind for Single {
    fn program(&self) -> Program {
        Program::Redis
    }

    fn ports(&self) -> usize {
        1 + usize::from(self.options.tls == Some(Tls::Beside)) + usize::from(self.mode == Mode::Cluster)
    }

    fn prepare(&self, place: &Place, ports: &[Port]) -> Result<Vec<String>> {
        let mut options = self.options.clone();
        let mut ports = ports;
        if self.mode == Mode::Cluster
            && let Some((bus, others)) = ports.split_last()
        {
            options = options.set("cluster-enabled", "yes").set("cluster-port", &bus.number().to_string());
            ports = others;
        }
        let certificates = options.tls.map(|_| Certificates::make(&place.join(TLS_DIR))).transpose()?;
        let config = place.write("redis.conf", &options.config(place, ports, certificates.as_ref()))?;
        let sentinel = (self.mode == Mode::Sentinel).then(|| "--sentinel".to_owned());
        Ok([config.to_string_lossy().into_owned()].into_iter().chain(sentinel).collect())
    }

    /// PING is answered after it has loaded what is on the disk.
    fn asks(&self, place: &Place, _: &[Port]) -> Result<()> {
        match self.options.ask(&place.join(SOCKET), &["PING"], Duration::from_secs(5)) {
            Ok(reply) if reply.text() == "PONG" => Ok(()),
            Ok(reply) => Err(Error::failed(format!("it answers {reply:?}"))),
            Err(error) => Err(Error::failed(error.to_string())),
        }
    }
}

/// A running `redis-server`. Dropping it ends it and removes its directory.
pub struct Redis {
    server: Server,
    options: RedisOptions,
    certificates: Option<Certificates>,
}

/// Whatever can be done to any server.
impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Redis {
    /// Starts one; it answers when this returns.
    ///
    /// # Errors
    /// [`Error::Missing`], or what the server said when it refused to start.
    pub fn start(options: &RedisOptions) -> Result<Self> {
        Self::start_as(Mode::Data, options)
    }

    pub(crate) fn start_in_cluster(options: &RedisOptions) -> Result<Self> {
        Self::start_as(Mode::Cluster, options)
    }

    pub(crate) fn start_sentinel(options: &RedisOptions) -> Result<Self> {
        Self::start_as(Mode::Sentinel, options)
    }

    fn start_as(mode: Mode, options: &RedisOptions) -> Result<Self> {
        let server = Server::start(Single { options: options.clone(), mode })?;
        let certificates = options.tls.map(|_| Certificates::in_dir(server.dir().join(TLS_DIR)));
        Ok(Self { server, options: options.clone(), certificates })
    }

    /// Asks the server by its unix socket, in a connection of its own.
    ///
    /// # Errors
    /// The server cannot be reached or does not answer within a minute. What it refuses is [`Reply::Error`].
    pub fn command(&self, words: &[&str]) -> Result<Reply> {
        let name = words.first().copied().unwrap_or("nothing");
        let answer = self.options.ask(&self.socket(), words, LIMIT);
        answer.context(|| format!("redis-server at {} does not answer {name}", self.address()))
    }

    /// `redis://[[user]:password@]127.0.0.1:port/0`, or `rediss://..` with [`Tls::Only`].
    pub fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// The same with another address, such as that of a proxy.
    pub fn url_at(&self, address: SocketAddr) -> String {
        self.url_of(if self.options.tls == Some(Tls::Only) { "rediss" } else { "redis" }, address)
    }

    /// `rediss://..`, where it speaks TLS.
    pub fn tls_url(&self) -> Option<String> {
        self.tls_address().map(|address| self.url_of("rediss", address))
    }

    fn url_of(&self, scheme: &str, address: SocketAddr) -> String {
        let login = self.options.login().map_or(String::new(), |(name, password)| {
            format!("{}:{}@", url_encoded(name.unwrap_or_default()), url_encoded(password))
        });
        format!("{scheme}://{login}{address}/0")
    }

    /// Where it speaks TLS.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        match self.options.tls? {
            Tls::Only => Some(self.address()),
            Tls::Beside => self.port_at(1),
        }
    }

    /// What a client needs for TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// The name and password with which its clients log in; the default user has no name.
    pub fn login(&self) -> Option<(Option<&str>, &str)> {
        self.options.login()
    }

    /// The unix socket where it listens, too.
    pub fn socket(&self) -> PathBuf {
        self.dir().join(SOCKET)
    }
}

/// For the user and password of a URL.
fn url_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
        encoded
    })
}
