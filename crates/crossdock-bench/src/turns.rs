//! Contestants that take turns, so that what slows the machine down slows all of them down.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// What a contestant or a channel comes to. Errors are sentences for whoever reads the report.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

type Turn<'a> = Box<dyn FnMut(u32) -> Outcome<Duration> + 'a>;

/// Does one kind of work, so many times when it is its turn.
pub struct Contestant<'a> {
    /// Who it is, in points of curves: `crossdock`, `bare` and so on.
    pub name: &'static str,
    /// What it does, in points of curves: `put`, `get` and so on.
    pub operation: &'static str,
    /// The most calls in one turn.
    most: u32,
    turn: Turn<'a>,
}

impl<'a> Contestant<'a> {
    /// Its turn makes so many calls and says how long they took, without what it cleans up after them.
    pub fn new(
        name: &'static str,
        operation: &'static str,
        turn: impl FnMut(u32) -> Outcome<Duration> + 'a,
    ) -> Contestant<'a> {
        Self { name, operation, most: 100_000, turn: Box::new(turn) }
    }

    /// The same call again and again. The time has what dropping its answer takes.
    pub fn asking<T>(
        name: &'static str,
        operation: &'static str,
        mut call: impl FnMut() -> Outcome<T> + 'a,
    ) -> Contestant<'a> {
        Self::new(name, operation, move |calls| {
            let begin = Instant::now();
            for _ in 0..calls {
                drop(black_box(call()?));
            }
            Ok(begin.elapsed())
        })
    }

    /// Puts, and after all of a turn, outside of the time, removes what they made.
    pub fn putting<K>(
        name: &'static str,
        mut put: impl FnMut() -> Outcome<K> + 'a,
        mut evict: impl FnMut(K) -> Outcome + 'a,
    ) -> Contestant<'a>
    where
        K: 'a,
    {
        let mut made = Vec::new();
        Self::new(name, "put", move |calls| {
            made.reserve(calls as usize);
            let begin = Instant::now();
            for _ in 0..calls {
                made.push(put()?);
            }
            let took = begin.elapsed();
            made.drain(..).try_for_each(&mut evict)?;
            Ok(took)
        })
    }

    /// A steady stream: what each put has made is removed before the next one, outside of the time.
    pub fn streaming<K>(
        name: &'static str,
        mut put: impl FnMut() -> Outcome<K> + 'a,
        mut evict: impl FnMut(K) -> Outcome + 'a,
    ) -> Contestant<'a> {
        Self::new(name, "put", move |calls| {
            let mut took = Duration::ZERO;
            for _ in 0..calls {
                let begin = Instant::now();
                let made = put()?;
                took += begin.elapsed();
                evict(made)?;
            }
            Ok(took)
        })
    }

    /// The same contestant, with no more than so many calls (at least one) in a turn.
    #[must_use]
    pub fn at_most(mut self, calls: u32) -> Self {
        self.most = calls.max(1);
        self
    }

    /// How many calls its turn should make to last about `aim`, and how long such a turn takes with its cleaning up.
    fn calibrate(&mut self, aim: Duration) -> Outcome<(u32, Duration)> {
        let mut calls = 1;
        loop {
            let begin = Instant::now();
            let took = (self.turn)(calls)?;
            let whole = begin.elapsed();
            if took >= aim / 8 || calls == self.most {
                let planned = planned_calls(took / calls, aim, self.most);
                return Ok((planned, whole.mul_f64(f64::from(planned) / f64::from(calls))));
            }
            calls = calls.saturating_mul(8).min(self.most);
        }
    }
}

fn planned_calls(each: Duration, aim: Duration, most: u32) -> u32 {
    let calls = aim.as_secs_f64() / each.as_secs_f64().max(1e-9);
    (calls as u32).clamp(1, most)
}

/// How long contestants may be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// About how long all rounds together may take.
    pub whole: Duration,
    /// About how long one contestant's turn is to last.
    pub turn: Duration,
    /// The most rounds.
    pub rounds: usize,
}

impl Budget {
    /// However long they take, there are so many rounds, so that quartiles mean something.
    pub const FEWEST_ROUNDS: usize = 3;

    /// The same budget with so many times the time and the rounds.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self { whole: self.whole * factor, rounds: self.rounds * factor as usize, ..self }
    }

    fn rounds_of(&self, round: Duration) -> usize {
        let rounds = self.whole.as_secs_f64() / round.as_secs_f64().max(1e-9);
        (rounds as usize).clamp(Self::FEWEST_ROUNDS, self.rounds.max(Self::FEWEST_ROUNDS))
    }
}

