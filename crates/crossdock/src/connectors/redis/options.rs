//! The options of a Redis connector.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::RedisConnector;
use super::endpoint::Endpoint;
use super::url::{PORT, Url, host_mistake, is_hidden};
use crate::config::{ConnectorConfig, FieldKind, FieldSpec, Fields, Reference, Table};
use crate::connector::{Connector, Opener, Properties};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Durability, Integrity};

/// How long a call may take unless the options say otherwise; more where it moves many bytes.
const DEADLINE: Duration = Duration::from_secs(15);
const RETRIES: u32 = 3;
/// Of 365 days each. Servers count milliseconds since 1970 in 64 bits.
const LONGEST_TTL: Duration = Duration::from_secs(10_000 * 365 * 86_400);
/// The port of a sentinel where none is given.
const SENTINEL_PORT: u16 = 26_379;

/// How a [`RedisConnector`] is to be built.
///
/// ```
/// use std::time::Duration;
/// use crossdock::connectors::RedisOptions;
/// use crossdock::Opener;
/// let options = RedisOptions::from_url("rediss://:${env:REDIS_PASSWORD}@cache.example/0")?
///     .prefix("my-run:")
///     .deadline(Duration::from_secs(5));
/// assert_eq!(options.config().type_name, "redis");
/// // A password is a reference: it must not travel in configs.
/// assert!(RedisOptions::from_url("redis://:s3cret@cache.example").is_err());
/// # Ok::<(), crossdock::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisOptions {
    pub(super) place: Place,
    pub(super) username: Option<Reference>,
    pub(super) password: Option<Reference>,
    pub(super) database: u32,
    pub(super) tls: Option<TlsOptions>,
    pub(super) prefix: Reference,
    pub(super) ttl: Option<Duration>,
    pub(super) cluster: bool,
    /// Those of a cluster that are asked for the others, if there are several.
    pub(super) nodes: Vec<Endpoint>,
    pub(super) sentinels: Vec<Endpoint>,
    pub(super) sentinel_service: Option<String>,
    pub(super) sentinel_password: Option<Reference>,
    pub(super) durability: Option<Durability>,
    pub(super) integrity: Integrity,
    pub(super) write_once: bool,
    pub(super) clear: bool,
    pub(super) deadline: Duration,
    pub(super) retries: u32,
}

/// Where the server is, as the config says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Host(Reference, u16),
    Unix(Reference),
    /// A URL that is a reference from its first letter on.
    Hidden(Reference),
    /// The sentinels know.
    Sentinels,
    /// Any node of the cluster knows.
    Nodes,
}

/// What encryption trusts, and whom it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsOptions {
    pub(super) ca_file: Option<Reference>,
    pub(super) cert_file: Option<Reference>,
    pub(super) key_file: Option<Reference>,
}

/// Where the server is and who we are, resolved here and now. Lives as long as a connection is made.
pub(super) struct Login {
    pub(super) endpoint: Endpoint,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
    pub(super) tls: bool,
}

