//! Building a multi-connector from connectors, from what opens them, and from dormant configs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use once_cell::race::OnceBox;

use super::MultiConnector;
use super::slot::{Slot, State};
use crate::connector::{Connector, Opener};
use crate::error::{Error, ErrorKind, Result};
use crate::hostname::Hostname;
use crate::policy::Policy;
use crate::router::{Lane, Router};

/// Collects the connectors of a [`MultiConnector`]. The order of the calls breaks ties of priority.
#[derive(Default)]
#[must_use]
pub struct MultiConnectorBuilder {
    slots: Vec<Slot>,
    hostname: Option<Hostname>,
}

impl MultiConnectorBuilder {
    /// Adds a connector that is open, alone or shared in an [`Arc`]. It is never dormant: where its policy does not hold,
    /// it is read from, but not written to.
    pub fn connector(self, name: impl Into<Arc<str>>, connector: impl Connector + 'static, policy: Policy) -> Self {
        self.add(name.into(), policy, State::Open(Arc::new(connector)))
    }

    /// Adds a connector that is opened at first use. It is dormant if its policy does not hold on this host when
    /// [`build`](Self::build) is called.
    pub fn lazy(self, name: impl Into<Arc<str>>, opener: Arc<dyn Opener>, policy: Policy) -> Self {
        self.add(name.into(), policy, State::Lazy(opener, OnceBox::new()))
    }

    /// Where the hostname comes from. Default: [`Hostname::from_environment`].
    pub fn hostname(mut self, hostname: Hostname) -> Self {
        self.hostname = Some(hostname);
        self
    }

    fn add(mut self, name: Arc<str>, policy: Policy, state: State) -> Self {
        self.slots.push(Slot::new(name, policy, state));
        self
    }

    /// The multi-connector. Opens nothing.
    ///
    /// # Errors
    /// `InvalidConfig` if two connectors have the same name.
    pub fn build(self) -> Result<MultiConnector> {
        let hostname = self.hostname.unwrap_or_else(Hostname::from_environment);
        let here = hostname.get();
        let mut slots = self.slots;
        slots.iter_mut().for_each(|slot| slot.settle(&here));
        let mut by_name = HashMap::new();
        for (index, slot) in slots.iter().enumerate() {
            if by_name.insert(slot.name.clone(), index).is_some() {
                let message = format!("two connectors are called {:?}; give each a name of its own", slot.name);
                return Err(Error::new(ErrorKind::InvalidConfig, message));
            }
        }
        let lanes = slots.iter().map(|slot| Lane {
            name: slot.name.clone(),
            policy: slot.policy.clone(),
            dormant: slot.is_dormant(),
        });
        let router = Router::new(lanes);
        let hosts = ArcSwap::from_pointee(router.host_table(here));
        Ok(MultiConnector { slots, by_name, router, hostname, hosts, closed: AtomicBool::new(false) })
    }
}