/// Times contestants in turn: for each, its seconds a call in every round.
///
/// Finding out how many calls make a turn warms up. Every round has another order, and nobody has two turns in a row: the second
/// one would find everything in the caches.
///
/// # Errors
/// What a contestant says.
pub fn take_turns(contestants: &mut [Contestant<'_>], budget: &Budget) -> Outcome<Vec<Vec<f64>>> {
    let shapes: Vec<(u32, Duration)> =
        contestants.iter_mut().map(|one| one.calibrate(budget.turn)).collect::<Outcome<_>>()?;
    let rounds = budget.rounds_of(shapes.iter().map(|(_, whole)| *whole).sum());
    let mut times = vec![Vec::with_capacity(rounds); contestants.len()];
    let mut field: Vec<_> = contestants.iter_mut().zip(&shapes).zip(&mut times).collect();
    let mut order = Order::of(field.len());
    for _ in 0..rounds {
        for place in order.shuffle() {
            if let Some(((contestant, (calls, _)), times)) = field.get_mut(*place) {
                times.push((contestant.turn)(*calls)?.as_secs_f64() / f64::from(*calls));
            }
        }
    }
    Ok(times)
}

/// Who comes when: the same orders in every run.
struct Order {
    places: Vec<usize>,
    state: u64,
}

impl Order {
    fn of(count: usize) -> Self {
        Self { places: (0..count).collect(), state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// The order of the next round, which does not begin with whoever was last.
    fn shuffle(&mut self) -> &[usize] {
        let last = self.places.last().copied();
        for end in (1..self.places.len()).rev() {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // The upper bits are the random ones.
            let other = (self.state >> 33) as usize % (end + 1);
            self.places.swap(end, other);
        }
        if self.places.len() > 1 && self.places.first().copied() == last {
            self.places.swap(0, 1);
        }
        &self.places
    }
}

/// The quartiles of some figures, between which it interpolates.
#[must_use]
pub fn quartiles(figures: &[f64]) -> [f64; 3] {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|part| {
        let place = part * sorted.len().saturating_sub(1) as f64;
        let at = |place: f64| sorted.get(place as usize).copied().unwrap_or(f64::NAN);
        let (low, high) = (at(place.floor()), at(place.ceil()));
        low + (high - low) * place.fract()
    })
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[test]
    fn quartiles_lie_between_the_figures() {
        assert_eq!(quartiles(&[5.0, 1.0, 3.0, 2.0, 4.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(&[1.0, 2.0]), [1.25, 1.5, 1.75]);
        assert_eq!(quartiles(&[7.0]), [7.0; 3]);
        assert!(quartiles(&[]).iter().all(|figure| figure.is_nan()));
    }

    #[test]
    fn a_turn_has_as_many_calls_as_fill_it() {
        let aim = Duration::from_millis(10);
        assert_eq!(planned_calls(Duration::from_micros(100), aim, 5_000), 100);
        assert_eq!(planned_calls(Duration::from_nanos(10), aim, 5_000), 5_000);
        assert_eq!(planned_calls(Duration::from_secs(3), aim, 5_000), 1);
        assert_eq!(planned_calls(Duration::ZERO, aim, 5_000), 5_000);
    }

    #[test]
    fn rounds_follow_from_the_time_that_there_is() {
        let budget = Budget { whole: Duration::from_secs(1), turn: Duration::from_millis(10), rounds: 41 };
        assert_eq!(budget.rounds_of(Duration::from_millis(100)), 10);
        assert_eq!(budget.rounds_of(Duration::from_millis(1)), 41);
        assert_eq!(budget.rounds_of(Duration::from_secs(5)), Budget::FEWEST_ROUNDS);
        assert_eq!(budget.rounds_of(Duration::ZERO), 41);
    }

    /// A contestant that says how long it took, so that the test depends on no time.
    fn saying<'a>(name: &'static str, each: Duration, turns: &'a RefCell<Vec<&'static str>>) -> Contestant<'a> {
        Contestant::new(name, "put", move |calls| {
            turns.borrow_mut().push(name);
            Ok(each * calls)
        })
    }

    #[test]
    fn nobody_has_two_turns_in_a_row_and_everybody_has_one_in_each_round() {
        let (mut order, mut last, mut orders) = (Order::of(4), None, std::collections::HashSet::new());
        for _ in 0..1_000 {
            let round = order.shuffle().to_vec();
            assert_ne!(round.first().copied(), last);
            last = round.last().copied();
            let mut all = round.clone();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3]);
            orders.insert(round);
        }
        assert_eq!(orders.len(), 24);
        assert_eq!(Order::of(1).shuffle(), [0]);
        assert!(Order::of(0).shuffle().is_empty());
    }

    #[test]
    fn two_contestants_alternate() {
        let turns = RefCell::default();
        let (slow, fast) = (Duration::from_millis(20), Duration::from_millis(10));
        let mut contestants = [saying("slow", slow, &turns), saying("fast", fast, &turns)];
        let budget = Budget { whole: Duration::ZERO, turn: fast, rounds: 41 };
        let times = take_turns(&mut contestants, &budget).unwrap();
        assert_eq!(times, [vec![0.02; 3], vec![0.01; 3]]);
        drop(contestants);
        let turns = turns.into_inner();
        assert_eq!(turns[..2], ["slow", "fast"], "to find out how many calls they make");
        assert_eq!(turns.len(), 8);
        assert!(turns[2..].windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
    }

    #[test]
    fn what_was_put_is_removed_after_the_turn_or_after_each_call() {
        let (there, most) = (Cell::new(0), Cell::new(0));
        let put = || {
            there.set(there.get() + 1);
            most.set(most.get().max(there.get()));
            Ok(())
        };
        let evict = |()| {
            there.set(there.get() - 1);
            Ok(())
        };
        (Contestant::putting("bare", put, evict).turn)(5).unwrap();
        assert_eq!((there.get(), most.replace(0)), (0, 5));
        (Contestant::streaming("bare", put, evict).turn)(5).unwrap();
        assert_eq!((there.get(), most.get()), (0, 1));
    }

    #[test]
    fn a_contestant_that_fails_ends_the_round() {
        let failing = Contestant::asking("bare", "get", || Outcome::<()>::Err("no such object".into()));
        let budget = Budget { whole: Duration::ZERO, turn: Duration::ZERO, rounds: 3 };
        assert_eq!(take_turns(&mut [failing], &budget).unwrap_err().to_string(), "no such object");
    }
}
