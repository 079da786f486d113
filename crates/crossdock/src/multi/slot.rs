//! One named connector of a multi-connector: open, to be opened, or dormant.

use std::fmt;
use std::sync::Arc;

use once_cell::race::OnceBox;

use crate::config::{ConnectorConfig, Entry};
use crate::connector::{Connector, Opener, Properties};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Policy;

pub(super) struct Slot {
    pub(super) name: Arc<str>,
    pub(super) policy: Policy,
    state: State,
}

pub(super) enum State {
    Open(Arc<dyn Connector>),
    /// Opened at first use. `OnceBox` has no lock that a fork could leave locked.
    Lazy(Arc<dyn Opener>, OnceBox<Arc<dyn Connector>>),
    /// Known, but not for this host.
    Dormant(ConnectorConfig),
}

impl Slot {
    pub(super) fn new(name: Arc<str>, policy: Policy, state: State) -> Self {
        Self { name, policy, state }
    }

    /// Decides whether a connector that is not open yet sleeps on the host of that name.
    pub(super) fn settle(&mut self, hostname: &str) {
        let State::Lazy(opener, _) = &self.state else { return };
        if self.policy.is_valid_on_host(hostname) != Ok(true) {
            self.state = State::Dormant(opener.config());
        }
    }

    /// Whether a put that failed here may go to the next connector. An error that names keys has left objects behind,
    /// which nobody would hear of if the put then succeeded.
    pub(super) fn may_go_on(&self, error: &Error) -> bool {
        self.policy.fallback() && error.kind().allows_fallback() && error.keys().is_empty()
    }

    pub(super) fn is_dormant(&self) -> bool {
        matches!(self.state, State::Dormant(_))
    }

    /// The connector, if it is open already.
    pub(super) fn opened(&self) -> Option<&dyn Connector> {
        match &self.state {
            State::Open(connector) => Some(&**connector),
            State::Lazy(_, opened) => opened.get().map(|connector| &**connector),
            State::Dormant(_) => None,
        }
    }

    /// The connector, opened now if need be. A failure is not remembered.
    pub(super) fn connector(&self) -> Result<&dyn Connector> {
        match &self.state {
            State::Open(connector) => Ok(&**connector),
            State::Lazy(opener, opened) => Ok(&**opened.get_or_try_init(|| opener.open().map(Box::new))?),
            State::Dormant(_) => Err(Error::new(ErrorKind::Dormant, "the connector is dormant on this host")),
        }
    }

    /// What the connector can do, known without opening it; nothing of a dormant one.
    pub(super) fn properties(&self) -> Option<Properties> {
        match &self.state {
            State::Open(connector) => Some(connector.properties()),
            State::Lazy(opener, _) => Some(opener.properties()),
            State::Dormant(_) => None,
        }
    }

    pub(super) fn dormant_error(&self, hostname: &str) -> Error {
        let why = match self.policy.host_reason(hostname) {
            Some(reason) => format!("{reason}; read it on a host that does"),
            None => "its host pattern did not match when the config was loaded; load it again".to_owned(),
        };
        Error::new(ErrorKind::Dormant, format!("the connector is dormant on this host: {why}"))
            .in_connector(self.name.clone())
    }

    pub(super) fn entry(&self) -> Entry {
        let connector = match &self.state {
            State::Open(connector) => connector.config(),
            State::Lazy(opener, _) => opener.config(),
            State::Dormant(config) => config.clone(),
        };
        Entry { name: self.name.clone(), connector, policy: self.policy.clone(), line: 0 }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Open(connector) => connector.fmt(f),
            State::Lazy(opener, opened) => match opened.get() {
                Some(connector) => connector.fmt(f),
                None => write!(f, "not opened yet: {:?}", opener.config().type_name),
            },
            State::Dormant(config) => write!(f, "dormant: {:?}", config.type_name),
        }
    }
}
