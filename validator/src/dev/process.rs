//! Child processes of the playground: each has a log file, dies with its parent, and is stopped by pid.

use {
    crate::exit::Failure,
    rustix::process::{Pid, Signal, kill_process},
    std::{
        fs::{File, OpenOptions},
        os::unix::process::CommandExt,
        path::{Path, PathBuf},
        process::{Child, Command, ExitStatus, Stdio},
        thread,
        time::{Duration, Instant},
    },
};

pub struct Process {
    pub name: String,
    pub log: PathBuf,
    child: Child,
}

impl Process {
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failure = |what: &str, error: std::io::Error| Failure::failed(format!("{name}: {what} {program}: {error}"));
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|error| Failure::failed(format!("{name}: log {}: {error}", log.display())))?;
        let twin: File = file.try_clone().map_err(|error| failure("log of", error))?;
        command.stdin(Stdio::null()).stdout(file).stderr(twin);
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                // The playground may be killed without a chance to clean up; its children must not outlive it.
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().map_err(|error| {
            failure("starting", error).remedy("install what is missing with scripts/install-deps")
        })?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // A process that has gone already needs no signal.
            let _ = kill_process(pid, signal);
        }
    }

    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the end of the process; `None` when it is still running after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks, waits, insists.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        if self.wait(Duration::from_secs(5)).is_none() {
            self.signal(Signal::KILL);
            self.wait(Duration::from_secs(5));
        }
    }

    /// The last lines of the log, for a failure's report.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
