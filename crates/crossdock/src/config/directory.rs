//! Paths of directories in configs.

use std::path::{Path, PathBuf};

use super::fields::Fields;
use super::reference::Reference;
use crate::error::{Error, ErrorKind, Result};

impl Fields<'_> {
    /// A directory that is the same one in every process: an absolute path, or one that begins with a reference. An empty
    /// text is none.
    ///
    /// # Errors
    /// `InvalidConfig` where it is something else.
    pub(crate) fn directory(&self, field: &str) -> Result<Option<Reference>> {
        let Some(dir) = self.text(field)?.filter(|dir| !dir.as_str().is_empty()) else { return Ok(None) };
        if dir.is_absolute() {
            return Ok(Some(dir));
        }
        let (text, advice) = (dir.as_str(), instead_of(dir.as_str()));
        Err(self.wrong(field, format!("{text:?} is not absolute, so another directory in each process; {advice}")))
    }
}

/// The path that a directory in a config stands for here. `not_utf8`: the text lacks what a path had that is none.
///
/// # Errors
/// `InvalidConfig` where it is no absolute path; what the reference says.
pub(crate) fn resolve_directory(dir: &Reference, field: &str, not_utf8: bool) -> Result<PathBuf> {
    let resolved = dir.resolve().map_err(|why| why.of_field(field))?;
    let wrong = match Path::new(&resolved) {
        _ if not_utf8 => "is not UTF-8; choose one that is, as configs are text",
        path if path.is_absolute() => return Ok(path.to_owned()),
        _ => "is not absolute; write the whole path of the directory of the objects",
    };
    Err(Error::new(ErrorKind::InvalidConfig, format!("the path {:?} {wrong}", dir.as_str())))
}

/// What to write instead of a path that depends on who reads it.
fn instead_of(dir: &str) -> String {
    let named = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
    match (dir.strip_prefix("~/"), dir.strip_prefix('$')) {
        (Some(rest), _) => format!("write ${{env:HOME}}/{rest}"),
        (_, Some(rest)) if !rest.starts_with('{') => format!("write ${{env:{}}}", named(rest)),
        _ => "write the whole path".to_owned(),
    }
}
