//! Objects in an S3 server: the contract, and what becomes of calls when the server fails. A real server; where it is
//! absent, its tests count as ignored by name, and fail where `CI` is set.

mod access;
mod common;
mod config;
mod conformance;
mod failures;
mod fake;
mod lost;
mod objects;
mod runtimes;
mod uploads;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(config::trials());
    trials.extend(conformance::trials());
    trials.extend(objects::trials());
    trials.extend(access::trials());
    trials.extend(runtimes::trials());
    trials.extend(failures::trials());
    trials.extend(lost::trials());
    trials.extend(uploads::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
