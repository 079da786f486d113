//! One hazard at work: its count, its seed, its directory, and what it has found.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::rng::Rng;
use crate::system;

/// What a hazard cannot go on after: the test is broken, not what it tests.
pub(crate) type Broken = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Outcome<T = ()> = Result<T, Broken>;

/// The file in which a hazard notes what it is about to try, for whoever finds it dead.
pub(crate) const LAST: &str = "last-tried";
/// How many findings are shown; all are counted.
const SHOWN: u64 = 8;
/// How long one item of a hazard may take: only against hangs.
const STALL: Duration = Duration::from_secs(30);

pub(crate) struct Run {
    /// How often to try.
    pub(crate) count: u64,
    pub(crate) seed: u64,
    pub(crate) dir: PathBuf,
    done: u64,
    found: u64,
    notes: Vec<String>,
    last: File,
    progress: Option<Arc<AtomicU64>>,
}

impl Run {
    pub(crate) fn new(count: u64, seed: u64, dir: &Path) -> Outcome<Self> {
        let last = File::create(dir.join(LAST))?;
        let dir = dir.to_owned();
        Ok(Self { count, seed, dir, done: 0, found: 0, notes: Vec::new(), last, progress: None })
    }

    /// The random numbers of the `index`-th item.
    pub(crate) fn rng(&self, index: u64) -> Rng {
        Rng::fork(self.seed, index)
    }

    /// A directory of that name that does not exist yet.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// Counts items that were tried.
    pub(crate) fn did(&mut self, items: u64) {
        self.done += items;
    }

    /// Counts something that must not be.
    pub(crate) fn found(&mut self, what: impl Display) {
        self.found += 1;
        if self.found <= SHOWN {
            eprintln!("  found: {what}");
        }
    }

    /// Counts `what` unless `holds`.
    pub(crate) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.found(what());
        }
    }

    /// Says something beside the table.
    pub(crate) fn note(&mut self, what: impl Display) {
        self.notes.push(what.to_string());
    }

    /// Notes what is tried next. From the first call on, an item that takes too long ends the hazard as a finding.
    pub(crate) fn about_to(&mut self, item: &str) -> Outcome {
        self.last.set_len(0)?;
        self.last.write_all_at(item.as_bytes(), 0)?;
        match &self.progress {
            Some(progress) => {
                progress.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                let progress = Arc::new(AtomicU64::new(1));
                self.progress = Some(progress.clone());
                thread::spawn(move || watch(&progress));
            }
        }
        Ok(())
    }

    /// Calls `work`; a panic in it is a finding.
    pub(crate) fn guarded<T>(&mut self, item: impl FnOnce() -> String, work: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(done) => Some(done),
            Err(_) => {
                self.found(format!("panic at {}", item()));
                None
            }
        }
    }

    /// Starts this program as `role`, to be killed and reaped when dropped.
    pub(crate) fn start(&self, role: &str, arguments: &[&str]) -> Outcome<Running> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--role").arg(role).args(arguments);
        Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// The line that the parent reads.
    pub(crate) fn finish(self) -> Outcome {
        let mut line = format!("result\t{}\t{}", self.done, self.found);
        for note in &self.notes {
            line.push('\t');
            line.push_str(&note.replace(['\t', '\n'], " "));
        }
        println!("{line}");
        std::io::stdout().flush()?;
        Ok(())
    }
}

/// Ends this process when nothing moves any more.
fn watch(progress: &AtomicU64) {
    loop {
        let before = progress.load(Ordering::Relaxed);
        thread::sleep(STALL);
        if progress.load(Ordering::Relaxed) == before {
            eprintln!("  item {before} takes longer than {} s", STALL.as_secs());
            std::process::exit(3);
        }
    }
}

/// A child process of ours that does not outlive this value.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Outcome<Self> {
        Ok(Self(system::dies_with_us(command).spawn()?))
    }

    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
