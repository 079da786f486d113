//! Children that die with this process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

type Request = (Command, Sender<io::Result<Child>>);

/// The process whose thread it is, as a forked child has none of its parent's threads.
static SPAWNER: Mutex<Option<(u32, Sender<Request>)>> = Mutex::new(None);

/// Starts a child that is killed when this process ends, however it does. The kernel does so at the end of the *thread*
/// that started it, and threads of tests are short-lived; so one thread that lives as long as the process starts them all.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let gone = || io::Error::other("the thread that starts servers has ended");
    let (reply, answer) = channel();
    spawner()?.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn spawner() -> io::Result<Sender<Request>> {
    let us = std::process::id();
    let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((owner, sender)) = &*spawner
        && *owner == us
    {
        return Ok(sender.clone());
    }
    let (sender, requests) = channel::<Request>();
    thread::Builder::new().name("servers".to_owned()).spawn(move || {
        for (mut command, reply) in requests {
            drop(reply.send(dies_with_us(&mut command).spawn()));
        }
    })?;
    *spawner = Some((us, sender.clone()));
    Ok(sender)
}

#[expect(unsafe_code, reason = "what is done between fork and exec has no safe form")]
fn dies_with_us(command: &mut Command) -> &mut Command {
    let us = Pid::from_raw(std::process::id().cast_signed());
    let arrange = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The signal is only sent for a death from now on.
        if getppid() == us { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    // SAFETY: two system calls, no allocation and no lock.
    unsafe { command.pre_exec(arrange) }
}
