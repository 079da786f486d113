//! The config in effect, where it came from, and what is built from it.

use std::fmt;
use std::path::PathBuf;

use crossdock::config::Config;
use crossdock::{ConnectorType, Hostname, Key, MultiConnector, MultiKey, Registry};

use crate::failure::Failure;
use crate::globals::Globals;

/// The environment variable that names the config file.
const CONFIG_VARIABLE: &str = "CROSSDOCK_CONFIG";

/// The type of connectors that keep objects in the memory of the process.
const LOCAL: &str = "local";

/// A config and the types of connectors that it may name.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) origin: Origin,
    pub(crate) registry: Registry,
}

/// Where a config came from.
pub(crate) enum Origin {
    /// A file that `--config` names, or the variable.
    File(PathBuf),
    /// The default that is compiled in.
    Embedded,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Embedded => f.write_str("the embedded default"),
        }
    }
}

impl Setup {
    /// Reads the file that `--config` names, else that of the environment variable, else takes the embedded default.
    pub(crate) fn load(globals: &Globals) -> Result<Self, Failure> {
        let variable = || std::env::var_os(CONFIG_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (config, origin) = match (&globals.config, variable()) {
            (Some(path), _) => (Config::from_file(path)?, Origin::File(path.clone())),
            (None, Some(path)) => {
                let read = Config::from_file(&path);
                let named = format_args!("the variable {CONFIG_VARIABLE} names this file");
                (read.map_err(|error| error.context(named))?, Origin::File(path))
            }
            (None, None) => (Config::embedded()?, Origin::Embedded),
        };
        Ok(Self::of(config, origin))
    }

    /// A config that was read elsewhere.
    pub(crate) fn of(config: Config, origin: Origin) -> Self {
        Self { config, origin, registry: Registry::builtin() }
    }

    /// The connectors of the config, none of them opened yet.
    pub(crate) fn connect(&self) -> Result<MultiConnector, Failure> {
        self.connect_as(Hostname::from_environment())
    }

    /// The same, as if on another host.
    pub(crate) fn connect_as(&self, hostname: Hostname) -> Result<MultiConnector, Failure> {
        self.registry.connect_as(&self.config, hostname).map_err(|error| self.locate(error))
    }

    /// The config with the types' and the options' own names, without what is as by default.
    pub(crate) fn canonical(&self) -> Result<Config, Failure> {
        self.registry.canonical(&self.config).map_err(|error| self.locate(error))
    }

    /// Options are read after the file was, so their errors do not name it yet.
    pub(crate) fn locate(&self, error: crossdock::Error) -> Failure {
        match &self.origin {
            Origin::File(path) => {
                let message = format!("{}: {}", path.display(), error.message());
                crossdock::Error::new(error.kind(), message).into()
            }
            Origin::Embedded => error.into(),
        }
    }

    /// Whether the connector of that name keeps its objects in the memory of this process, which is about to end.
    pub(crate) fn forgets(&self, connector: &str) -> bool {
        self.type_of(&self.config, connector) == Some(LOCAL)
    }

    /// Whether the object is in such a connector, at whatever level of nesting.
    pub(crate) fn forgets_object(&self, key: &MultiKey) -> bool {
        self.forgets_in(&self.config, key)
    }

    fn forgets_in(&self, config: &Config, key: &MultiKey) -> bool {
        let name = &*key.connector_name;
        let Key::Multi(inner) = &key.connector_key else {
            return self.type_of(config, name) == Some(LOCAL);
        };
        let nested = config.get(name).and_then(|entry| Config::from_table(&entry.connector.options, name).ok());
        nested.is_some_and(|nested| self.forgets_in(&nested, inner))
    }

    fn type_of(&self, config: &Config, connector: &str) -> Option<&str> {
        let type_name = &config.get(connector)?.connector.type_name;
        self.registry.get(type_name).map(ConnectorType::name)
    }
}

/// Connects with the config in effect: what most commands begin with.
pub(crate) fn connect(globals: &Globals) -> Result<MultiConnector, Failure> {
    Setup::load(globals)?.connect()
}
