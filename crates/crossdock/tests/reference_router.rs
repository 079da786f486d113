//! A million random policies and requests: the router agrees with a plain one, written straight from ProxyStore's rules.

use std::collections::BTreeSet;

use crossdock::router::Lane;
use crossdock::{Policy, PutOptions, Request, Router};

/// A policy as ProxyStore's rules speak of it.
struct Plain {
    priority: i64,
    hosts: Option<Vec<&'static str>>,
    min: u64,
    max: u64,
    subset: Vec<&'static str>,
    superset: Vec<&'static str>,
}

const TAGS: [&str; 5] = ["a", "b", "c", "ab", ""];
const HOSTS: [&str; 5] = ["nid0042", "nid", "login1", "login12", "gpu-3.cluster"];
const PATTERNS: [&str; 5] = [r"nid\d+", "login1", "login.", ".*", r"gpu-\d\.cluster|nid"];

/// Whether the whole name matches, said without a regex engine.
fn matches(pattern: &str, host: &str) -> bool {
    match pattern {
        r"nid\d+" => host.strip_prefix("nid").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())),
        "login1" => host == "login1",
        "login." => host.len() == 6 && host.starts_with("login"),
        ".*" => true,
        r"gpu-\d\.cluster|nid" => host == "gpu-3.cluster" || host == "nid",
        other => panic!("no plain form of {other}"),
    }
}

impl Plain {
    fn random(rng: &mut fastrand::Rng) -> Self {
        let (x, y) = (rng.u64(0..20), rng.u64(0..20));
        Self {
            priority: rng.i64(-2..3),
            hosts: (rng.u8(0..3) == 0).then(|| some_of(rng, &PATTERNS)),
            min: if rng.bool() { 0 } else { x.min(y) },
            max: if rng.bool() { crossdock::MAX_SIZE_BYTES } else { x.max(y) },
            subset: some_of(rng, &TAGS),
            superset: if rng.bool() { Vec::new() } else { some_of(rng, &TAGS) },
        }
    }

    fn policy(&self) -> Policy {
        let policy = Policy::builder()
            .priority(self.priority)
            .min_size_bytes(self.min)
            .max_size_bytes(self.max)
            .subset_tags(self.subset.clone())
            .superset_tags(self.superset.clone());
        let policy = match self.hosts.as_deref() {
            None => policy,
            Some([one]) => policy.host_pattern(one),
            Some(several) => policy.host_patterns(several),
        };
        policy.build().unwrap()
    }

    fn is_valid(&self, size: Option<u64>, subset: &BTreeSet<&str>, superset: &BTreeSet<&str>, host: &str) -> bool {
        let allowed: BTreeSet<&str> = self.subset.iter().copied().collect();
        let demanded: BTreeSet<&str> = self.superset.iter().copied().collect();
        size.is_none_or(|size| self.min <= size && size <= self.max)
            && subset.is_subset(&allowed)
            && superset.is_superset(&demanded)
            && self.hosts.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, host)))
    }
}

fn some_of(rng: &mut fastrand::Rng, all: &[&'static str]) -> Vec<&'static str> {
    let mut some: Vec<&'static str> = all.iter().copied().filter(|_| rng.u8(0..3) == 0).collect();
    if rng.u8(0..8) == 0 {
        some.extend_from_within(..);
    }
    some
}

/// The highest priority first; of equal ones the first given.
fn plain_route(policies: &[Plain], valid: impl Fn(&Plain) -> bool) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (index, policy) in policies.iter().enumerate().filter(|(_, policy)| valid(policy)) {
        if best.is_none_or(|best| policy.priority > policies[best].priority) {
            best = Some(index);
        }
    }
    best
}

#[test]
fn a_million_random_requests_go_where_a_plain_router_sends_them() {
    const SETS: usize = 50_000;
    const REQUESTS: usize = 20;
    let seed = 20_261_122;
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut routed = 0;
    for _ in 0..SETS {
        let policies: Vec<Plain> = (0..rng.usize(0..6)).map(|_| Plain::random(&mut rng)).collect();
        let lanes = policies.iter().enumerate();
        let router = Router::new(lanes.map(|(index, plain)| Lane::new(index.to_string(), plain.policy())));
        for _ in 0..REQUESTS {
            let host = HOSTS[rng.usize(..HOSTS.len())];
            let size = rng.bool().then(|| rng.u64(0..22));
            let (subset, superset) = (some_of(&mut rng, &TAGS), some_of(&mut rng, &TAGS));
            let options = PutOptions::new().subset_tags(subset.clone()).superset_tags(superset.clone());
            let request = Request::for_put(size, &options);
            let (subset, superset) = (subset.into_iter().collect(), superset.into_iter().collect());

            let plain = plain_route(&policies, |policy| policy.is_valid(size, &subset, &superset, host));
            let table = router.host_table(host);
            let route = router.next(&request, Some(&table), 0).map(|candidate| candidate.index);
            assert_eq!(route, plain, "{request:?} on {host}");

            let explanation = router.explain(&request, host);
            assert_eq!(explanation.route.as_deref(), plain.map(|index| index.to_string()).as_deref());
            for verdict in &explanation.verdicts {
                let policy = &policies[verdict.connector.parse::<usize>().unwrap()];
                assert_eq!(verdict.accepts, policy.is_valid(size, &subset, &superset, host), "{verdict}");
                assert_eq!(verdict.accepts, verdict.reasons.is_empty());
            }
            routed += usize::from(plain.is_some());
        }
    }
    println!("{} requests, {routed} of them with a route: all agree", SETS * REQUESTS);
    assert!(routed > SETS * REQUESTS / 10, "the requests are of both kinds");
}