/// Hosts and their ports. What is none of these may have a password in it, so no part of it is shown.
fn endpoints<'a>(addresses: impl IntoIterator<Item = &'a str>, port: u16, of_what: &str) -> Result<Vec<Endpoint>> {
    let read = |address| {
        Endpoint::parse(address, port)
            .filter(|endpoint| matches!(endpoint, Endpoint::Tcp(host, _) if host_mistake(host).is_none()))
            .ok_or_else(|| invalid(format!("one of these is no address of {of_what}, which looks like host:{port}")))
    };
    addresses.into_iter().map(read).collect()
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

impl RedisOptions {
    /// A server at a host and a port.
    pub fn new(hostname: &str, port: u16) -> Self {
        Self::at(Place::Host(Reference::literal(hostname), port))
    }

    /// A server at a URL: `redis://`, `rediss://` (with TLS) or `unix://`, with references where secrets stand.
    ///
    /// # Errors
    /// `InvalidConfig` for what is no such URL, and for one with a password in it that is no reference.
    pub fn from_url(url: &str) -> Result<Self> {
        let whole = Reference::new(url)?;
        if is_hidden(url) {
            return Ok(Self::at(Place::Hidden(whole)));
        }
        let url = Url::parse(url).map_err(|why| invalid(format!("this is no URL of Redis: {why}")))?;
        let place = match (&url.unix_socket, &url.hostname) {
            (Some(path), _) => Place::Unix(Reference::new(path.as_str())?),
            (None, Some(hostname)) => Place::Host(Reference::new(hostname.as_str())?, url.port.unwrap_or(PORT)),
            (None, None) => return Err(invalid("this is no URL of Redis: its host is missing")),
        };
        let mut options = Self::at(place);
        options.username = url.username.map(Reference::new).transpose()?;
        options.password = url.password.map(Reference::new).transpose()?.map(secret).transpose()?;
        options.database = url.database.unwrap_or(0);
        options.tls = url.tls.then(TlsOptions::default);
        Ok(options)
    }

    /// A server that listens at a unix socket.
    pub fn unix_socket(path: &str) -> Self {
        Self::at(Place::Unix(Reference::literal(path)))
    }

    /// The primary of `service`, whichever the sentinels at `addresses` (`host:port`) say it is.
    ///
    /// # Errors
    /// `InvalidConfig` for what is no address.
    pub fn sentinels<'a>(addresses: impl IntoIterator<Item = &'a str>, service: &str) -> Result<Self> {
        let sentinels = endpoints(addresses, SENTINEL_PORT, "a sentinel")?;
        if sentinels.is_empty() {
            return Err(invalid("there are no sentinels; name some, as host:26379"));
        }
        let mut options = Self::at(Place::Sentinels);
        options.sentinels = sentinels;
        options.sentinel_service = Some(service.to_owned());
        Ok(options)
    }

    /// A cluster with nodes at `addresses` (`host:port`): the first that answers tells of the others.
    ///
    /// # Errors
    /// `InvalidConfig` for what is no address.
    pub fn nodes<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let nodes = endpoints(addresses, PORT, "a node")?;
        if nodes.is_empty() {
            return Err(invalid("there are no nodes; name some, as host:6379"));
        }
        Ok(Self { nodes, cluster: true, ..Self::at(Place::Nodes) })
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            username: None,
            password: None,
            database: 0,
            tls: None,
            prefix: Reference::literal(""),
            ttl: None,
            cluster: false,
            nodes: Vec::new(),
            sentinels: Vec::new(),
            sentinel_service: None,
            sentinel_password: None,
            durability: None,
            integrity: Integrity::Checksum,
            write_once: true,
            clear: false,
            deadline: DEADLINE,
            retries: RETRIES,
        }
    }

    /// Who we are. Without, the server's default user.
    #[must_use]
    pub fn username(mut self, username: Reference) -> Self {
        self.username = Some(username);
        self
    }

    /// The password: a reference, which each process resolves when it connects.
    ///
    /// # Errors
    /// `InvalidConfig` for one that is no reference: configs travel, and are shown.
    pub fn password(mut self, password: Reference) -> Result<Self> {
        self.password = Some(secret(password)?);
        Ok(self)
    }

    /// The number of the database. Default 0.
    #[must_use]
    pub fn database(mut self, database: u32) -> Self {
        self.database = database;
        self
    }

    /// Encrypts, trusting the authorities of the system.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls.get_or_insert_default();
        self
    }

    /// Encrypts, trusting the authorities in this file (PEM) only.
    #[must_use]
    pub fn tls_ca_file(mut self, path: Reference) -> Self {
        self.tls.get_or_insert_default().ca_file = Some(path);
        self
    }

    /// Encrypts, showing the server this certificate (PEM) and having its key.
    #[must_use]
    pub fn tls_client(mut self, cert_file: Reference, key_file: Reference) -> Self {
        let tls = self.tls.get_or_insert_default();
        (tls.cert_file, tls.key_file) = (Some(cert_file), Some(key_file));
        self
    }

    /// What the names of all objects begin with on the server. Default: nothing, as ProxyStore has it.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = Reference::literal(prefix);
        self
    }

    /// How long the server keeps an object, to the millisecond. Default: until it is evicted.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Whether the server is a node of a cluster. Default: it is not.
    #[must_use]
    pub fn cluster(mut self, cluster: bool) -> Self {
        self.cluster = cluster;
        self
    }

    /// The password of the sentinels: a reference. Default: they have none.
    ///
    /// # Errors
    /// `InvalidConfig` for one that is no reference.
    pub fn sentinel_password(mut self, password: Reference) -> Result<Self> {
        self.sentinel_password = Some(secret(password)?);
        Ok(self)
    }

    /// The durability of puts that name none. Default: whatever the server offers.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// What keys carry, and what is checked of objects. Default: the checksum.
    #[must_use]
    pub fn integrity(mut self, integrity: Integrity) -> Self {
        self.integrity = integrity;
        self
    }

    /// Whether an object is written once. Without, a `set` with other bytes replaces the object, as ProxyStore's does; keys
    /// then say nothing of the bytes, so that these are not checked. Default: it is.
    #[must_use]
    pub fn write_once(mut self, write_once: bool) -> Self {
        self.write_once = write_once;
        self
    }

    /// Whether `close` removes all objects. Counts only in the process that asked for it, and is no part of the config.
    #[must_use]
    pub fn clear(mut self, clear: bool) -> Self {
        self.clear = clear;
        self
    }

    /// How long a call may take, retries included, and a second more for each 8 MiB that it moves. More than 0; default 15
    /// seconds.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How often a call is tried again within its deadline, where nothing was written. 0 for never; default 3.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// What contradicts itself, or cannot be.
    pub(super) fn validate(&self) -> Result<()> {
        self.validate_place()?;
        let wrong = if self.deadline.is_zero() {
            "deadline must be more than 0; leave it out for 15 seconds"
        } else if self.cluster && self.database != 0 {
            "a cluster has database 0 only; leave database out"
        } else if self.cluster && !self.sentinels.is_empty() {
            "a cluster has no sentinels; choose one of the two"
        } else if self.ttl.is_some_and(|ttl| ttl.as_millis() == 0) {
            "ttl must be at least a millisecond; leave it out to keep objects until they are evicted"
        } else if self.ttl.is_some_and(|ttl| ttl > LONGEST_TTL) {
            "ttl must be at most 10,000 years; leave it out to keep objects until they are evicted"
        } else if self.durability == Some(Durability::Backend) {
            "durability \"backend\" is more than Redis promises; ask for \"host\""
        } else if self.tls.as_ref().is_some_and(|tls| tls.cert_file.is_some() != tls.key_file.is_some()) {
            "tls_cert_file and tls_key_file go together; give both"
        } else if self.tls.is_some() && matches!(self.place, Place::Unix(_)) {
            "a unix socket is not encrypted; leave tls out"
        } else if self.tls.is_some() && cfg!(not(feature = "redis-tls")) {
            "this build has no TLS for Redis; build crossdock with the feature redis-tls"
        } else if self.sentinel_service.is_some() && self.sentinels.is_empty() {
            "sentinel_service is given, but no sentinels; name some, as host:26379"
        } else if !self.sentinels.is_empty() && self.sentinel_service.is_none() {
            "sentinel_service is missing: the name that the sentinels know the servers by"
        } else {
            return Ok(());
        };
        Err(invalid(wrong))
    }

    /// A URL where something else is wanted would take its password into configs and messages: no part of it is shown.
    fn validate_place(&self) -> Result<()> {
        let mistake = match &self.place {
            Place::Host(host, _) => host_mistake(host.as_str()).map(|what| format!("hostname {what}")),
            Place::Unix(path) if !path.is_absolute() => {
                Some("unix_socket must be an absolute path, such as /run/redis.sock".to_owned())
            }
            Place::Unix(_) | Place::Hidden(_) | Place::Sentinels | Place::Nodes => None,
        };
        mistake.map_or(Ok(()), |mistake| Err(invalid(mistake)))
    }

    /// Where the server is and who we are, here and now.
    ///
    /// # Errors
    /// `Unavailable`, naming the reference that cannot be resolved; `InvalidConfig` for what it stands for.
    pub(super) fn login(&self) -> Result<Login> {
        let resolve = |field: &str, reference: &Option<Reference>| {
            reference.as_ref().map(|text| text.resolve().map_err(|why| why.of_field(field))).transpose()
        };
        let mut login = Login {
            endpoint: Endpoint::Unix(PathBuf::new()),
            username: resolve("username", &self.username)?,
            password: resolve("password", &self.password)?,
            database: self.database,
            tls: self.tls.is_some(),
        };
        login.endpoint = match &self.place {
            Place::Host(host, port) => Endpoint::Tcp(host.resolve().map_err(|why| why.of_field("hostname"))?, *port),
            Place::Unix(path) => Endpoint::Unix(path.resolve().map_err(|why| why.of_field("unix_socket"))?.into()),
            Place::Hidden(url) => return login.filled_from(&url.resolve().map_err(|why| why.of_field("url"))?),
            // They are asked when a connection is made.
            Place::Sentinels | Place::Nodes => Endpoint::Unix(PathBuf::new()),
        };
        Ok(login)
    }

    /// The server, for messages: as the config has it.
    pub(super) fn shown(&self) -> String {
        match &self.place {
            Place::Host(host, port) => format!("redis at {}", Endpoint::Tcp(host.as_str().to_owned(), *port)),
            Place::Unix(path) => format!("redis at {}", path.as_str()),
            Place::Hidden(url) => format!("redis at {}", url.as_str()),
            Place::Sentinels => format!("redis {:?}", self.sentinel_service.as_deref().unwrap_or_default()),
            Place::Nodes => format!("redis at {}", texts(&self.nodes).join(", ")),
        }
    }

    /// A node, for messages: by its address, unless that has come from a reference.
    pub(super) fn shown_node(&self, node: &Endpoint) -> String {
        let is_reference = match &self.place {
            Place::Host(host, _) => host.as_literal().is_none(),
            Place::Hidden(_) => true,
            Place::Unix(_) | Place::Sentinels | Place::Nodes => false,
        };
        match (node, self.login().map(|login| login.endpoint)) {
            (Endpoint::Tcp(host, port), Ok(Endpoint::Tcp(own, _))) if is_reference && *host == own => {
                format!("{}, its node at port {port}", self.shown())
            }
            _ => format!("redis at {node}"),
        }
    }
}

