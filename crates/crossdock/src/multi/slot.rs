//! One connector of a multi-connector: open, to be opened, or dormant.

use std::fmt;
use std::sync::Arc;

use once_cell::race::OnceBox;

use crate::config::ConnectorConfig;
use crate::connector::{Connector, Opener, Properties};
use crate::error::{Error, ErrorKind, Result};

pub(super) enum Slot {
    Open(Arc<dyn Connector>),
    /// Opened at first use. `OnceBox` has no lock that a fork could leave locked.
    Lazy(Arc<dyn Opener>, OnceBox<Arc<dyn Connector>>),
    /// Known, but not for this host.
    Dormant(ConnectorConfig),
}

impl Slot {
    /// A connector that is not open yet sleeps from now on.
    pub(super) fn fall_asleep(&mut self) {
        if let Self::Lazy(opener, _) = &self {
            *self = Self::Dormant(opener.config());
        }
    }

    pub(super) fn is_dormant(&self) -> bool {
        matches!(self, Self::Dormant(_))
    }

    /// The connector, if it is open already.
    pub(super) fn opened(&self) -> Option<&dyn Connector> {
        match self {
            Self::Open(connector) => Some(&**connector),
            Self::Lazy(_, opened) => opened.get().map(|connector| &**connector),
            Self::Dormant(_) => None,
        }
    }

    /// The connector, opened now if need be. A failure is not remembered.
    pub(super) fn connector(&self) -> Result<&dyn Connector> {
        match self {
            Self::Open(connector) => Ok(&**connector),
            Self::Lazy(opener, opened) => Ok(&**opened.get_or_try_init(|| opener.open().map(Box::new))?),
            Self::Dormant(_) => Err(Error::new(ErrorKind::Dormant, "the connector is dormant on this host")),
        }
    }

    /// What the connector can do, known without opening it; nothing of a dormant one.
    pub(super) fn properties(&self) -> Option<Properties> {
        match self {
            Self::Open(connector) => Some(connector.properties()),
            Self::Lazy(opener, _) => Some(opener.properties()),
            Self::Dormant(_) => None,
        }
    }

    pub(super) fn config(&self) -> ConnectorConfig {
        match self {
            Self::Open(connector) => connector.config(),
            Self::Lazy(opener, _) => opener.config(),
            Self::Dormant(config) => config.clone(),
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(connector) => connector.fmt(f),
            Self::Lazy(opener, opened) => match opened.get() {
                Some(connector) => connector.fmt(f),
                None => write!(f, "not opened yet: {:?}", opener.config().type_name),
            },
            Self::Dormant(config) => write!(f, "dormant: {:?}", config.type_name),
        }
    }
}
