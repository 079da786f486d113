//! For tests of connectors, this crate's and your own (feature `testing`).
//!
//! - [`conformance!`](crate::conformance) runs the whole contract of [`Connector`](crate::Connector) against a connector,
//!   one `#[test]` for each of its rules.
//! - [`FaultyConnector`] lets chosen calls fail, wait, or stop half-way.

pub mod conformance;
mod faulty;

pub use conformance::{RULES, Rule, Subject};
pub use faulty::{Effect, FaultyConnector, Operation};
