//! Ids as text.

use crossdock::Key;

pub(crate) fn id_of(key: &Key) -> String {
    key.as_object().unwrap().id.to_string()
}
