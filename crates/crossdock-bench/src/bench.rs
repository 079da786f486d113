//! One run: how much is measured, and what has been found.

use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::connectors::FileOptions;
use crossdock::{Connector, GetOptions, Key, MultiConnector, MultiKey, PutOptions};
use crossdock_bench::{Axis, Budget, Contestant, Outcome, Point, Report, Row, Target, as_size, quartiles, take_turns};

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) form: &'static str,
    /// For each operation with each size.
    pub(crate) budget: Budget,
    /// A size that would take longer is left out.
    pub(crate) longest: Duration,
    /// In bytes.
    pub(crate) sizes: &'static [u64],
    /// The largest size where objects are copied by way of a server or a disk.
    pub(crate) largest_moved: u64,
    /// The size whose peak of memory is taken, in bytes.
    pub(crate) peak: u64,
    /// Whether batches are measured, too, that take a second each.
    pub(crate) slow_batches: bool,
}

impl Plan {
    pub(crate) const FULL: Self = Self {
        form: "full",
        budget: Budget { whole: Duration::from_millis(800), turn: Duration::from_millis(8), rounds: 41 },
        longest: Duration::from_secs(40),
        sizes: &[10, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000],
        largest_moved: 1_000_000_000,
        peak: 1_000_000_000,
        slow_batches: true,
    };
    pub(crate) const SHORT: Self = Self {
        form: "short",
        budget: Budget { whole: Duration::from_millis(100), turn: Duration::from_millis(2), rounds: 15 },
        longest: Duration::from_secs(4),
        sizes: &[10, 1_000, 100_000, 1_000_000, 100_000_000],
        largest_moved: 1_000_000,
        peak: 250_000_000,
        slow_batches: false,
    };
}

/// A plan, and what came of it so far.
pub(crate) struct Bench {
    pub(crate) plan: Plan,
    pub(crate) report: Report,
}

/// What a row is held against: the operation, the size, the other.
pub(crate) type Targets = fn(&str, u64, &str) -> Option<Target>;

/// A channel without targets.
pub(crate) fn no_target(_: &str, _: u64, _: &str) -> Option<Target> {
    None
}

