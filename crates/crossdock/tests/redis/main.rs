//! Objects in Redis: the contract, and what becomes of calls when servers fail. Real servers; where one is absent, its tests
//! count as ignored by name, and fail where `CI` is set.

mod common;
mod conformance;
mod failover;
mod failures;
mod lost;
mod server;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(conformance::trials());
    trials.extend(server::trials());
    trials.extend(failures::trials());
    trials.extend(failover::trials());
    trials.extend(lost::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
