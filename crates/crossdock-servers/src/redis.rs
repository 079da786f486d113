//! One Redis server.

use std::fmt::Write as _;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::place::Place;
use crate::port::Port;
use crate::program::Program;
use crate::resp::{Client, Reply};
use crate::server::{Kind, Server};
use crate::wait::LIMIT;

/// When the log of writes is synced to the disk; the log itself is written before a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aof {
    /// Once a second (`appendfsync everysec`).
    EverySecond,
    /// Before each reply (`appendfsync always`).
    Always,
}

/// How a Redis server is to be. Without anything: no password, nothing on the disk, no limit of memory.
#[derive(Clone, Default)]
pub struct RedisOptions {
    password: Option<String>,
    user: Option<(String, String)>,
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

    fn config(&self, place: &Place, port: &Port) -> String {
        let mut text = format!(
            "bind 127.0.0.1\nport {}\ndir {}\nunixsocket {}\nunixsocketperm 700\n",
            port.address().port(),
            quoted(&place.path().to_string_lossy()),
            quoted(&place.join(SOCKET).to_string_lossy()),
        );
        let mut line = |name: &str, value: &str| text.extend([name, " ", value, "\n"]);
        line("save", "\"\"");
        match self.aof {
            None => line("appendonly", "no"),
            Some(sync) => {
                line("appendonly", "yes");
                line("appendfsync", if sync == Aof::Always { "always" } else { "everysec" });
            }
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

#[derive(Clone)]
struct Single {
    options: RedisOptions,
}

impl Kind for Single {
    fn program(&self) -> Program {
        Program::Redis
    }

    fn prepare(&self, place: &Place, ports: &[Port]) -> Result<Vec<String>> {
        let config = place.write("redis.conf", &self.options.config(place, &ports[0]))?;
        Ok(vec![config.to_string_lossy().into_owned()])
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
        let options = options.clone();
        Ok(Self { server: Server::start(Single { options: options.clone() })?, options })
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

    /// `redis://[[user]:password@]127.0.0.1:port/0`.
    pub fn url(&self) -> String {
        let login = self.options.login().map_or(String::new(), |(name, password)| {
            format!("{}:{}@", url_encoded(name.unwrap_or_default()), url_encoded(password))
        });
        format!("redis://{login}{}/0", self.address())
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
