//! The registry: from type names and class paths to connectors. Explicit; no globals, nothing is ever imported.

mod builtin;
mod proxystore;
mod schema;

use std::fmt;
use std::sync::Arc;

use crate::config::{Config, ConnectorConfig, Entry, FieldSpec, Fields, Table, Value, with_nearest};
use crate::connector::{Connector, Opener, Properties};
use crate::error::{Error, ErrorKind, Result};
use crate::hostname::Hostname;
use crate::multi::MultiConnector;
use crate::policy::Policy;

pub use proxystore::{Flavor, ProxystoreJson};

/// Reads the options of one type from the table at a place such as `connectors.bulk`. No I/O.
type Read = dyn Fn(&Scope<'_>, &Table, &str) -> Result<Arc<dyn Opener>> + Send + Sync;

/// What a type that holds other connectors needs to read them.
struct Scope<'r> {
    registry: &'r Registry,
    hostname: &'r Hostname,
    depth: usize,
}

/// How deeply multi-connectors may be nested.
const MAX_DEPTH: usize = 16;

/// One entry of a config, read and checked.
#[derive(Clone, Debug)]
struct Lane {
    name: Arc<str>,
    opener: Arc<dyn Opener>,
    policy: Policy,
}

/// A multi-connector over lanes. Opens nothing.
fn build(lanes: &[Lane], hostname: Hostname) -> Result<MultiConnector> {
    let start = MultiConnector::builder().hostname(hostname);
    lanes
        .iter()
        .fold(start, |builder, lane| builder.lazy(lane.name.clone(), lane.opener.clone(), lane.policy.clone()))
        .build()
}

/// A type of connectors: what it is called, its options, how it is read.
#[derive(Clone)]
pub struct ConnectorType {
    name: String,
    fields: &'static [FieldSpec],
    class_paths: Vec<String>,
    /// Its options are connectors.
    nests: bool,
    /// The fields that ProxyStore's class has under the same name.
    same_fields: &'static [&'static str],
    /// What ProxyStore's class wants to see in its config besides our options.
    python_fields: Vec<(&'static str, Value)>,
    read: Arc<Read>,
}

impl ConnectorType {
    /// A type called `name` whose options are `fields`, read by `read`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use crossdock::connectors::LocalOptions;
    /// use crossdock::{ConnectorType, Registry, config::Config};
    ///
    /// let mut registry = Registry::builtin();
    /// registry.register(ConnectorType::new("heap", LocalOptions::FIELDS, |fields| {
    ///     Ok(Arc::new(LocalOptions::from_fields(fields)?))
    /// }));
    /// let config = Config::from_text("[connectors.mine]\ntype = \"heap\"")?;
    /// assert_eq!(registry.connect(&config)?.connector_names().collect::<Vec<_>>(), ["mine"]);
    /// # Ok::<(), crossdock::Error>(())
    /// ```
    pub fn new(
        name: impl Into<String>,
        fields: &'static [FieldSpec],
        read: impl Fn(&Fields<'_>) -> Result<Arc<dyn Opener>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            fields,
            class_paths: Vec::new(),
            nests: false,
            same_fields: &[],
            python_fields: Vec::new(),
            read: Arc::new(move |_, table, place| read(&Fields::new(table, place, fields)?)),
        }
    }

    /// The same type, known under these class paths of Python too: ours first, then ProxyStore's.
    #[must_use]
    pub fn class_paths<T: Into<String>>(mut self, paths: impl IntoIterator<Item = T>) -> Self {
        self.class_paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// The name of the type.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.class_paths.iter().any(|path| path == name)
    }
}

impl fmt::Debug for ConnectorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectorType({})", self.name)
    }
}

/// The types of connectors that configs may name.
///
/// ```
/// use crossdock::{Registry, config::Config};
/// let config = Config::from_text(r#"
///     [connectors.memory]
///     type = "local"
///     policy = { max_size_bytes = "1 kB" }
/// "#)?;
/// let multi = Registry::builtin().connect(&config)?;
/// # let _ = multi;
/// # Ok::<(), crossdock::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    types: Vec<ConnectorType>,
}

impl Registry {
    /// A registry without types.
    #[must_use]
    pub fn empty() -> Self {
        Self { types: Vec::new() }
    }

    /// The types of this crate, as far as its features are on, under their names, their class paths in our Python
    /// package, and ProxyStore's class paths.
    #[must_use]
    pub fn builtin() -> Self {
        Self { types: builtin::types() }
    }

    /// Adds a type. It replaces one of the same name.
    pub fn register(&mut self, new: ConnectorType) {
        self.types.retain(|known| known.name != new.name);
        self.types.push(new);
    }

