//! What routing adds to a bare `Connector::put`, and the Redis connector to a bare round trip, against their targets. Run
//! with `make bench`.

mod redis;

use std::cell::RefCell;

use bytes::Bytes;
use crossdock::connectors::LocalConnector;
use crossdock::{Connector, GetOptions, Hostname, Key, MultiConnector, MultiKey, Policy, PutOptions};
use crossdock_bench::{Contestant, Kind, last_of, spread, take_turns};

const ROUNDS: usize = 100;
const CALLS: u32 = 2_000;

/// One row: what is measured, over which baseline, and how many nanoseconds it may add.
struct Row<'a> {
    what: String,
    target: Option<f64>,
    contestant: Contestant<'a>,
}

fn main() {
    let object = Bytes::from(vec![7; 1_000]);
    let (plain, tagged) = (PutOptions::new(), PutOptions::new().subset_tags(["mine"]));
    let bare = LocalConnector::new();
    let keys: RefCell<Vec<Key>> = RefCell::default();
    let multi_keys: RefCell<Vec<(usize, MultiKey)>> = RefCell::default();

    let cases = [
        (1, Kind::Sizes, &plain, Some(50.0)),
        (4, Kind::Sizes, &plain, Some(50.0)),
        (4, Kind::Tags, &tagged, Some(50.0)),
        (4, Kind::Hosts, &plain, Some(50.0)),
        (256, Kind::Sizes, &plain, Some(1_000.0)),
        (256, Kind::Tags, &tagged, Some(1_000.0)),
        (256, Kind::Hosts, &plain, Some(1_000.0)),
    ];
    let mut multis: Vec<MultiConnector> = cases.iter().map(|(count, kind, ..)| last_of(*count, *kind)).collect();
    let here = Policy::builder().host_pattern(".*").build().expect("a valid policy");
    let dynamic = MultiConnector::builder()
        .connector("here", LocalConnector::new(), here)
        .hostname(Hostname::System)
        .build()
        .expect("one name");
    multis.push(dynamic);

    let mut rows = vec![Row {
        what: "bare put into local".to_owned(),
        target: None,
        contestant: Box::new(|| keys.borrow_mut().push(put(&bare, &object, &plain))),
    }];
    let described = cases.map(|(count, kind, options, target)| {
        (format!("put through {count} policies ({})", format!("{kind:?}").to_lowercase()), options, target)
    });
    let asked = ("put, hostname asked of the system".to_owned(), &plain, Some(50.0));
    for (index, (multi, (what, options, target))) in multis.iter().zip(described.into_iter().chain([asked])).enumerate()
    {
        let (keys, object) = (&multi_keys, &object);
        rows.push(Row {
            what,
            target,
            contestant: Box::new(move || {
                keys.borrow_mut().push((index, multi.put(object.clone(), options).expect("the last takes it")));
            }),
        });
    }

    let evict_all = || {
        keys.borrow_mut().drain(..).for_each(|key| bare.evict(&key).expect("local evicts"));
        multi_keys.borrow_mut().drain(..).for_each(|(index, key)| multis[index].evict(&key).expect("local evicts"));
    };
    let (names, mut contestants): (Vec<_>, Vec<_>) =
        rows.into_iter().map(|row| ((row.what, row.target), row.contestant)).unzip();
    let mut times = vec![Vec::new(); contestants.len()];
    for _ in 0..ROUNDS {
        for (all, one) in times.iter_mut().zip(take_turns(&mut contestants, 1, CALLS)) {
            all.extend(one);
        }
        // Between the rounds and outside of the times, so that the maps stay small.
        evict_all();
    }
    drop(contestants);

    println!("Routing: {ROUNDS} rounds in turn of {CALLS} puts of 1,000 bytes each, nanoseconds a put.");
    println!("Quartiles over the rounds; what is added to a bare put is taken round by round.\n");
    println!("{:<40} {:>24} {:>24} {:>8}", "", "25 % / median / 75 %", "added to a bare put", "target");
    let mut missed = 0;
    for ((what, target), figures) in names.iter().zip(&times) {
        let added: Vec<f64> = figures.iter().zip(&times[0]).map(|(time, bare)| time - bare).collect();
        let (all, more) = (spread(figures), spread(&added));
        let verdict = target.map_or(String::new(), |target| {
            let met = more[1] <= target;
            missed += usize::from(!met);
            format!("{:>8}  {}", format!("{target:.0}"), if met { "met" } else { "MISSED" })
        });
        println!("{what:<40} {:>24} {:>24} {verdict}", quartiles(all), quartiles(more));
    }
    reads(&bare, &multis[1], &object);
    missed += redis::compare();
    println!("\n{missed} targets missed");
}

/// A get is one look-up of the name more than a bare one, however many policies there are.
fn reads(bare: &LocalConnector, multi: &MultiConnector, object: &Bytes) {
    let key = put(bare, object, &PutOptions::new());
    let named = multi.put(object.clone(), &PutOptions::new()).expect("the last takes it");
    let mut contestants: Vec<Contestant<'_>> =
        vec![Box::new(|| drop(bare.get(&key, &GetOptions::default()))), Box::new(|| drop(multi.get(&named)))];
    let times = take_turns(&mut contestants, ROUNDS, CALLS);
    for (what, figures) in ["bare get from local", "get through 4 policies"].iter().zip(&times) {
        let added: Vec<f64> = figures.iter().zip(&times[0]).map(|(time, bare)| time - bare).collect();
        println!("{what:<40} {:>24} {:>24}", quartiles(spread(figures)), quartiles(spread(&added)));
    }
}

fn put(bare: &LocalConnector, object: &Bytes, options: &PutOptions) -> Key {
    bare.put(object.clone(), options).expect("local takes it")
}

fn quartiles([low, middle, high]: [f64; 3]) -> String {
    format!("{low:.0} / {middle:.0} / {high:.0}")
}
