//! The power goes while objects are being put.
//!
//! ProxyStore 1.1.0 lost every acknowledged object here: the file came back empty while its marker was there, so the
//! object existed and had no bytes. One file system in a file is cut off (ext4's shutdown ioctl, without flushing data or
//! log) at a random number of acknowledgements, mounted anew, and every acknowledged key is read. Every other time the
//! writer rests when the power goes, so that nothing that came later has carried the last object to the disk.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{ConnectorExt, ErrorKind, Key};

use super::{Hazard, Need};
use crate::object;
use crate::run::{Outcome, Run};
use crate::system;

pub(super) const HAZARD: Hazard = Hazard {
    name: "power-cut",
    looked_for: "objects lost at durability host, wrong bytes at any",
    small: 10,
    full: 500,
    needs: &[Need::Mounts, Need::Ext4],
    run,
};

/// At most so many objects are acknowledged before a cut.
const PUTS: usize = 200;

#[derive(Default)]
struct Tally {
    host: u64,
    process: u64,
    lost: u64,
    wrong: u64,
    missing: u64,
    refused: u64,
}

/// A mounted file system, unmounted when dropped.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(image: &Path, at: &'a Path) -> Outcome<Self> {
        let status = Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(image).arg(at).status()?;
        if status.success() { Ok(Self(at)) } else { Err("the image cannot be mounted".into()) }
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Waiting for the unmount: the image is mounted again at once.
        let unmounted = Command::new("umount").arg(self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            system::unmount(self.0);
        }
    }
}

fn run(run: &mut Run) -> Outcome {
    let (image, mount) = (run.path("image"), run.path("disk"));
    fs::create_dir(&mount)?;
    let mut tally = Tally::default();
    for round in 0..run.count {
        if round % 20 == 0 {
            make_image(&image)?;
        }
        let dir = mount.join(format!("round-{round}/deep/objects"));
        let acknowledged = {
            let disk = Disk::mount(&image, &mount)?;
            cut_while_putting(run, round, disk.0, &dir)?
        };
        let _disk = Disk::mount(&image, &mount)?;
        verify(run, round, &dir, &acknowledged, &mut tally)?;
        fs::remove_dir_all(mount.join(format!("round-{round}")))?;
        run.did(1);
    }
    let Tally { host, process, lost, wrong, missing, refused } = tally;
    run.note(format_args!(
        "{host} objects acknowledged at host, {lost} lost; wrong bytes {wrong} times; of {process} at process {missing} were missing and {refused} refused as \
         corrupt, which that level allows"
    ));
    Ok(())
}

fn make_image(image: &Path) -> Outcome {
    fs::File::create(image)?.set_len(128 << 20)?;
    let status = Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(image).status()?;
    if status.success() { Ok(()) } else { Err("mkfs.ext4 failed".into()) }
}

/// The lines of a putter until its disk was gone.
fn cut_while_putting(run: &Run, round: u64, disk: &Path, dir: &Path) -> Outcome<Vec<String>> {
    let mut rng = run.rng(round);
    let seed = rng.next().to_string();
    let rests = round.is_multiple_of(2);
    let cut_after = rng.below(PUTS);
    let puts = if rests { cut_after } else { usize::MAX }.to_string();
    let mut putter = run.start("putter", &[dir.to_str().ok_or("path")?, &seed, "both", &puts])?;
    let stdout = putter.0.stdout.take().ok_or("no pipe")?;
    let (sender, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut acknowledged: Vec<String> = Vec::new();
    let enough = |lines: &[String]| match rests {
        true => lines.last().is_some_and(|line| line == "waiting"),
        false => lines.len() > cut_after,
    };
    while !enough(&acknowledged) {
        acknowledged.push(lines.recv_timeout(Duration::from_secs(60))?);
    }
    if !rests {
        thread::sleep(Duration::from_micros(rng.below(3_000) as u64));
    }
    system::cut_power(disk)?;
    putter.kill();
    reader.join().map_err(|_| "the reader panicked")?;
    acknowledged.extend(lines.try_iter());
    acknowledged.retain(|line| line.starts_with("host ") || line.starts_with("process "));
    Ok(acknowledged)
}

fn verify(run: &mut Run, round: u64, dir: &Path, lines: &[String], tally: &mut Tally) -> Outcome {
    let files = FileConnector::open(&FileOptions::new(dir))?;
    for line in lines {
        let [level, key, seed, size] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("the putter said {line:?}").into());
        };
        let (key, host): (Key, bool) = (key.parse()?, level == "host");
        let expected = object::make(seed.parse()?, size.parse()?);
        tally.host += u64::from(host);
        tally.process += u64::from(!host);
        let named = || format!("cut {round}, {key}, durability {level}");
        match files.get_bytes(&key) {
            Ok(Some(bytes)) if bytes == expected => {}
            Ok(Some(bytes)) => {
                tally.wrong += 1;
                run.found(format!("{}: {} wrong bytes were accepted", named(), bytes.len()));
            }
            Ok(None) if host => {
                tally.lost += 1;
                run.found(format!("{}: lost", named()));
            }
            Ok(None) => tally.missing += 1,
            Err(error) if host => run.found(format!("{}: {error}", named())),
            Err(error) if error.kind() == ErrorKind::Corrupt => tally.refused += 1,
            Err(error) => run.found(format!("{}: {error}", named())),
        }
    }
    Ok(())
}
