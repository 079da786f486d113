//! What is in a directory of objects, seen without crossdock.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{Connector, GcOptions};

use crate::object;
use crate::run::{Outcome, Run};

/// The files of a directory.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The bytes of what has a marker, by name.
    pub(crate) visible: BTreeMap<String, Vec<u8>>,
    /// What has none, and markers without a file.
    pub(crate) leftovers: Vec<String>,
}

/// Looks at every file.
pub(crate) fn survey(dir: &Path) -> Outcome<Survey> {
    let mut names: Vec<String> = Vec::new();
    match fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries {
                names.push(entry?.file_name().into_string().map_err(|name| format!("{name:?} is not UTF-8"))?);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    names.sort();
    let mut survey = Survey::default();
    for name in &names {
        let has = |other: &str| names.binary_search_by(|name| name.as_str().cmp(other)).is_ok();
        match name.strip_suffix(".ready") {
            Some(object) if has(object) => {}
            None if has(&format!("{name}.ready")) => {
                survey.visible.insert(name.clone(), fs::read(dir.join(name))?);
            }
            _ => survey.leftovers.push(name.clone()),
        }
    }
    Ok(survey)
}

impl Survey {
    /// Everything that is visible must be one whole object.
    pub(crate) fn check_whole(&self, run: &mut Run, when: &str) {
        for (name, bytes) in &self.visible {
            run.check(object::seed_of(bytes).is_some(), || format!("{when}: {name} is torn ({} bytes)", bytes.len()));
        }
    }
}

/// Collects garbage of any age; then nothing but objects may be left. Counts the leftovers there were.
pub(crate) fn collect(run: &mut Run, dir: &Path, when: &str) -> Outcome<u64> {
    if !dir.exists() {
        return Ok(0);
    }
    let files = FileConnector::open(&FileOptions::new(dir))?;
    let report = files.gc(&GcOptions::default().min_age(Duration::ZERO))?;
    for name in survey(dir)?.leftovers {
        run.found(format!("{when}: {name} is left after gc"));
    }
    Ok(report.removed)
}
