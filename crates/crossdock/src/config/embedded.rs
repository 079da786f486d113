//! The config that is used where there is none.

use std::path::PathBuf;

use crate::config::reference::Reference;
use crate::config::value::{ConnectorConfig, Table};
use crate::config::{Config, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Policy;

impl Config {
    /// The embedded default, which needs no server: files in the user's data directory, for objects of any size.
    ///
    /// That is `$CROSSDOCK_HOME/objects`, else `$XDG_DATA_HOME/crossdock/objects`, else
    /// `~/.local/share/crossdock/objects`.
    ///
    /// # Errors
    /// `InvalidConfig` if none of these variables is set, nor `$HOME`, or if the path is not UTF-8 or not absolute.
    pub fn embedded() -> Result<Self> {
        let dir = data_directory()?.join("objects");
        let dir = dir.to_str().map(Reference::literal).ok_or_else(|| {
            let message =
                format!("the data directory {} is not UTF-8; set CROSSDOCK_HOME to one that is", dir.display());
            Error::new(ErrorKind::InvalidConfig, message)
        })?;
        let connector =
            ConnectorConfig { type_name: "file".to_owned(), options: Table::new().with("dir", dir.as_str()) };
        Ok(Self::new([Entry { name: "file".into(), connector, policy: Policy::any(), line: 0 }]))
    }
}

fn data_directory() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("CROSSDOCK_HOME")
        .or_else(|| Some(variable("XDG_DATA_HOME")?.join("crossdock")))
        .or_else(|| Some(variable("HOME")?.join(".local/share/crossdock")))
        .ok_or_else(|| {
            let message =
                "there is no config, and no directory for objects either; set CROSSDOCK_HOME or name a config";
            Error::new(ErrorKind::InvalidConfig, message)
        })
}