impl Login {
    fn filled_from(mut self, url: &str) -> Result<Self> {
        let wrong = |why: String| invalid(format!("url: what it refers to is no URL of Redis: {why}"));
        let literal = |text: Option<String>| text.and_then(|text| Reference::new(text).ok()?.as_literal());
        let url = Url::parse_resolved(url).map_err(wrong)?;
        self.endpoint = match (literal(url.unix_socket), literal(url.hostname)) {
            (Some(path), _) => Endpoint::Unix(path.into()),
            (None, Some(hostname)) => Endpoint::Tcp(hostname, url.port.unwrap_or(PORT)),
            (None, None) => return Err(wrong("its host is missing".to_owned())),
        };
        self.username = self.username.or(literal(url.username));
        self.password = self.password.or(literal(url.password));
        self.database = url.database.unwrap_or(self.database);
        if url.tls && cfg!(not(feature = "redis-tls")) {
            return Err(invalid("url: this build has no TLS for Redis; build crossdock with the feature redis-tls"));
        }
        self.tls |= url.tls;
        Ok(self)
    }
}

/// Configs travel, in pickles too, and are shown: what they hold is no secret.
fn secret(text: Reference) -> Result<Reference> {
    if text.as_literal().is_some_and(|literal| !literal.is_empty()) {
        return Err(invalid(
            "a password must not stand in a config, which travels and is shown; write ${env:NAME} or ${file:PATH}, and \
             put it there",
        ));
    }
    Ok(text)
}

