//! What the benchmarks share: policy sets of a given size, and contestants timed in turn.

use std::hint::black_box;
use std::time::Instant;

use crossdock::connectors::LocalConnector;
use crossdock::{Hostname, MultiConnector, Policy};

/// A multi-connector of `count` policies of which only the last takes an object of 1,000 bytes: the worst case.
///
/// # Panics
/// Never: the policies are valid.
#[must_use]
pub fn last_of(count: u64, kind: Kind) -> MultiConnector {
    let connector = LocalConnector::new;
    let mut builder = MultiConnector::builder().hostname(Hostname::Fixed("nid0042".to_owned()));
    for n in 1..count {
        let policy = Policy::builder().priority(1);
        let policy = match kind {
            Kind::Sizes => policy.min_size_bytes(1_000_000 + n),
            Kind::Tags => policy.subset_tags(["other"]).superset_tags([format!("demanded-{n}")]),
            Kind::Hosts => policy.host_pattern(&format!(r"login\d+-{n}")),
        };
        builder = builder.connector(format!("no-{n}"), connector(), policy.build().expect("a valid policy"));
    }
    let last = Policy::builder().subset_tags(["mine"]).build().expect("a valid policy");
    builder.connector("last", connector(), last).build().expect("names are distinct")
}

/// By what the policies refuse the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By its size.
    Sizes,
    /// By its tags.
    Tags,
    /// By the host's name.
    Hosts,
}

/// A contestant: does one unit of work.
pub type Contestant<'a> = Box<dyn FnMut() + 'a>;

/// Times contestants in turn, so that what slows the machine down slows all of them down.
///
/// Each round gives every contestant `calls` calls. The result has, for each contestant, its nanoseconds a call in every
/// round.
pub fn take_turns(contestants: &mut [Contestant<'_>], rounds: usize, calls: u32) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::with_capacity(rounds); contestants.len()];
    for round in 0..=rounds {
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            let start = Instant::now();
            for _ in 0..calls {
                black_box(&mut *contestant)();
            }
            let each = start.elapsed().as_nanos() as f64 / f64::from(calls);
            // The first round warms up.
            if round > 0 {
                times.push(each);
            }
        }
    }
    times
}

/// The smallest, the middle and the largest of some figures.
#[must_use]
pub fn spread(figures: &[f64]) -> [f64; 3] {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| sorted.get(part * sorted.len().saturating_sub(1) / 4).copied().unwrap_or(f64::NAN);
    [at(1), at(2), at(3)]
}
