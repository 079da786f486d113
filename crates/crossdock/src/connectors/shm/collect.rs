//! Collecting what processes left that have ended, and clearing a directory of its objects.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::io::Errno;

use super::directory::{Directory, Open, STATE};
use super::name::Name;
use super::owner::{file_name, lock_of_the_dead, parse_file_name};
use super::quota::names;
use super::read::is_whole;
use super::slab::{self, Defect, Map};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::options::{GcOptions, GcReport};
use crate::posix::{is_older, remove, stat};
use crate::usage;

/// What is in the directory of state.
struct Census {
    state: OwnedFd,
    /// Processes that have ended, locked so that nobody else collects what they left.
    dead: HashMap<u64, OwnedFd>,
    alive: HashSet<u64>,
    /// With their makers.
    drafts: Vec<(u64, String)>,
    /// Makers and numbers.
    slabs: Vec<(u64, u16)>,
}

impl Census {
    /// `None` where nobody has written yet.
    fn take(directory: &Directory, open: &Open) -> Result<Option<Self>> {
        let failed = |cause| Error::from_io("examine", directory.shown(STATE), cause);
        let Some(state) = open.state().map_err(failed)? else { return Ok(None) };
        let (dead, alive, drafts, slabs) = (HashMap::new(), HashSet::new(), Vec::new(), Vec::new());
        let mut census = Self { state, dead, alive, drafts, slabs };
        for name in names(directory, &census.state)? {
            if let Some(slab) = slab::parse_file_name(&name) {
                census.slabs.push(slab);
                continue;
            }
            let Some((maker, is_draft)) = parse_file_name(&name) else { continue };
            if is_draft {
                census.drafts.push((maker, name));
                continue;
            }
            match lock_of_the_dead(&census.state, maker).map_err(failed)? {
                Some(lock) => drop(census.dead.insert(maker, lock)),
                None => drop(census.alive.insert(maker)),
            }
        }
        Ok(Some(census))
    }

    /// Whether its maker has ended. `None` if the maker's file is missing: then somebody has removed it.
    fn is_dead(&self, maker: u64) -> Result<Option<bool>, Errno> {
        if self.dead.contains_key(&maker) {
            return Ok(Some(true));
        }
        // It may have been made since the census.
        let is_alive = self.alive.contains(&maker) || stat(&self.state, &file_name(maker))?.is_some();
        Ok(is_alive.then_some(false))
    }
}

impl Census {
    /// Removes the slabs of ended makers that no object is in. What was never finished becomes a draft. What cannot be understood
    /// may be another version's, with objects: that stays.
    fn collect_slabs(&mut self, dry_run: bool, report: &mut GcReport) -> Result<(), Errno> {
        for (maker, number) in std::mem::take(&mut self.slabs) {
            let is_dead = self.is_dead(maker)?;
            if is_dead == Some(false) {
                continue;
            }
            match Map::open(&self.state, maker, number) {
                Ok(Some(map)) if map.collect(&self.state, is_dead == Some(true), dry_run)? => {
                    report.removed += 1;
                    report.bytes += map.bytes();
                }
                Ok(_) => {}
                Err(Defect::Unfinished) => self.drafts.push((maker, slab::file_name(maker, number))),
                Err(Defect::NoSlab) => report.kept += 1,
                Err(Defect::Io(cause)) => return Err(cause),
            }
        }
        Ok(())
    }

    /// Removes a slab with its objects.
    fn clear_slab(&self, (maker, number): (u64, u16)) -> Result<(), Errno> {
        match Map::open(&self.state, maker, number) {
            Ok(Some(map)) => map.clear(&self.state),
            Ok(None) => Ok(()),
            Err(Defect::Io(cause)) => Err(cause),
            // A living maker's was whole when it got its name.
            Err(_) if self.is_dead(maker)? == Some(false) => Ok(()),
            Err(_) => remove(&self.state, &slab::file_name(maker, number)).map(drop),
        }
    }
}