impl Bench {
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan, report: Report::new(plan.form) }
    }

    /// Measures a channel. What it does not come to is told rather than the end of the run.
    pub(crate) fn channel(&mut self, name: &str, measure: impl FnOnce(&mut Self) -> Outcome) {
        let begin = Instant::now();
        if let Err(why) = measure(self) {
            self.absent(name, &why.to_string());
        }
        eprintln!("{name}: measured in {:.0} s", begin.elapsed().as_secs_f64());
    }

    pub(crate) fn absent(&mut self, what: &str, why: &str) {
        self.report.absent.push(format!("{what}: {why}"));
    }

    /// Whether the machine has so much memory to spare; where it has not, that is told.
    pub(crate) fn has_memory(&mut self, what: &str, bytes: u64) -> bool {
        let has = crossdock_bench::free_memory() >= bytes;
        if !has {
            self.absent(what, &format!("needs {} of free memory", as_size(bytes)));
        }
        has
    }

    /// Measures every size up to the largest one for which there are time and memory: so many times the object's bytes.
    pub(crate) fn each_size(
        &mut self,
        name: &str,
        largest: u64,
        times: u64,
        mut measure: impl FnMut(&mut Self, u64) -> Outcome,
    ) -> Outcome {
        let sizes = self.plan.sizes.iter().copied().filter(|size| *size <= largest);
        let mut before = None;
        for size in sizes {
            let what = format!("{name}, {}", as_size(size));
            let expected = before.map_or(Duration::ZERO, |before| expected(before, size, self.plan.budget.whole));
            if expected > self.plan.longest {
                self.absent(&what, &format!("would take about {:.0} s", expected.as_secs_f64()));
                break;
            }
            if self.has_memory(&what, times * size) {
                let begin = Instant::now();
                measure(self, size)?;
                before = Some((size, begin.elapsed()));
            }
        }
        Ok(())
    }

    /// Puts an object of that size into all stores, then gets it: a point of each curve, and a row for ours beside each other.
    pub(crate) fn puts_and_gets(&mut self, channel: &Channel<'_>, size: u64) -> Outcome {
        let object = object_of(size);
        let mut puts: Vec<Contestant<'_>> =
            channel.stores.iter().map(|store| putting(&**store, &object, channel)).collect();
        self.measure(channel, size, &mut puts)?;
        drop(puts);
        let held = channel.stores.iter().map(|store| store.put(&object)).collect::<Outcome<Vec<Held>>>()?;
        drop(object);
        let mut gets = Vec::new();
        for (store, held) in channel.stores.iter().zip(&held) {
            let name = store.name();
            gets.push(Contestant::asking(name, "get", move || require_size(name, store.get(held)?, size)));
            if store.has_views() {
                let view = move || require_size(name, store.view(held)?, size);
                gets.push(Contestant::asking(name, "get as a view", view));
            }
        }
        self.measure(channel, size, &mut gets)?;
        drop(gets);
        channel.stores.iter().zip(held).try_for_each(|(store, held)| store.evict(held))
    }

    /// Times contestants: ours beside each other that does the same, views beside gets.
    pub(crate) fn measure(&mut self, channel: &Channel<'_>, size: u64, contestants: &mut [Contestant<'_>]) -> Outcome {
        let times = take_turns(contestants, &self.plan.budget)?;
        let names = contestants.iter().map(|contestant| (contestant.name, contestant.operation));
        self.curve(channel, size, names.zip(times).collect());
        Ok(())
    }

    /// Adds points and rows of figures that were taken in turn.
    pub(crate) fn curve(
        &mut self,
        channel: &Channel<'_>,
        size: u64,
        times: Vec<((&'static str, &'static str), Vec<f64>)>,
    ) {
        for ((contestant, operation), seconds) in &times {
            self.report.points.push(Point {
                channel: channel.name.to_owned(),
                contestant,
                operation: (*operation).to_owned(),
                x: Axis::Bytes,
                at: size,
                seconds: quartiles(seconds),
            });
            if !contestant.starts_with(OURS) {
                continue;
            }
            for ((name, _), theirs) in times.iter().filter(|((name, _), _)| !name.starts_with(OURS)) {
                let is_alone = *contestant == OURS;
                // What routing adds is seen beside what is barest.
                if !is_alone && *name != BARE {
                    continue;
                }
                let other = if *name == BARE { channel.bare } else { name };
                let through = if is_alone { "" } else { ", through Multi" };
                let target = if is_alone { (channel.targets)(operation, size, name) } else { None };
                let what = format!("{operation}, {}{through}", as_size(size));
                let row = Row::new(channel.name, what, other, theirs, seconds, target);
                self.report.rows.push(Row { is_in_curve: true, ..row });
            }
        }
    }

    /// Puts a batch of so many objects of so many bytes into all stores, then gets it: a row for ours beside each other.
    pub(crate) fn batches(&mut self, channel: &Channel<'_>, batch: (usize, u64), target: Option<Target>) -> Outcome {
        let (count, size) = batch;
        let objects: Vec<Bytes> = (0..count).map(|_| object_of(size)).collect();
        let mut puts = Vec::new();
        for store in &channel.stores {
            let evict = |held: Vec<Held>| store.evict_batch(held);
            puts.push(Contestant::putting(store.name(), || store.put_batch(&objects), evict).at_most(16));
        }
        self.batch(channel, batch, "put_batch", &mut puts, target)?;
        drop(puts);
        let held = channel.stores.iter().map(|store| store.put_batch(&objects)).collect::<Outcome<Vec<_>>>()?;
        let mut gets = Vec::new();
        for (store, held) in channel.stores.iter().zip(&held) {
            require_size(store.name(), store.get_batch(held)?, count as u64 * size)?;
            gets.push(Contestant::asking(store.name(), "get_batch", || store.get_batch(held)));
        }
        self.batch(channel, batch, "get_batch", &mut gets, target)?;
        drop(gets);
        channel.stores.iter().zip(held).try_for_each(|(store, held)| store.evict_batch(held))
    }

    fn batch(
        &mut self,
        channel: &Channel<'_>,
        (count, size): (usize, u64),
        operation: &str,
        contestants: &mut [Contestant<'_>],
        target: Option<Target>,
    ) -> Outcome {
        // Cleaning up, one object after the other, takes most of it.
        let times = take_turns(contestants, &self.plan.budget.times(2))?;
        let all = || contestants.iter().zip(&times);
        for (_, ours) in all().filter(|(contestant, _)| contestant.name == OURS) {
            for (other, theirs) in all().filter(|(contestant, _)| contestant.name != OURS) {
                let name = if other.name == BARE { channel.bare } else { other.name };
                let what = format!("{operation}, {count} x {}{}", as_size(size), channel.note);
                self.report.rows.push(Row::new(channel.name, what, name, theirs, ours, target));
            }
        }
        Ok(())
    }
}

