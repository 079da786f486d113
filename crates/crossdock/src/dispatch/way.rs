//! The way of one object: from one connector that takes it to the next.

use super::Dispatcher;
use crate::error::Error;
use crate::policy::{Policy, Request};
use crate::router::HostTable;

/// Where an object has been, and where it may still go.
///
/// Connectors whose policies take it are asked in their order. Those that are skipped, as too many puts have failed there,
/// come last: before a put fails, each of them has been tried after all.
#[derive(Debug, Default)]
pub(super) struct Way {
    order: Order,
    /// Where the next one is looked for, in the order of the asking.
    position: usize,
    /// Whether nobody is left but those that were skipped.
    is_at_end: bool,
    /// Whether a connector with `fallback` has let it go on.
    fell_back: bool,
    skipped: Vec<usize>,
    /// How many of those have been tried after all.
    tried: usize,
}

/// In which order the connectors are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// As their policies say.
    #[default]
    Usual,
    /// Those that take every size, then the others.
    EverySizeFirst,
    /// Those that do not take every size.
    OthersLast,
}

impl Order {
    fn includes(self, policy: &Policy) -> bool {
        match self {
            Self::Usual => true,
            Self::EverySizeFirst => policy.takes_every_size(),
            Self::OthersLast => !policy.takes_every_size(),
        }
    }
}

/// The next step of a way.
pub(super) enum Step {
    /// To the connector at that place.
    Ask(usize),
    /// No further: the connector at that place is not to be tried now, and nothing may go past it.
    Refuse(usize),
    /// Nobody is left.
    End,
}

impl Way {
    pub(super) fn new(order: Order) -> Self {
        Self { order, ..Self::default() }
    }

    /// Nobody before that position in the order of the asking takes the object.
    pub(super) fn starting_at(position: usize) -> Self {
        Self { position, ..Self::default() }
    }

    /// Whether there may be another connector to go to, if the one of that policy fails.
    pub(super) fn may_go_on(&self, policy: &Policy) -> bool {
        policy.fallback() || self.skipped.len() > self.tried
    }

    /// Notes that the connector of that policy has failed. Whether the object may go anywhere else: not if something may
    /// have been written. An error that names keys has left objects behind, of which nobody would hear if the put then
    /// succeeded.
    pub(super) fn goes_on_after(&mut self, policy: &Policy, error: &Error) -> bool {
        if !error.kind().allows_fallback() || !error.keys().is_empty() {
            return false;
        }
        self.fell_back |= policy.fallback();
        self.is_at_end |= !policy.fallback();
        true
    }

    /// Those that were skipped and have not been tried after all.
    pub(super) fn left_out(&self) -> &[usize] {
        self.skipped.get(self.tried..).unwrap_or_default()
    }

    fn end_of_order(&mut self) {
        if self.order == Order::EverySizeFirst {
            (self.order, self.position) = (Order::OthersLast, 0);
        } else {
            self.is_at_end = true;
        }
    }

    #[cold]
    fn skip(&mut self, place: usize, policy: &Policy) {
        self.skipped.push(place);
        self.fell_back = true;
        self.is_at_end |= !policy.fallback();
    }
}

impl Dispatcher {
    /// Where the object goes next. `lets_through` says of a connector whether it is to be tried now.
    pub(super) fn step(
        &self,
        way: &mut Way,
        request: &Request<'_>,
        hosts: Option<&HostTable>,
        mut lets_through: impl FnMut(usize) -> bool,
    ) -> Step {
        while !way.is_at_end {
            let Some(candidate) = self.router.next(request, hosts, way.position) else {
                way.end_of_order();
                continue;
            };
            way.position = candidate.position + 1;
            let policy = &self.lanes[candidate.index].policy;
            if !way.order.includes(policy) {
                continue;
            }
            if lets_through(candidate.index) {
                return Step::Ask(candidate.index);
            }
            if !policy.fallback() && !way.fell_back {
                return Step::Refuse(candidate.index);
            }
            way.skip(candidate.index, policy);
        }
        way.tried += 1;
        way.skipped.get(way.tried - 1).map_or(Step::End, |place| Step::Ask(*place))
    }
}