const DURABILITIES: [Durability; 2] = [Durability::Process, Durability::Host];
const INTEGRITIES: [Integrity; 2] = [Integrity::Size, Integrity::Checksum];

impl RedisOptions {
    /// The fields of this connector in a config.
    pub const FIELDS: &'static [FieldSpec] = &[
        FieldSpec::new(
            "url",
            FieldKind::Text,
            "The server: redis://host:6379/0, rediss:// for TLS, unix:///path. A password in it must be a reference.",
        ),
        FieldSpec::new("hostname", FieldKind::Text, "The server's host, instead of a URL."),
        FieldSpec::new("port", FieldKind::Integer, "The server's port, from 1 to 65535. Default 6379."),
        FieldSpec::new("unix_socket", FieldKind::Text, "The path of the server's unix socket, instead of a URL."),
        FieldSpec::new("username", FieldKind::Text, "The user of the server. Default: its default user."),
        FieldSpec::new("password", FieldKind::Text, "The password: a reference such as ${env:REDIS_PASSWORD}."),
        FieldSpec::new("database", FieldKind::Integer, "The number of the database, from 0 on. Default 0."),
        FieldSpec::new(
            "tls",
            FieldKind::Bool,
            "Whether connections are encrypted. Default: where the URL or one of the next three options says so.",
        ),
        FieldSpec::new(
            "tls_ca_file",
            FieldKind::Text,
            "A file of certificates (PEM) of the authorities to trust. Default: those of the system.",
        ),
        FieldSpec::new("tls_cert_file", FieldKind::Text, "A file with the certificate (PEM) that we show the server."),
        FieldSpec::new("tls_key_file", FieldKind::Text, "A file with the key (PEM) of that certificate."),
        FieldSpec::new(
            "prefix",
            FieldKind::Text,
            "What the names of all objects begin with on the server. Default: nothing, as ProxyStore has it.",
        ),
        FieldSpec::new(
            "ttl",
            FieldKind::Duration,
            "How long the server keeps an object: seconds, or a string such as \"12h\". Default: until it is evicted.",
        ),
        FieldSpec::new("cluster", FieldKind::Bool, "Whether the server is a node of a cluster. Default false."),
        FieldSpec::new(
            "nodes",
            FieldKind::Strings,
            "The addresses of some nodes of a cluster (host:6379), instead of a server's: the first that answers tells of the \
             others.",
        ),
        FieldSpec::new(
            "sentinels",
            FieldKind::Strings,
            "The addresses of sentinels (host:26379), instead of a server's.",
        ),
        FieldSpec::new("sentinel_service", FieldKind::Text, "The name that the sentinels know the servers by."),
        FieldSpec::new(
            "sentinel_password",
            FieldKind::Text,
            "The password of the sentinels: a reference. Default: they have none.",
        ),
        FieldSpec::new(
            "durability",
            FieldKind::Choice(&["process", "host"]),
            "What an object must survive once put has returned: a restart of the server, or a power cut of its host. Puts are \
             refused where the server's settings promise less. Default: whatever it offers.",
        ),
        FieldSpec::new(
            "integrity",
            FieldKind::Choice(&["size", "checksum"]),
            "What keys carry and what is checked of an object when it is read. Default \"checksum\".",
        ),
        FieldSpec::new(
            "write_once",
            FieldKind::Bool,
            "Whether an object is written once. With false, setting a key again replaces its object, and keys carry no size \
             and no checksum: for ProxyStore's ref.update(). Default true.",
        ),
        FieldSpec::new(
            "deadline",
            FieldKind::Duration,
            "How long a call may take, retries included, and a second more for each 8 MiB that it moves: seconds, or a \
             string such as \"500ms\". Default 15.",
        ),
        FieldSpec::new(
            "retries",
            FieldKind::Integer,
            "How often a call is tried again within its deadline where nothing was written, from 0 to 100. Default 3.",
        ),
        FieldSpec::new(
            "clear",
            FieldKind::Bool,
            "Read because ProxyStore writes it; without effect: a connector built from a config never clears.",
        ),
    ];

    /// Reads the options from a config.
    ///
    /// # Errors
    /// `InvalidConfig` with the line, the place and what to do.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self> {
        let mut options = Self::placed_by(fields)?;
        let in_field = |field: &'static str| move |why: Error| fields.wrong(field, why.message());
        if let Some(username) = fields.text("username")? {
            options.username = Some(username);
        }
        if let Some(password) = fields.text("password")? {
            options.password = Some(secret(password).map_err(in_field("password"))?);
        }
        if let Some(password) = fields.text("sentinel_password")? {
            options.sentinel_password = Some(secret(password).map_err(in_field("sentinel_password"))?);
        }
        options.database = bounded(fields, "database", 0, u32::MAX)?.unwrap_or(options.database);
        options.read_tls(fields)?;
        if let Some(prefix) = fields.text("prefix")? {
            options.prefix = prefix;
        }
        options.ttl = fields.duration("ttl")?;
        options.cluster |= fields.boolean("cluster")?.unwrap_or(false);
        if let Some(word) = fields.choice("durability")? {
            options.durability = DURABILITIES.into_iter().find(|level| level.as_str() == word);
        }
        if let Some(word) = fields.choice("integrity")? {
            let known = INTEGRITIES.into_iter().find(|level| level.as_str() == word);
            options.integrity = known.unwrap_or(options.integrity);
        }
        options.write_once = fields.boolean("write_once")?.unwrap_or(true);
        options.deadline = fields.duration("deadline")?.unwrap_or(DEADLINE);
        options.retries = bounded(fields, "retries", 0, 100)?.unwrap_or(RETRIES);
        fields.boolean("clear")?;
        options.validate().map_err(|why| fields.about("url", why.message()))?;
        Ok(options)
    }

    /// One of the ways to say where the server is, and no more than one.
    fn placed_by(fields: &Fields<'_>) -> Result<Self> {
        let ways = ["url", "hostname", "unix_socket", "nodes", "sentinels"];
        let given: Vec<&str> = ways.into_iter().filter(|way| fields.node(way).is_some()).collect();
        if let [first, second, ..] = given[..] {
            return Err(
                fields.wrong(second, format_args!("{first} says already where the server is; keep one of the two"))
            );
        }
        let port = bounded(fields, "port", 1, u32::from(u16::MAX))?.and_then(|port| u16::try_from(port).ok());
        if port.is_some() && given != ["hostname"] {
            return Err(fields.wrong("port", "it goes with hostname; put it into the URL"));
        }
        let service = fields.text("sentinel_service")?.map(|service| service.as_literal().unwrap_or_default());
        let mut options = match given.first() {
            Some(&"url") => {
                let url = fields.text("url")?.unwrap_or_else(|| Reference::literal(""));
                Self::from_url(url.as_str()).map_err(|why| fields.wrong("url", why.message()))?
            }
            Some(&"hostname") => {
                let host = fields.text("hostname")?.filter(|host| !host.as_str().is_empty());
                let host = host.ok_or_else(|| fields.wrong("hostname", "it is empty; name the server's host"))?;
                Self::at(Place::Host(host, port.unwrap_or(PORT)))
            }
            Some(&"unix_socket") => {
                Self::at(Place::Unix(fields.text("unix_socket")?.unwrap_or_else(|| Reference::literal(""))))
            }
            Some(&"nodes") => {
                let addresses = fields.strings("nodes")?.unwrap_or_default();
                Self::nodes(addresses.iter().map(String::as_str)).map_err(|why| fields.wrong("nodes", why.message()))?
            }
            Some(_) => {
                let addresses = fields.strings("sentinels")?.unwrap_or_default();
                let read =
                    Self::sentinels(addresses.iter().map(String::as_str), service.as_deref().unwrap_or_default());
                read.map_err(|why| fields.wrong("sentinels", why.message()))?
            }
            None => {
                let message = "the server is missing; add a line such as url = \"redis://cache.example:6379/0\"";
                return Err(fields.about("url", message));
            }
        };
        options.sentinel_service = service.filter(|service| !service.is_empty());
        Ok(options)
    }

    fn read_tls(&mut self, fields: &Fields<'_>) -> Result<()> {
        let files = TlsOptions {
            ca_file: fields.text("tls_ca_file")?,
            cert_file: fields.text("tls_cert_file")?,
            key_file: fields.text("tls_key_file")?,
        };
        let wanted = self.tls.is_some() || files != TlsOptions::default();
        match fields.boolean("tls")? {
            Some(false) if wanted => {
                Err(fields.wrong("tls", "it is false, but the URL or another option asks for TLS"))
            }
            asked => {
                self.tls = (wanted || asked == Some(true)).then_some(files);
                Ok(())
            }
        }
    }

    fn set_place(&self, table: &mut Table) {
        match &self.place {
            Place::Host(host, port) => {
                table.set("hostname", host.as_str());
                table.set("port", i64::from(*port));
            }
            Place::Unix(path) => table.set("unix_socket", path.as_str()),
            Place::Hidden(url) => table.set("url", url.as_str()),
            Place::Sentinels => {
                table.set("sentinels", &texts(&self.sentinels)[..]);
                table.set("sentinel_service", self.sentinel_service.as_deref().unwrap_or_default());
            }
            Place::Nodes => table.set("nodes", &texts(&self.nodes)[..]),
        }
    }

    fn set_tls(&self, table: &mut Table) {
        let Some(tls) = &self.tls else { return };
        table.set("tls", true);
        let files = [("tls_ca_file", &tls.ca_file), ("tls_cert_file", &tls.cert_file), ("tls_key_file", &tls.key_file)];
        for (name, file) in files {
            if let Some(file) = file {
                table.set(name, file.as_str());
            }
        }
    }
}