/// Removes what processes left that have ended: that is proven, so it may be of any age. Asked by `options`, also what is
/// nobody's and old enough.
pub(super) fn collect(directory: &Directory, open: &Arc<Open>, options: Option<&GcOptions>) -> Result<GcReport> {
    let mut report = GcReport::default();
    let Some(mut census) = Census::take(directory, open)? else { return Ok(report) };
    let dry_run = options.is_some_and(|options| options.dry_run);
    let slabs = census.collect_slabs(dry_run, &mut report);
    slabs.map_err(|cause| Error::from_io("collect", directory.shown(STATE), cause))?;
    let mut collect = |dir: &OwnedFd, name: &str, is_dead: Option<bool>| -> Result<(), Errno> {
        let Some(stat) = stat(dir, name)? else { return Ok(()) };
        if is_dead == Some(false) || options.is_none() && is_dead.is_none() {
            return Ok(());
        }
        if is_dead.is_none() && options.is_some_and(|options| !is_older(&stat, options.min_age)) {
            report.kept += 1;
            return Ok(());
        }
        if !dry_run {
            remove(dir, name)?;
        }
        report.removed += 1;
        // The bytes of an object stay.
        report.bytes += if stat.st_nlink == 1 { stat.st_size as u64 } else { 0 };
        Ok(())
    };
    for (maker, name) in &census.drafts {
        interrupt::check()?;
        let done = census.is_dead(*maker).and_then(|is_dead| collect(&census.state, name, is_dead));
        done.map_err(|cause| Error::from_io("collect", directory.shown(name), cause))?;
    }
    if options.is_some() || !census.dead.is_empty() {
        for name in names(directory, &open.fd)?.iter().filter_map(|name| Name::parse(name)) {
            interrupt::check()?;
            let failed = |cause| Error::from_io("collect", directory.shown(name.as_str()), cause);
            let is_dead = census.is_dead(name.maker()).map_err(failed)?;
            if is_dead == Some(false) || is_whole(directory, open, &name)? {
                continue;
            }
            collect(&open.fd, name.as_str(), is_dead).map_err(failed)?;
        }
    }
    for maker in census.dead.keys().filter(|_| !dry_run) {
        let name = file_name(*maker);
        remove(&census.state, &name).map_err(|cause| Error::from_io("collect", directory.shown(&name), cause))?;
    }
    Ok(report)
}

/// Removes all objects, what is left of dead processes and, if nothing else is in it, the directory.
pub(super) fn clear(directory: &Directory) -> Result<()> {
    let Some(open) = directory.reopen()? else { return Ok(()) };
    let mut outcome = Ok(());
    for name in names(directory, &open.fd)?.iter().filter_map(|name| Name::parse(name)) {
        interrupt::check()?;
        if let Err(cause) = remove(&open.fd, name.as_str()) {
            outcome = Err(Error::from_io("clear", directory.shown(name.as_str()), cause));
        }
    }
    if let Some(census) = Census::take(directory, &open)? {
        for slab in &census.slabs {
            interrupt::check()?;
            if let Err(cause) = census.clear_slab(*slab) {
                outcome = Err(Error::from_io("clear", directory.shown(STATE), cause));
            }
        }
    }
    collect(directory, &open, None)?;
    // Last: while objects are there, they are counted.
    usage::remove_count(&open.fd).map_err(|cause| Error::from_io("clear", directory.shown(usage::NAME), cause))?;
    outcome?;
    // Other processes may be at work.
    remove_directory(&open.fd, STATE)
        .and_then(|()| remove_directory(CWD, directory.path()))
        .map_err(|cause| Error::from_io("remove the directory", directory.named(), cause))
}

fn remove_directory<P: rustix::path::Arg>(parent: impl std::os::fd::AsFd, path: P) -> Result<(), Errno> {
    match unlinkat(parent, path, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => Ok(()),
        outcome => outcome,
    }
}
