//! Tests whose processes fork, each with a name of its own.

use libtest_mimic::{Arguments, Failed, Trial};

pub(crate) type Outcome = Result<(), Failed>;
pub(crate) type Test = (&'static str, fn() -> Outcome);

/// Runs one after the other, as forked children go badly with threads that run other tests. Those that only root can do are ignored
/// for others, unless this is the run that must do all.
pub(crate) fn run(tests: &[Test], by_root: &[Test]) {
    let cannot = !rustix::process::geteuid().is_root();
    let in_ci = std::env::var_os("CI").is_some();
    let tests = tests.iter().map(|(name, test)| Trial::test(*name, *test));
    let by_root = by_root.iter().map(|(name, test)| {
        let name = if cannot { format!("{name} (needs root)") } else { (*name).to_owned() };
        Trial::test(name, *test).with_ignored_flag(cannot && !in_ci)
    });
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, tests.chain(by_root).collect()).exit();
}
