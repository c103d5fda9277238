//! Child processes of the playground: each has a log file, dies with its parent, and is stopped by pid.

use {
    super::interrupt,
    crate::exit::Failure,
    rustix::process::{Pid, Signal, kill_process},
    std::{
        fs::OpenOptions,
        io::{self, Read},
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
    /// Starts `command` with its output appended to `log`. Call it on a thread that lives as long as the process shall.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self, Failure> {
        let log_failure = |error: io::Error| Failure::failed(format!("{name}: log file {}: {error}", log.display()));
        let file = OpenOptions::new().create(true).append(true).open(log).map_err(log_failure)?;
        let twin = file.try_clone().map_err(log_failure)?;
        command.stdin(Stdio::null()).stdout(file).stderr(twin);
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child: spawn_bound(name, &mut command)? })
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // A process that has gone already needs no signal; until it is waited for, its pid is nobody else's.
            let _ = kill_process(pid, signal);
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
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

    /// Asks for the end without waiting for it; a stopped process is woken to hear it.
    pub fn ask_to_end(&mut self) {
        if self.try_wait().is_none() {
            self.signal(Signal::TERM);
            self.signal(Signal::CONT);
        }
    }

    /// The last lines of the log, indented, for a failure's report.
    pub fn log_tail(&self, lines: usize) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        let tail: String = all[all.len().saturating_sub(lines)..].iter().map(|line| format!("    {line}\n")).collect();
        format!("the last lines of {}:\n{tail}", self.log.display())
    }
}

impl Drop for Process {
    /// Asks, waits, insists.
    fn drop(&mut self) {
        self.ask_to_end();
        if self.wait(END_TIME_MAX).is_none() {
            self.signal(Signal::KILL);
            self.wait(END_TIME_MAX);
        }
    }
}

/// Runs a command to its end and returns what it printed to standard output; a failure has what it printed to standard
/// error. Ends it after `limit`, or when the playground is interrupted.
pub fn output(mut command: Command, limit: Duration) -> Result<String, Failure> {
    let shown = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn_bound(&shown, &mut command)?;
    let drain = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read before an error is all there is.
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = drain(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let stderr = drain(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let mut process = Process { name: shown.clone(), log: PathBuf::new(), child };
    let deadline = Instant::now() + limit;
    let ended = loop {
        match process.wait(Duration::from_millis(50)) {
            Some(status) => break Ok(status),
            None if interrupt::interrupted() => break interrupt::check().map(|()| ExitStatus::default()),
            None if Instant::now() > deadline => {
                break Err(Failure::failed(format!("{shown} has not ended after {limit:?}")));
            }
            None => {}
        }
    };
    drop(process);
    let (printed, complained) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    match ended? {
        status if status.success() => Ok(printed),
        status => Err(Failure::failed(format!("{shown} ended with {status}: {printed}{complained}"))),
    }
}

/// Starts a child that the kernel kills when this thread ends: the playground may itself be killed without a chance to
/// clean up. It is in a process group of its own, so that Ctrl-C reaches the playground alone, which then ends it in order.
fn spawn_bound(name: &str, command: &mut Command) -> Result<Child, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let parent = std::process::id();
    command.process_group(0);
    // SAFETY: between fork and exec only prctl and getppid are called, which are async-signal-safe and allocate nothing.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before prctl took effect.
            if libc::getppid().unsigned_abs() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    command.spawn().map_err(|error| {
        let failure = Failure::failed(format!("starting {program} for {name}: {error}"));
        match error.kind() {
            io::ErrorKind::NotFound => failure.remedy("install what is missing with scripts/install-deps"),
            _other => failure,
        }
    })
}

const END_TIME_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_command_prints_and_how_it_ends() {
        let limit = Duration::from_secs(10);
        assert_eq!(output(shell("echo out; echo err >&2"), limit).expect("ends well"), "out\n");
        let failure = output(shell("echo out; echo err >&2; exit 7"), limit).expect_err("status 7").to_string();
        assert!(failure.contains("exit status: 7") && failure.contains("out; err"), "{failure}");
        let failure = output(Command::new("no-such-program"), limit).expect_err("absent").to_string();
        assert!(failure.contains("no-such-program") && failure.contains("install"), "{failure}");
    }

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let started = Instant::now();
        let failure = output(shell("exec sleep 60"), Duration::from_millis(100)).expect_err("too slow").to_string();
        assert!(failure.contains("has not ended"), "{failure}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_stopped_process_ends_with_its_owner() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        let process = Process::spawn("sleeper", shell("echo started; exec sleep 60"), &log).expect("starts");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !process.log_tail(1).contains("    started") {
            assert!(Instant::now() < deadline, "{}", process.log_tail(5));
            thread::sleep(Duration::from_millis(5));
        }
        process.signal(Signal::STOP);
        let pid = process.child.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
