//! Nobody.

use std::path::Path;

use crossdock_bench::Outcome;
use crossdock_servers::{Redis, S3};

use crate::bench::Store;

/// Why nobody takes part.
pub(crate) const ABSENT: Option<&str> = Some("this program was built without its feature rivals");

type Stores = Outcome<Vec<Box<dyn Store>>>;

pub(crate) fn memory() -> Stores {
    Ok(Vec::new())
}

pub(crate) fn files(_: &Path) -> Stores {
    Ok(Vec::new())
}

pub(crate) fn redis(_: &Redis) -> Stores {
    Ok(Vec::new())
}

pub(crate) fn s3(_: &S3) -> Stores {
    Ok(Vec::new())
}
