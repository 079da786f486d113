//! Makes the kernel behave worse for this process: file systems without unnamed files, writes that stop half-way, and
//! no file or socket made at all.
#![expect(unsafe_code, reason = "seccomp filters and a signal handler")]

use std::io;

/// Offsets into `struct seccomp_data`: the low halves of the arguments.
const fn argument(index: u32) -> u32 {
    (if cfg!(target_endian = "little") { 16 } else { 20 }) + 8 * index
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const ANY_OF: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// `O_TMPFILE` without `O_DIRECTORY`.
const UNNAMED: u32 = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u32;

fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn install(program: &mut [libc::sock_filter]) -> io::Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: no memory is touched.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the filter points to `program`, which outlives the call; the kernel copies it.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// From now on the file systems of this process know no unnamed files, as NFS.
pub(crate) fn without_unnamed_files() -> io::Result<()> {
    install(&mut [
        step(LOAD, 0, 0, 0),
        step(EQUAL, libc::SYS_openat as u32, 0, 3),
        step(LOAD, argument(2), 0, 0),
        step(ANY_OF, UNNAMED, 0, 1),
        step(RETURN, libc::SECCOMP_RET_ERRNO | libc::EOPNOTSUPP as u32, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ])
}

/// From now on this process dies when it makes or renames a file, a link or a directory, or makes a socket.
pub(crate) fn without_files_and_sockets() -> io::Result<()> {
    let forbidden = [
        libc::SYS_mkdirat,
        libc::SYS_symlinkat,
        libc::SYS_linkat,
        libc::SYS_mknodat,
        libc::SYS_renameat2,
        libc::SYS_socket,
        libc::SYS_socketpair,
    ];
    #[cfg(target_arch = "x86_64")]
    let older = [
        libc::SYS_mkdir,
        libc::SYS_symlink,
        libc::SYS_link,
        libc::SYS_mknod,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_creat,
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let older: [libc::c_long; 0] = [];
    let all: Vec<u32> = forbidden.iter().chain(&older).map(|call| *call as u32).collect();
    let mut program = vec![step(LOAD, 0, 0, 0)];
    // The distance from each comparison to the last instruction.
    let to_death = |index: usize| (all.len() - 1 - index + 4) as u8;
    program.extend(all.iter().enumerate().map(|(index, call)| step(EQUAL, *call, to_death(index), 0)));
    program.extend([
        step(EQUAL, libc::SYS_openat as u32, 0, 2),
        step(LOAD, argument(2), 0, 0),
        step(ANY_OF, libc::O_CREAT as u32 | UNNAMED, 1, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
    ]);
    install(&mut program)
}

/// The most bytes that one `write` takes after [`with_short_writes`].
const SHORT: usize = 1000;

/// From now on no `write` of this process takes more than 1,000 bytes.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn with_short_writes() -> io::Result<()> {
    // SAFETY: a zeroed sigaction is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = write_less as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
    // SAFETY: the handler has the form that SA_SIGINFO asks for and makes only system calls.
    if unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    install(&mut [
        step(LOAD, 0, 0, 0),
        step(EQUAL, libc::SYS_write as u32, 0, 3),
        step(LOAD, argument(2), 0, 0),
        step(GREATER, SHORT as u32, 0, 1),
        step(RETURN, libc::SECCOMP_RET_TRAP, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ])
}

/// The registers of an interrupted system call: its first two arguments, and where its result goes.
#[cfg(target_arch = "x86_64")]
fn registers(context: &mut libc::ucontext_t) -> (i64, i64, &mut i64) {
    let registers = &mut context.uc_mcontext.gregs;
    let (first, second) = (registers[libc::REG_RDI as usize], registers[libc::REG_RSI as usize]);
    (first, second, &mut registers[libc::REG_RAX as usize])
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &mut libc::ucontext_t) -> (u64, u64, &mut u64) {
    let registers = &mut context.uc_mcontext.regs;
    (registers[0], registers[1], &mut registers[0])
}

/// Does in the place of a `write` one of fewer bytes, and answers what that one did.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
extern "C" fn write_less(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands over a ucontext_t, alive until the handler returns.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let (file, bytes, result) = registers(context);
    // SAFETY: the arguments are those of the caller, of whose buffer, longer than SHORT, only the start is read.
    let written = unsafe { libc::syscall(libc::SYS_write, file, bytes, SHORT) };
    // SAFETY: the address of this thread's errno is always valid.
    *result = if written < 0 { -i64::from(unsafe { *libc::__errno_location() }) } else { written } as _;
}

/// From now on no file of this process grows beyond `bytes`: the write that would is short, the next one an error.
pub(crate) fn with_files_below(bytes: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: without the signal the error is what remains.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // SAFETY: the pointer is to a value of ours.
    if unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
