//! System calls that the standard library has no names for.
#![expect(unsafe_code, reason = "mounts, ioctl, fork and signals have no safe form in the standard library")]

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::parent::c_path;
use crate::run::Outcome;

fn checked(returned: i32) -> io::Result<i32> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

pub(crate) fn is_root() -> bool {
    // SAFETY: reads a number.
    unsafe { libc::geteuid() == 0 }
}

/// The child dies when this process does, however that ends.
pub(crate) fn dies_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only one system call is made.
    unsafe { command.pre_exec(die_with_parent) }
}

fn die_with_parent() -> io::Result<()> {
    // SAFETY: no memory is touched.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).map(drop)
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on a request to end is only noted.
pub(crate) fn note_interrupts() {
    extern "C" fn note(_: i32) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler does nothing but set an atomic.
        unsafe { libc::signal(signal, note as *const () as usize) };
    }
}

/// Whether this process was asked to end.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Kills a process group that was started with `process_group(0)`.
pub(crate) fn kill_group(leader: u32) {
    if let Ok(leader) = i32::try_from(leader) {
        // SAFETY: no memory is touched; the group was made by this program, and its leader is not reaped before.
        unsafe { libc::kill(-leader, libc::SIGKILL) };
    }
}

/// A mount namespace of this process's own.
pub(crate) fn private_mounts() -> io::Result<()> {
    // SAFETY: no memory is touched.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // SAFETY: the strings are literals that end in NUL; the other pointers may be null for a change of propagation.
    checked(unsafe {
        libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        )
    })?;
    Ok(())
}

/// A small tmpfs, unmounted when dropped.
pub(crate) struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    pub(crate) fn mount(at: &'a Path, options: &str) -> Outcome<Self> {
        fs::create_dir_all(at)?;
        let (path, options) = (c_path(at)?, std::ffi::CString::new(options)?);
        // SAFETY: all pointers are to strings that end in NUL and outlive the call.
        checked(unsafe {
            libc::mount(c"tmpfs".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast())
        })?;
        Ok(Self(at))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        unmount(self.0);
    }
}

/// Unmounts now, or as soon as nobody uses it.
pub(crate) fn unmount(at: &Path) {
    if let Ok(path) = c_path(at) {
        // SAFETY: the pointer is to a string that ends in NUL.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Stops an ext4 file system at once, flushing neither data nor log: a power cut.
pub(crate) fn cut_power(mount: &Path) -> io::Result<()> {
    const SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
    let without_flushing: u32 = 2;
    let root = File::open(mount)?;
    // SAFETY: this ioctl reads one u32.
    checked(unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const without_flushing) })?;
    Ok(())
}

/// A FIFO or a device.
pub(crate) fn make_node(at: &Path, mode: u32, device: u64) -> Outcome {
    let path = c_path(at)?;
    // SAFETY: the pointer is to a string that ends in NUL.
    checked(unsafe { libc::mknod(path.as_ptr(), mode, device) })?;
    Ok(())
}

/// A forked child, killed and reaped when dropped.
pub(crate) struct Forked(Option<i32>);

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Code(i32),
    Signal(i32),
}

/// Forks. The child calls `work`, with nothing but its own thread alive, and ends with the code that it returns; after
/// `limit_s` seconds it is killed by `SIGALRM`.
pub(crate) fn fork(limit_s: u32, work: impl FnOnce() -> u8) -> io::Result<Forked> {
    // SAFETY: the child runs ordinary Rust code although other threads may have held locks at the fork: that this works
    // is what is tested. It never returns from here.
    match checked(unsafe { libc::fork() })? {
        0 => {
            // SAFETY: no memory is touched.
            unsafe { libc::alarm(limit_s) };
            drop(die_with_parent());
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
            // SAFETY: ends the process without running anything else.
            unsafe { libc::_exit(code.into()) }
        }
        pid => Ok(Forked(Some(pid))),
    }
}

impl Forked {
    pub(crate) fn wait(mut self) -> io::Result<Ended> {
        self.reap()
    }

    fn reap(&mut self) -> io::Result<Ended> {
        let Some(pid) = self.0.take() else { return Ok(Ended::Code(0)) };
        let mut status = 0;
        loop {
            // SAFETY: the pointer is to an integer of ours.
            match checked(unsafe { libc::waitpid(pid, &raw mut status, 0) }) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) if libc::WIFSIGNALED(status) => return Ok(Ended::Signal(libc::WTERMSIG(status))),
                Ok(_) => return Ok(Ended::Code(libc::WEXITSTATUS(status))),
            }
        }
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // SAFETY: no memory is touched; the child is not reaped yet, so the number is still its own.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            drop(self.reap());
        }
    }
}

/// From now on only one connection waits to be accepted; the system makes others wait before that.
fn one_at_a_time(listener: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no memory is touched.
    checked(unsafe { libc::listen(listener.as_raw_fd(), 0) }).map(drop)
}

/// A port of 127.0.0.1 where nobody is refused or accepted: connecting takes for ever.
pub(crate) struct FullPort {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: TcpStream,
}

impl FullPort {
    pub(crate) fn new() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        one_at_a_time(&listener)?;
        let address = listener.local_addr()?;
        Ok(Self { address, _waiting: TcpStream::connect(address)?, _listener: listener })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The same, at a unix socket.
pub(crate) struct FullSocket {
    path: PathBuf,
    _listener: UnixListener,
    _waiting: UnixStream,
}

impl FullSocket {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        one_at_a_time(&listener)?;
        Ok(Self { path: path.to_owned(), _waiting: UnixStream::connect(path)?, _listener: listener })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
