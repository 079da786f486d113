//! What all servers are: a process with ports and a directory, which can be killed and started again.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::error::{Context, Error, Result};
use crate::place::Place;
use crate::port::Port;
use crate::program::Program;
use crate::spawn::spawn;
use crate::wait::until;

/// Kinds of servers.
pub(crate) trait Kind: Send + Sync + 'static {
    fn program(&self) -> Program;

    /// How many ports it listens at.
    fn ports(&self) -> usize {
        1
    }

    /// Writes what it needs into the directory; returns its arguments.
    fn prepare(&self, place: &Place, ports: &[Port]) -> Result<Vec<String>>;

    /// Asks whether it answers. An error is why it does not do so yet.
    fn asks(&self, place: &Place, ports: &[Port]) -> Result<()>;
}

/// A process that serves on 127.0.0.1. Dropping it ends it and removes its directory.
pub struct Server {
    kind: Box<dyn Kind>,
    program: PathBuf,
    arguments: Vec<String>,
    // Dropped in this order: the process ends before its directory goes.
    child: Mutex<Owned>,
    ports: Vec<Port>,
    place: Place,
}

/// Attempts to find a port that nobody else binds meanwhile.
const ATTEMPTS: usize = 5;

impl Server {
    pub(crate) fn start(kind: impl Kind + Clone) -> Result<Self> {
        for _ in 1..ATTEMPTS {
            match Self::launch(kind.clone()) {
                Err(error) if error.to_string().contains("Address already in use") => {}
                outcome => return outcome,
            }
        }
        Self::launch(kind)
    }

    fn launch(kind: impl Kind) -> Result<Self> {
        let program = kind.program().find()?;
        let place = Place::new()?;
        let ports = (0..kind.ports()).map(|_| Port::reserve()).collect::<Result<Vec<_>>>()?;
        let arguments = kind.prepare(&place, &ports)?;
        let child = Mutex::new(Owned::spawn(kind.program(), &program, &arguments, &place)?);
        let server = Self { kind: Box::new(kind), program, arguments, child, ports, place };
        server.wait()?;
        Ok(server)
    }

    /// Until it answers.
    fn wait(&self) -> Result<()> {
        let name = self.name();
        until(&format!("the first answer of {name}"), || {
            let answer = self.kind.asks(&self.place, &self.ports);
            // Asked after the answer, which may be somebody else's who has the port.
            match self.child().ended()? {
                Some(status) => Ok(Some(Err(Error::failed(format!("{name} ended: {status}: {}", self.last_words()))))),
                None => answer.map(|()| Some(Ok(()))),
            }
        })?
    }

    /// The end of what it printed.
    fn last_words(&self) -> String {
        let text = std::fs::read(self.place.join(LOG)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }

    fn name(&self) -> &'static str {
        self.kind.program().name()
    }

    fn child(&self) -> MutexGuard<'_, Owned> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn port_at(&self, index: usize) -> Option<SocketAddr> {
        self.ports.get(index).map(Port::address)
    }

    /// Where it listens; the same after a restart.
    pub fn address(&self) -> SocketAddr {
        self.ports[0].address()
    }

    /// Its private directory, with what it stores and the file `log`, which has what it printed.
    pub fn dir(&self) -> &Path {
        self.place.path()
    }

    /// The number of its process, or of the last one if it does not run.
    pub fn pid(&self) -> u32 {
        self.child().child.id()
    }

    /// Kills it (`SIGKILL`), and returns when it is dead. Fine if it is.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(&self) -> Result<()> {
        self.child().end().context(|| format!("cannot kill {}", self.name()))
    }

    /// Stops it (`SIGSTOP`), and returns when it has stopped: from then on the kernel accepts connections for it, and nothing
    /// is answered.
    ///
    /// # Errors
    /// It is not running.
    pub fn stop(&self) -> Result<()> {
        let mut child = self.child();
        let pid = child.signal(Signal::STOP).context(|| format!("cannot stop {}", self.name()))?;
        let seen = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), seen).context(|| format!("cannot wait for {} to stop", self.name()))?;
        Ok(())
    }

    /// Lets it go on after [`stop`](Self::stop).
    ///
    /// # Errors
    /// It is not running.
    pub fn cont(&self) -> Result<()> {
        self.child().signal(Signal::CONT).context(|| format!("cannot continue {}", self.name()))?;
        Ok(())
    }

    /// Asks it to end (`SIGTERM`), also if it is stopped, and returns when it has. Fine if it does not run.
    ///
    /// # Errors
    /// It does not end within a minute.
    pub fn terminate(&self) -> Result<()> {
        let mut child = self.child();
        if child.ended()?.is_some() {
            return Ok(());
        }
        child.signal(Signal::TERM).context(|| format!("cannot end {}", self.name()))?;
        // It may have ended by then.
        drop(child.signal(Signal::CONT));
        until(&format!("the end of {}", self.name()), || Ok(child.ended()?.map(drop)))
    }

    /// Starts it again with the same ports and directory, [terminating](Self::terminate) it first if it runs; it answers
    /// when this returns.
    ///
    /// # Errors
    /// What the server said when it refused to start.
    pub fn restart(&self) -> Result<()> {
        self.terminate()?;
        *self.child() = Owned::spawn(self.kind.program(), &self.program, &self.arguments, &self.place)?;
        self.wait()
    }
}

const LOG: &str = "log";

/// A child of this process, killed when dropped.
struct Owned {
    child: Child,
    owner: u32,
}

impl Owned {
    fn spawn(program: Program, path: &Path, arguments: &[String], place: &Place) -> Result<Self> {
        let cannot = || format!("cannot start {}", path.display());
        let log = File::options().create(true).append(true).open(place.join(LOG)).context(cannot)?;
        let mut command = Command::new(path);
        // The name matters: Debian's redis-server is one program that goes by several.
        command.arg0(program.name()).args(arguments).current_dir(place.path());
        // Ctrl-C at a terminal is for the tests, not for it.
        command.process_group(0);
        // Nor should a server log what the tests are asked to log.
        command.env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(log.try_clone().context(cannot)?).stderr(log);
        Ok(Self { child: spawn(command).context(cannot)?, owner: std::process::id() })
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context(|| "cannot wait for a child".to_owned())
    }

    fn signal(&mut self, signal: Signal) -> Result<Pid> {
        // Asked first, as the number of a child that has been waited for may be another's by now.
        if let Some(status) = self.ended()? {
            return Err(Error::failed(format!("it is not running: {status}")));
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::failed("a process without a number"))?;
        kill_process(pid, signal).context(|| format!("signal {}", signal.as_raw()))?;
        Ok(pid)
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // A forked child has a copy of this, and no right to what is its parent's.
        if self.owner == std::process::id() {
            drop(self.end());
        }
    }
}
