//! What routing adds to a bare `Connector::put`.

use bytes::Bytes;
use crossdock::connectors::LocalConnector;
use crossdock::{Connector, GetOptions, Hostname, MultiConnector, MultiKey, Policy, PutOptions};
use crossdock_bench::{Axis, Contestant, Kind, Outcome, Point, Row, Target, last_of, policies, quartiles, take_turns};

use crate::bench::Bench;

const NAME: &str = "Routing";
const COUNTS: [u64; 5] = [1, 4, 16, 64, 256];
/// In bytes.
const SIZE: usize = 1_000;
/// A map of so many objects stays in the caches, and the contestants' maps are alike.
const MOST_CALLS: u32 = 2_000;

/// What so many policies may add, in nanoseconds.
fn allowed(count: u64) -> Option<u32> {
    match count {
        1 | 4 => Some(50),
        256 => Some(1_000),
        _ => None,
    }
}

/// One line of the table.
struct Case {
    what: String,
    /// By what, and by how many policies, where it is a point of a curve.
    place: Option<(Kind, u64)>,
    allowed: Option<u32>,
    multi: MultiConnector,
    options: PutOptions,
}

impl Case {
    fn of(kind: Kind, count: u64) -> Self {
        let options = PutOptions::new();
        Self {
            what: format!("added by {} ({})", policies(count), kind.as_str()),
            place: Some((kind, count)),
            allowed: allowed(count),
            multi: last_of(count, kind),
            options: if kind == Kind::Tags { options.subset_tags(["mine"]) } else { options },
        }
    }

    fn asking_the_system() -> Outcome<Self> {
        let anywhere = Policy::builder().host_pattern(".*").build()?;
        let multi = MultiConnector::builder()
            .connector("here", LocalConnector::new(), anywhere)
            .hostname(Hostname::System)
            .build()?;
        Ok(Self {
            what: "added by 1 policy, hostname asked of the system".to_owned(),
            place: None,
            allowed: allowed(1),
            multi,
            options: PutOptions::new(),
        })
    }
}

pub(crate) fn measure(bench: &mut Bench) -> Outcome {
    let mut cases: Vec<Case> =
        Kind::ALL.iter().flat_map(|kind| COUNTS.iter().map(|count| Case::of(*kind, *count))).collect();
    cases.push(Case::asking_the_system()?);
    let (object, plain, bare) = (Bytes::from(vec![7; SIZE]), PutOptions::new(), LocalConnector::new());
    let bare_put = || Ok(bare.put(object.clone(), &plain)?);
    let mut contestants = vec![Contestant::putting("bare", bare_put, |key| Ok(bare.evict(&key)?)).at_most(MOST_CALLS)];
    for case in &cases {
        let put = || Ok(case.multi.put(object.clone(), &case.options)?);
        let evict = |key: MultiKey| Ok(case.multi.evict(&key)?);
        contestants.push(Contestant::putting("crossdock Multi", put, evict).at_most(MOST_CALLS));
    }
    let times = take_turns(&mut contestants, &bench.plan.budget.times(8))?;
    drop(contestants);
    let Some((bare_times, times)) = times.split_first() else { return Ok(()) };
    for (case, times) in cases.iter().zip(times) {
        // Round by round.
        let added: Vec<f64> = times.iter().zip(bare_times).map(|(time, bare)| time - bare).collect();
        if let Some((kind, count)) = case.place {
            bench.report.points.push(Point {
                channel: NAME.to_owned(),
                contestant: "crossdock Multi",
                operation: format!("added by {}", kind.as_str()),
                x: Axis::Policies,
                at: count,
                seconds: quartiles(&added),
            });
        }
        if let Some(allowed) = case.allowed {
            let bound = vec![f64::from(allowed) * 1e-9; added.len()];
            let target = Some(Target::AtMost(1.0));
            bench.report.rows.push(Row::new(NAME, case.what.clone(), "what is allowed", &bound, &added, target));
        }
        if case.place == Some((Kind::Sizes, 4)) {
            let what = "put through 4 policies".to_owned();
            bench.report.rows.push(Row::new(NAME, what, "a bare put", bare_times, times, None));
        }
    }
    gets(bench, &bare, &last_of(4, Kind::Sizes), object)
}

/// A get is one look-up of the name more than a bare one, however many policies there are.
fn gets(bench: &mut Bench, bare: &LocalConnector, multi: &MultiConnector, object: Bytes) -> Outcome {
    let (plain, options) = (PutOptions::new(), GetOptions::default());
    let (key, named) = (bare.put(object.clone(), &plain)?, multi.put(object, &plain)?);
    let mut contestants = [
        Contestant::asking("bare", "get", || Ok(bare.get(&key, &options)?)),
        Contestant::asking("crossdock Multi", "get", || Ok(multi.get(&named)?)),
    ];
    let times = take_turns(&mut contestants, &bench.plan.budget)?;
    if let [theirs, ours] = &times[..] {
        bench.report.rows.push(Row::new(NAME, "get through 4 policies".to_owned(), "a bare get", theirs, ours, None));
    }
    Ok(())
}