    /// The types.
    #[must_use]
    pub fn types(&self) -> &[ConnectorType] {
        &self.types
    }

    /// The type of that name or class path.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ConnectorType> {
        self.types.iter().find(|known| known.is_called(name))
    }

    /// Builds the multi-connector of a config. All options are read and checked, nothing is opened yet.
    ///
    /// A class path of Python that is not in the registry makes its connector unavailable, with that reason, as there
    /// may be objects behind it that only Python can reach; the others work. A put that its policy accepts fails, or
    /// falls back where the policy says so: it goes nowhere else than where Python would send it. Any other unknown
    /// type is an error.
    ///
    /// # Errors
    /// `InvalidConfig` with the line, the place and what to do.
    pub fn connect(&self, config: &Config) -> Result<MultiConnector> {
        self.connect_as(config, Hostname::from_environment())
    }

    /// [`connect`](Self::connect), with the hostname from elsewhere.
    ///
    /// # Errors
    /// As there.
    pub fn connect_as(&self, config: &Config, hostname: Hostname) -> Result<MultiConnector> {
        let lanes = Scope::new(self, &hostname).read(config, "connectors")?;
        build(&lanes, hostname)
    }

    /// Opens one connector, now.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and what opening says.
    pub fn open(&self, config: &ConnectorConfig) -> Result<Arc<dyn Connector>> {
        let entry = Entry::new("connector", config.clone(), Policy::any());
        let hostname = Hostname::from_environment();
        let scope = Scope::new(self, &hostname);
        scope.opener(&entry, "connector")?.open()
    }

    /// Every way in which a config that can be loaded is wrong all the same: classes of Python that nothing here opens.
    #[must_use]
    pub fn unknown_classes<'c>(&self, config: &'c Config) -> Vec<&'c Entry> {
        config.entries().iter().filter(|entry| self.get(&entry.connector.type_name).is_none()).collect()
    }

    /// The same config with the types' own names and the options' own names, without what is as by default.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn canonical(&self, config: &Config) -> Result<Config> {
        let lanes = Scope::new(self, &Hostname::from_environment()).read(config, "connectors")?;
        let entries = config.entries().iter().zip(lanes);
        Ok(Config::new(entries.map(|(entry, lane)| Entry { connector: lane.opener.config(), ..entry.clone() })))
    }
}

impl<'r> Scope<'r> {
    fn new(registry: &'r Registry, hostname: &'r Hostname) -> Self {
        Self { registry, hostname, depth: 0 }
    }

    fn deeper(&self) -> Self {
        Self { depth: self.depth + 1, ..*self }
    }

    /// Reads and checks all entries of a config whose connectors stand at `place`.
    fn read(&self, config: &Config, place: &str) -> Result<Vec<Lane>> {
        if self.depth > MAX_DEPTH {
            let shown: String = place.chars().take(80).collect();
            let message = format!("{shown}...: more than {MAX_DEPTH} multi-connectors are nested; flatten some");
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        let read = |entry: &Entry| {
            let opener = self.opener(entry, &format!("{place}.{}", entry.name))?;
            Ok(Lane { name: entry.name.clone(), opener, policy: entry.policy.clone() })
        };
        config.entries().iter().map(read).collect()
    }

    /// Reads and checks the options of one entry that stands at `place`.
    fn opener(&self, entry: &Entry, place: &str) -> Result<Arc<dyn Opener>> {
        let ConnectorConfig { type_name, options } = &entry.connector;
        if let Some(known) = self.registry.get(type_name) {
            return (known.read)(self, options, place).map_err(|error| error.at_line(entry.line));
        }
        let known = self.registry.types.iter().map(|known| known.name.as_str());
        if !type_name.contains('.') {
            let message = format!("{place}.type: unknown type {}", with_nearest(type_name, known));
            return Err(Error::new(ErrorKind::InvalidConfig, message).at_line(entry.line));
        }
        Ok(Arc::new(Unopenable(entry.connector.clone())))
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::builtin()
    }
}

/// A connector of a class that only Python can open.
#[derive(Debug)]
struct Unopenable(ConnectorConfig);

impl Opener for Unopenable {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        let class: String = self.0.type_name.chars().take(200).collect();
        let message =
            format!("this program knows no connector class {class:?}; open it from Python, or correct the name");
        Err(Error::new(ErrorKind::Unavailable, message).permanent())
    }

    fn config(&self) -> ConnectorConfig {
        self.0.clone()
    }

    fn properties(&self) -> Properties {
        Properties::NONE
    }
}
