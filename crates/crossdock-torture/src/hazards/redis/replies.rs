//! Replies, and parts of requests, are lost on the way: the server has done what it was asked for, and nobody hears of it.
//!
//! Whoever has time succeeds all the same, with one copy of each object. Whoever has none is told the keys.

use std::thread;
use std::time::Duration;

use crossdock::connectors::{RedisConnector, RedisOptions};
use crossdock_servers::{Fault, LossyProxy, Redis, Rule, Then};

use super::ledger::{Act, Ledger};
use super::{LIMIT, Servers};
use crate::hazards::{Hazard, Need};
use crate::rng::Rng;
use crate::run::{Outcome, Run};

pub(crate) const HAZARD: Hazard = Hazard {
    name: "redis-replies",
    looked_for: "second copies, lost keys, failed calls",
    small: 400,
    full: 10_000,
    needs: &[Need::Redis],
    run,
};

/// At the same time, as most of the time is spent waiting for the next attempt.
const CALLERS: u64 = 4;
/// The server is looked at after so many calls of a caller.
const CALLS: u64 = 50;
/// The deadline of a call whose reply never comes.
const SHORT: Duration = Duration::from_millis(200);

/// A network of one's own, and two connectors that it is the way of.
struct Caller {
    prefix: String,
    proxy: LossyProxy,
    patient: RedisConnector,
    hasty: RedisConnector,
    ledger: Ledger,
    rng: Rng,
    failed: Vec<String>,
}

fn run(run: &mut Run) -> Outcome {
    let server = Redis::start(&Servers::new())?;
    let mut callers: Vec<Caller> =
        (0..CALLERS).map(|caller| Caller::start(&server, caller, run.rng(caller))).collect::<Outcome<_>>()?;
    let mut faults = 0;
    while faults < run.count {
        run.about_to(&format!("after {faults} faults"))?;
        thread::scope(|scope| -> Outcome {
            let busy: Vec<_> = callers.iter_mut().map(|caller| scope.spawn(|| caller.call_on_and_on())).collect();
            busy.into_iter().try_for_each(|caller| caller.join().map_err(|_| "a caller panicked")?)
        })?;
        faults = 0;
        for caller in &mut callers {
            let when = format!("up to call {}", caller.proxy.counts()?.requests);
            caller.failed.drain(..).for_each(|failed| run.found(format!("{when}: {failed}")));
            caller.ledger.verify(run, &server, &caller.prefix, &when)?;
            caller.ledger.evict_all(run, &server, &caller.prefix, &when)?;
            faults += caller.proxy.counts()?.faults;
        }
    }
    run.did(faults);
    let mut all = Ledger::default();
    callers.into_iter().for_each(|caller| all.absorb(caller.ledger));
    run.note(format_args!("errors, all of callers without time: {}", all.errors()));
    Ok(())
}

impl Caller {
    fn start(server: &Redis, index: u64, rng: Rng) -> Outcome<Self> {
        let proxy = LossyProxy::before(server.address())?;
        let prefix = format!("caller-{index}:");
        let options = RedisOptions::new("127.0.0.1", proxy.address().port()).prefix(&prefix);
        let patient = RedisConnector::open(&options.clone().deadline(LIMIT))?;
        let hasty = RedisConnector::attach(&options.deadline(SHORT))?;
        Ok(Self { prefix, proxy, patient, hasty, ledger: Ledger::default(), rng, failed: Vec::new() })
    }

    fn call_on_and_on(&mut self) -> Outcome {
        (0..CALLS).try_for_each(|_| self.call_once())
    }

    fn call_once(&mut self) -> Outcome {
        let act = Act::any(&mut self.rng);
        let never = self.rng.one_in(100);
        let rule = if never { Rule::new(Fault::DropReply(Then::Silence)) } else { some_rule(&mut self.rng) };
        self.proxy.obey(rule.to(act.command()))?;
        let redis = if never { &self.hasty } else { &self.patient };
        if !self.ledger.act(act, redis, &mut self.rng) && !never {
            self.failed.push(format!("{act:?} failed"));
        }
        Ok(self.proxy.forget_rules()?)
    }
}

/// What an attempt or two meet; with the third, reads would have no attempt left.
fn some_rule(rng: &mut Rng) -> Rule {
    let fault = match rng.below(10) {
        0 => Fault::CutRequest(1 + rng.below(60)),
        1 => Fault::CutRequest(rng.below(100_000)),
        2 => Fault::CutReply(rng.below(8)),
        3 => Fault::CutReply(rng.below(20_000)),
        4..=6 => Fault::DropReply(Then::Reset),
        _ => Fault::DropReply(Then::Close),
    };
    Rule::new(fault).times(if rng.one_in(4) { 2 } else { 1 })
}