/// How long a size takes, by how long a smaller one took. Where that was short, it took what it was given, for puts and for gets,
/// whatever its size.
fn expected((smaller, took): (u64, Duration), size: u64, given: Duration) -> Duration {
    if smaller < TELLING {
        return Duration::ZERO;
    }
    took.saturating_sub(2 * given).mul_f64(size as f64 / smaller as f64)
}

/// From so many bytes on, time grows with the size.
const TELLING: u64 = 10_000_000;

/// How our contestants' names begin.
pub(crate) const OURS: &str = "crossdock";
/// The contestant without anything around it.
pub(crate) const BARE: &str = "bare";

/// Stores that do the same in the same place.
pub(crate) struct Channel<'a> {
    pub(crate) name: &'a str,
    /// What the bare one is.
    pub(crate) bare: &'a str,
    pub(crate) stores: Vec<Box<dyn Store + 'a>>,
    pub(crate) targets: Targets,
    /// What else is to be said of its batches.
    pub(crate) note: &'a str,
    /// Whether objects that are put are copied, so that not too many may lie around.
    pub(crate) copies: bool,
}

/// What an object is found by.
pub(crate) enum Held {
    Key(Key),
    Multi(MultiKey),
    Name(String),
}

impl Held {
    pub(crate) fn key(&self) -> Outcome<&Key> {
        if let Self::Key(key) = self { Ok(key) } else { Err("this is no key of a connector".into()) }
    }

    pub(crate) fn name(&self) -> Outcome<&str> {
        if let Self::Name(name) = self { Ok(name) } else { Err("this is no name".into()) }
    }

    fn multi_key(&self) -> Outcome<&MultiKey> {
        if let Self::Multi(key) = self { Ok(key) } else { Err("this is no key of a multi-connector".into()) }
    }

