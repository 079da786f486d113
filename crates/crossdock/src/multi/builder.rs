//! Building a multi-connector from connectors, from what opens them, and from dormant configs.

use std::sync::Arc;

use once_cell::race::OnceBox;

use super::MultiConnector;
use super::slot::Slot;
use crate::connector::{Connector, Opener};
use crate::dispatch::{Clock, Dispatcher};
use crate::error::Result;
use crate::hostname::Hostname;
use crate::policy::Policy;
use crate::router::Lane;

/// Collects the connectors of a [`MultiConnector`]. The order of the calls breaks ties of priority.
#[derive(Default)]
#[must_use]
pub struct MultiConnectorBuilder {
    lanes: Vec<Lane>,
    slots: Vec<Slot>,
    hostname: Option<Hostname>,
    clock: Option<Clock>,
}

impl MultiConnectorBuilder {
    /// Adds a connector that is open, alone or shared in an [`Arc`]. It is never dormant: where its policy does not hold,
    /// it is read from, but not written to.
    pub fn connector(self, name: impl Into<Arc<str>>, connector: impl Connector + 'static, policy: Policy) -> Self {
        self.add(name.into(), policy, Slot::Open(Arc::new(connector)))
    }

    /// Adds a connector that is opened at first use. It is dormant if its policy does not hold on this host when
    /// [`build`](Self::build) is called.
    pub fn lazy(self, name: impl Into<Arc<str>>, opener: Arc<dyn Opener>, policy: Policy) -> Self {
        self.add(name.into(), policy, Slot::Lazy(opener, OnceBox::new()))
    }

    /// Where the hostname comes from. Default: [`Hostname::from_environment`].
    pub fn hostname(mut self, hostname: Hostname) -> Self {
        self.hostname = Some(hostname);
        self
    }

    /// By which clock connectors that are skipped are tried again: for tests. Default: that of the system.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    fn add(mut self, name: Arc<str>, policy: Policy, slot: Slot) -> Self {
        self.lanes.push(Lane::new(name, policy));
        self.slots.push(slot);
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
        let settle = |(lane, slot): (Lane, &mut Slot)| {
            let holds = lane.policy.is_valid_on_host(&here) == Ok(true);
            if !holds {
                slot.fall_asleep();
            }
            lane.dormant(slot.is_dormant())
        };
        let lanes = self.lanes.into_iter().zip(&mut slots).map(settle).collect();
        let dispatcher = Dispatcher::new(lanes, hostname)?;
        let dispatcher = match self.clock {
            Some(clock) => dispatcher.clock(clock),
            None => dispatcher,
        };
        Ok(MultiConnector { dispatcher, slots })
    }
}
