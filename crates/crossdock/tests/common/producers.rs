//! What tests know of producers: the ids that they make, and how they are killed.

use crossdock::Key;

use crate::children::end_of;

pub(crate) fn id_of(key: &Key) -> String {
    key.as_object().unwrap().id.to_string()
}

pub(crate) fn kill(child: i32) {
    #[expect(unsafe_code, reason = "killing a child")]
    // SAFETY: the child is ours.
    unsafe {
        libc::kill(child, libc::SIGKILL)
    };
    end_of(child);
}
