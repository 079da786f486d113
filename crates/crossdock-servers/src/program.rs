//! The programs that are run, and what a test does where they are absent.

use std::env;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use crate::error::{Error, Result};

/// A program that is not part of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Program {
    /// `redis-server`, version 7 or newer; also what cluster and Sentinel are made of.
    Redis,
    /// `s3s-fs`, version 0.14.
    S3,
    /// `openssl`, version 3 or newer, for certificates.
    Openssl,
}

impl Program {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::S3 => "s3s-fs",
            Self::Openssl => "openssl",
        }
    }

    pub(crate) fn how(self) -> &'static str {
        match self {
            Self::Redis => "make servers, or apt-get install redis-tools",
            Self::S3 => "make servers",
            Self::Openssl => "make servers, or apt-get install openssl",
        }
    }

    /// The environment variable that names another one to use.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Redis => "CROSSDOCK_REDIS_SERVER",
            Self::S3 => "CROSSDOCK_S3S_FS",
            Self::Openssl => "CROSSDOCK_OPENSSL",
        }
    }

    /// Where it is: as its environment variable says; without that, below `target/servers` of the workspace or on the
    /// `PATH`.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn find(self) -> Result<PathBuf> {
        let named = env::var_os(self.variable()).map(PathBuf::from);
        let candidates = named.map_or_else(|| self.usual_places(), |named| vec![named]);
        candidates.into_iter().find(|candidate| candidate.is_file()).ok_or(Error::Missing(self))
    }

    fn usual_places(self) -> Vec<PathBuf> {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers/bin").join(self.name());
        let path = env::var_os("PATH").unwrap_or_default();
        // Debian's package redis-tools has the server under this name alone; redis-server adds a link and a service.
        let alias = (self == Self::Redis).then_some("redis-check-rdb");
        let on_path = [self.name()].into_iter().chain(alias);
        let on_path = on_path.flat_map(|name| env::split_paths(&path).map(move |dir| dir.join(name)));
        [installed].into_iter().chain(on_path).collect()
    }
}

/// What is not installed of these, and how to get it, in words; `None` where nothing is missing.
pub fn missing(needs: &[Program]) -> Option<String> {
    let absent: Vec<_> =
        needs.iter().filter_map(|program| program.find().err()).map(|error| error.to_string()).collect();
    (!absent.is_empty()).then(|| absent.join("; "))
}

fn in_ci() -> bool {
    env::var_os("CI").is_some()
}

/// A test for `libtest-mimic` that needs programs: ignored by name where one is absent, and failing there if `CI` is set.
pub fn trial(
    name: &str,
    needs: &'static [Program],
    run: impl FnOnce() -> std::result::Result<(), Failed> + Send + 'static,
) -> Trial {
    let Some(why) = missing(needs) else { return Trial::test(name, run) };
    let needs = needs.iter().map(|program| program.name()).collect::<Vec<_>>().join(", ");
    Trial::test(format!("{name} (needs {needs})"), move || Err(why.into())).with_ignored_flag(!in_ci())
}

/// For a plain `#[test]` that needs programs, `if skip(..) { return }`: true where one is absent, which is printed. Such a
/// test counts as passed, so [`trial`] is better where there is a choice.
///
/// # Panics
/// Where one is absent and `CI` is set.
pub fn skip(needs: &[Program]) -> bool {
    let Some(why) = missing(needs) else { return false };
    assert!(!in_ci(), "{why}");
    eprintln!("skipped: {why}");
    true
}