fn texts(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints.iter().map(ToString::to_string).collect()
}

/// A whole number within bounds.
fn bounded(fields: &Fields<'_>, field: &str, least: u32, most: u32) -> Result<Option<u32>> {
    let Some(number) = fields.integer(field)? else { return Ok(None) };
    let within = u32::try_from(number).ok().filter(|number| (least..=most).contains(number));
    within.map(Some).ok_or_else(|| fields.wrong(field, format_args!("must be from {least} to {most}, not {number}")))
}

impl Opener for RedisOptions {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(RedisConnector::attach(self)?))
    }

    fn config(&self) -> ConnectorConfig {
        let mut table = Table::new();
        self.set_place(&mut table);
        let references = [
            ("username", &self.username),
            ("password", &self.password),
            ("sentinel_password", &self.sentinel_password),
        ];
        for (name, reference) in references {
            if let Some(reference) = reference {
                table.set(name, reference.as_str());
            }
        }
        if self.database != 0 {
            table.set("database", i64::from(self.database));
        }
        self.set_tls(&mut table);
        if !self.prefix.as_str().is_empty() {
            table.set("prefix", self.prefix.as_str());
        }
        if let Some(ttl) = self.ttl {
            table.set("ttl", ttl);
        }
        if self.cluster && self.nodes.is_empty() {
            table.set("cluster", true);
        }
        if let Some(durability) = self.durability {
            table.set("durability", durability.as_str());
        }
        if self.integrity != Integrity::Checksum {
            table.set("integrity", self.integrity.as_str());
        }
        if !self.write_once {
            table.set("write_once", false);
        }
        if self.deadline != DEADLINE {
            table.set("deadline", self.deadline);
        }
        if self.retries != RETRIES {
            table.set("retries", i64::from(self.retries));
        }
        ConnectorConfig { type_name: "redis".to_owned(), options: table }
    }

    fn properties(&self) -> Properties {
        Properties::NONE.remote().shared()
    }
}
