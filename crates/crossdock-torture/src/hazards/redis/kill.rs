//! A server with an append-only file is killed while callers are busy with it, and started again after a while.
//!
//! What was acknowledged is there afterwards (but for the exception at [`Ledger`]), and what is there was acknowledged or
//! told of by an error. The callers hear
//! of a server that is at fault, never of anything else, and go on by themselves.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossdock::connectors::RedisConnector;
use crossdock_servers::{Aof, Redis};

use super::ledger::{Act, Ledger};
use super::{LIMIT, Servers, options};
use crate::hazards::{Hazard, Need};
use crate::rng::Rng;
use crate::run::{Outcome, Run};

pub(crate) const HAZARD: Hazard = Hazard {
    name: "redis-kill",
    looked_for: "lost, torn or untold objects, other errors",
    small: 10,
    full: 200,
    needs: &[Need::Redis],
    run,
};

/// Half of them have patience, the others a deadline that passes while the server is down.
const CALLERS: usize = 4;
const SHORT: Duration = Duration::from_millis(150);

/// The server is emptied after so many kills.
const KILLS: usize = 4;

fn run(run: &mut Run) -> Outcome {
    for (mode, aof) in [Aof::EverySecond, Aof::Always].into_iter().enumerate() {
        let server = Redis::start(&Servers::new().aof(aof))?;
        let patient = RedisConnector::open(&options(server.address()).deadline(LIMIT))?;
        let hasty = RedisConnector::attach(&options(server.address()).deadline(SHORT))?;
        let new = || if aof == Aof::Always { Ledger::default() } else { Ledger::of_a_forgetful_server() };
        let mut ledger = new();
        let mut objects = 0;
        for (index, round) in (mode as u64..run.count).step_by(2).enumerate() {
            let when = format!("kill {round}, {aof:?}");
            run.about_to(&when)?;
            let before = ledger.objects();
            kill_one(&server, [&patient, &hasty], run.rng(round), &new, &mut ledger)?;
            // From here on a kill takes nothing more of it.
            await_the_log(&server)?;
            ledger.verify(run, &server, "", &when)?;
            objects += ledger.objects() - before;
            if index % KILLS == KILLS - 1 {
                server.command(&["FLUSHALL"])?;
                ledger.emptied();
            }
            run.did(1);
        }
        let forgotten = match ledger.forgotten() {
            0 => String::new(),
            count => format!(", {count} acknowledged while the disk was syncing, which Redis may lose"),
        };
        run.note(format_args!("{aof:?}: {objects} objects held{forgotten}; errors: {}", ledger.errors()));
    }
    Ok(())
}

fn kill_one(
    server: &Redis,
    redis: [&RedisConnector; 2],
    mut rng: Rng,
    new: &(dyn Fn() -> Ledger + Sync),
    ledger: &mut Ledger,
) -> Outcome {
    let stop = AtomicBool::new(false);
    let successes: [AtomicU64; CALLERS] = Default::default();
    let ledgers = thread::scope(|scope| -> Outcome<Vec<Ledger>> {
        let callers: Vec<_> = successes
            .iter()
            .enumerate()
            .map(|(caller, successes)| {
                let (stop, rng) = (&stop, Rng::fork(rng.next(), caller as u64));
                scope.spawn(move || call_until(redis[caller % 2], rng, stop, successes, new()))
            })
            .collect();
        let killed = kill_and_restart(server, &mut rng, &successes);
        stop.store(true, Ordering::Release);
        killed?;
        callers.into_iter().map(|caller| caller.join().map_err(|_| "a caller panicked".into())).collect()
    })?;
    ledgers.into_iter().for_each(|one| ledger.absorb(one));
    Ok(())
}

fn call_until(
    redis: &RedisConnector,
    mut rng: Rng,
    stop: &AtomicBool,
    successes: &AtomicU64,
    mut ledger: Ledger,
) -> Ledger {
    while !stop.load(Ordering::Acquire) {
        let act = Act::any(&mut rng);
        if ledger.act(act, redis, &mut rng) {
            successes.fetch_add(1, Ordering::Relaxed);
        }
    }
    ledger
}

fn kill_and_restart(server: &Redis, rng: &mut Rng, successes: &[AtomicU64]) -> Outcome {
    each_succeeds(successes)?;
    thread::sleep(Duration::from_micros(rng.below(30_000) as u64));
    server.kill()?;
    thread::sleep(Duration::from_millis(*rng.pick(&[0, 0, 50, 300])));
    server.restart()?;
    each_succeeds(successes)
}

/// Every caller succeeds with something from now on.
fn each_succeeds(successes: &[AtomicU64]) -> Outcome {
    let begin = Instant::now();
    let before: Vec<u64> = successes.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    // One call may have succeeded before and end only now.
    while successes.iter().zip(&before).any(|(count, before)| count.load(Ordering::Relaxed) < before + 2) {
        if begin.elapsed() > LIMIT {
            return Err("a caller does not recover by itself".into());
        }
        thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Until all that was acknowledged has been handed to the system.
fn await_the_log(server: &Redis) -> Outcome {
    let begin = Instant::now();
    while !server.command(&["INFO", "persistence"])?.text().contains("aof_buffer_length:0\r") {
        if begin.elapsed() > LIMIT {
            return Err("the server does not write its log".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
