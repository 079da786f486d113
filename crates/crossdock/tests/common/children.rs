//! Forked children of a test.
#![expect(unsafe_code, reason = "forking")]

/// Whether `work` said yes in a child.
pub(crate) fn in_a_child(work: impl FnOnce() -> bool) -> bool {
    end_of(start_child(work)) == 0
}

/// The process id of a child that does `work`, and ends with 0 if that says yes.
pub(crate) fn start_child(work: impl FnOnce() -> bool) -> i32 {
    // SAFETY: no other thread of this process holds a lock; the child works and exits without destructors.
    match unsafe { libc::fork() } {
        0 => {
            let code = i32::from(!work());
            // SAFETY: nothing is needed for it.
            unsafe { libc::_exit(code) }
        }
        child => child,
    }
}

/// Waits for a child of ours. How it ended; 0 is well.
pub(crate) fn end_of(child: i32) -> i32 {
    let mut status = -1;
    // SAFETY: the child is ours, `status` is writable.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    status
}