    /// A name of 36 bytes that was not there before.
    pub(crate) fn new_name() -> String {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        format!("{:036}", COUNT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What takes part: it puts under new names, and drops what it gets.
pub(crate) trait Store {
    /// Who it is.
    fn name(&self) -> &'static str;
    fn put(&self, object: &Bytes) -> Outcome<Held>;
    /// How many bytes it got.
    fn get(&self, held: &Held) -> Outcome<u64>;
    fn evict(&self, held: Held) -> Outcome;

    fn has_views(&self) -> bool {
        false
    }

    fn view(&self, held: &Held) -> Outcome<u64> {
        self.get(held)
    }

    fn put_batch(&self, objects: &[Bytes]) -> Outcome<Vec<Held>> {
        objects.iter().map(|object| self.put(object)).collect()
    }

    fn get_batch(&self, held: &[Held]) -> Outcome<u64> {
        held.iter().map(|held| self.get(held)).sum()
    }

    fn evict_batch(&self, held: Vec<Held>) -> Outcome {
        held.into_iter().try_for_each(|held| self.evict(held))
    }
}

/// One of our connectors.
pub(crate) struct Own<C> {
    pub(crate) connector: C,
    /// Whether a get hands out bytes unless it is asked for a view.
    pub(crate) has_views: bool,
}

impl<C: Connector> Own<C> {
    fn got(&self, held: &Held, options: &GetOptions) -> Outcome<u64> {
        let object = self.connector.get(held.key()?, options)?;
        Ok(object.ok_or("the object is not there")?.len() as u64)
    }
}

impl<C: Connector> Store for Own<C> {
    fn name(&self) -> &'static str {
        OURS
    }

    fn put(&self, object: &Bytes) -> Outcome<Held> {
        Ok(Held::Key(self.connector.put(object.clone(), &PutOptions::default())?))
    }

    fn get(&self, held: &Held) -> Outcome<u64> {
        self.got(held, &GetOptions::default())
    }

    fn evict(&self, held: Held) -> Outcome {
        Ok(self.connector.evict(held.key()?)?)
    }

    fn has_views(&self) -> bool {
        self.has_views
    }

    fn view(&self, held: &Held) -> Outcome<u64> {
        self.got(held, &GetOptions::view())
    }

    fn put_batch(&self, objects: &[Bytes]) -> Outcome<Vec<Held>> {
        let keys = self.connector.put_batch(objects, &PutOptions::default())?;
        Ok(keys.into_iter().map(Held::Key).collect())
    }

    fn get_batch(&self, held: &[Held]) -> Outcome<u64> {
        let keys = held.iter().map(|held| held.key().cloned()).collect::<Outcome<Vec<_>>>()?;
        let objects = self.connector.get_batch(&keys, &GetOptions::default())?;
        Ok(objects.iter().flatten().map(|object| object.len() as u64).sum())
    }
}

/// A connector behind a policy.
pub(crate) struct Routed(pub(crate) MultiConnector);

impl Store for Routed {
    fn name(&self) -> &'static str {
        "crossdock Multi"
    }

    fn put(&self, object: &Bytes) -> Outcome<Held> {
        Ok(Held::Multi(self.0.put(object.clone(), &PutOptions::default())?))
    }

    fn get(&self, held: &Held) -> Outcome<u64> {
        Ok(self.0.get(held.multi_key()?)?.ok_or("the object is not there")?.len() as u64)
    }

    fn evict(&self, held: Held) -> Outcome {
        Ok(self.0.evict(held.multi_key()?)?)
    }
}

/// So many bytes of objects may lie around before they are removed.
const LYING_AROUND: u64 = 64_000_000;

fn putting<'a>(store: &'a dyn Store, object: &'a Bytes, channel: &Channel<'_>) -> Contestant<'a> {
    let most = if channel.copies { LYING_AROUND / object.len().max(1) as u64 } else { u64::MAX };
    let puts = Contestant::putting(store.name(), || store.put(object), |held| store.evict(held));
    puts.at_most(most.clamp(1, 2_000) as u32)
}

pub(crate) fn require_size(who: &str, got: u64, wanted: u64) -> Outcome {
    if got == wanted { Ok(()) } else { Err(format!("{who} gave {got} bytes of {wanted}").into()) }
}

/// Bytes that differ from place to place, so that nobody can get by with less.
pub(crate) fn object_of(size: u64) -> Bytes {
    let mut state = size ^ 0x9e37_79b9_7f4a_7c15;
    let mut bytes = vec![0; size as usize];
    for part in bytes.chunks_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        part.copy_from_slice(&state.to_le_bytes()[..part.len()]);
    }
    bytes.into()
}

/// Objects in files below that directory, removed when the connector is closed.
pub(crate) fn file_options(dir: &std::path::Path) -> FileOptions {
    FileOptions::new(dir).clear(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_small_objects_are_given_says_nothing_of_large_ones() {
        let given = Duration::from_secs(1);
        let after = |seconds| expected((100_000_000, Duration::from_secs(seconds)), 1_000_000_000, given);
        assert_eq!(after(2), Duration::ZERO);
        assert_eq!(after(5), Duration::from_secs(30));
        assert_eq!(expected((10, Duration::from_secs(5)), 1_000, given), Duration::ZERO);
    }

    #[test]
    fn objects_have_their_size_and_differ_from_place_to_place() {
        let object = object_of(1_001);
        assert_eq!((object.len(), object_of(0).len()), (1_001, 0));
        assert_ne!(object[..8], object[8..16]);
    }

    #[test]
    fn names_are_new_and_36_bytes_long() {
        let names = [Held::new_name(), Held::new_name()];
        assert_ne!(names[0], names[1]);
        assert_eq!(names.map(|name| name.len()), [36; 2]);
    }
}
