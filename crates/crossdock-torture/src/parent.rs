//! Runs each hazard in a process of its own, so that a crash or a hang of one is a finding, not the end of all.

use std::ffi::CString;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::hazards::{self, Hazard, Need};
use crate::run::{LAST, Outcome, Run};
use crate::system;
use crate::table::{Row, Verdict};

/// Against hangs only.
const LIMIT_SMALL: Duration = Duration::from_secs(300);
const LIMIT_FULL: Duration = Duration::from_secs(6 * 3600);

/// How this call of the program is to run.
pub(crate) struct Plan {
    pub(crate) full: bool,
    pub(crate) seed: u64,
    /// A missing requirement is a failure.
    pub(crate) strict: bool,
    /// Instead of the hazard's own.
    pub(crate) count: Option<u64>,
}

/// Runs one hazard and says how it went.
pub(crate) fn run(hazard: &'static Hazard, plan: &Plan) -> Row {
    let begin = Instant::now();
    let mut row = Row {
        name: hazard.name,
        looked_for: hazard.looked_for,
        done: 0,
        found: None,
        seconds: 0.0,
        verdict: Verdict::Ok,
        notes: Vec::new(),
    };
    row.verdict = match hazard.needs.iter().find_map(|need| need.missing()) {
        _ if system::interrupted() => Verdict::Failed("interrupted".to_owned()),
        Some(missing) if plan.strict => Verdict::Failed(format!("{missing}, which CI must have")),
        Some(missing) => Verdict::Skipped(missing),
        None => {
            eprintln!("{} ...", hazard.name);
            attempt(hazard, plan, &mut row).unwrap_or_else(|why| Verdict::Failed(why.to_string()))
        }
    };
    row.seconds = begin.elapsed().as_secs_f64();
    row
}

fn attempt(hazard: &Hazard, plan: &Plan, row: &mut Row) -> Outcome<Verdict> {
    let place = tempfile::Builder::new().prefix("crossdock-torture-").tempdir()?;
    let count = plan.count.unwrap_or(if plan.full { hazard.full } else { hazard.small });
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--role", "hazard", hazard.name, &count.to_string(), &plan.seed.to_string()]).arg(place.path());
    command.current_dir(place.path()).envs(hazards::secrets::environment(plan.seed));
    command.env_remove("CROSSDOCK_HOME").env_remove("CROSSDOCK_HOSTNAME");
    system::dies_with_us(&mut command);
    let mut group = Group(command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn()?);
    let limit = if plan.full { LIMIT_FULL } else { LIMIT_SMALL };
    let (text, ended) = group.wait(limit)?;
    drop(group);

    let line = text.lines().rev().find_map(|line| line.strip_prefix("result\t"));
    let mut fields = line.unwrap_or_default().split('\t');
    row.done = fields.next().and_then(|field| field.parse().ok()).unwrap_or(0);
    row.found = fields.next().and_then(|field| field.parse().ok());
    row.notes = fields.map(str::to_owned).collect();
    Ok(match (row.found, ended) {
        (Some(0), _) if row.done == 0 => Verdict::Failed("nothing was tried".to_owned()),
        (Some(0), Some(0)) => Verdict::Ok,
        (Some(_), Some(0)) => Verdict::Failed(String::new()),
        (_, ended) => Verdict::Failed(post_mortem(place.path(), ended)),
    })
}

fn post_mortem(place: &Path, ended: Option<i32>) -> String {
    let how = match ended {
        None => "it hung or was killed".to_owned(),
        Some(code) => format!("it ended with the code {code}"),
    };
    let last = fs::read(place.join(LAST)).unwrap_or_default();
    if last.is_empty() {
        return how;
    }
    let shown: String = String::from_utf8_lossy(&last).chars().take(300).collect();
    format!("{how} at {shown:?}")
}

/// A process group of ours; none of it is left when this is dropped.
struct Group(Child);

impl Group {
    /// What it printed and its exit code, or `None` where it was ended by a signal or by us.
    fn wait(&mut self, limit: Duration) -> Outcome<(String, Option<i32>)> {
        let mut stdout = self.0.stdout.take().ok_or("no pipe")?;
        let reader = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        let begin = Instant::now();
        let ended = loop {
            match self.0.try_wait()? {
                Some(status) => break status.code(),
                None if system::interrupted() => return Err("interrupted".into()),
                None if begin.elapsed() > limit => break None,
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        system::kill_group(self.0.id());
        Ok((reader.join().map_err(|_| "the reader panicked")??, ended))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        system::kill_group(self.0.id());
        drop(self.0.wait());
    }
}

/// The other side of [`attempt`].
pub(crate) fn serve(hazard: &Hazard, count: u64, seed: u64, dir: &Path) -> Outcome {
    if hazard.needs.contains(&Need::Mounts) {
        // Whatever is mounted from here on goes away with the last process of this hazard.
        system::private_mounts()?;
    }
    // A file of its own, so that directories below the place hold nothing of ours.
    let place = dir.join("place");
    fs::create_dir(&place)?;
    let mut run = Run::new(count, seed, dir)?;
    std::env::set_current_dir(&place)?;
    run.dir = place;
    if let Err(why) = (hazard.run)(&mut run) {
        run.found(&why);
        run.note(format_args!("it could not go on: {why}"));
    }
    run.finish()
}

/// A path for a system call.
pub(crate) fn c_path(path: &Path) -> Outcome<CString> {
    use std::os::unix::ffi::OsStrExt;
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
