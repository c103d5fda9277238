//! What bad input gets, from outside: one line on standard error that names the file or address, the reason and the remedy, the
//! exit status that says which kind it is, and all of it within seconds. A node that runs goes on whatever is thrown at it.
#![allow(clippy::unwrap_used)]

#[path = "refusals/alone.rs"]
mod alone;
#[path = "refusals/far_vote.rs"]
mod far_vote;
#[path = "refusals/files.rs"]
mod files;
#[path = "refusals/hostile.rs"]
mod hostile;
#[path = "refusals/late_account.rs"]
mod late_account;
#[path = "refusals/log_reader.rs"]
mod log_reader;
#[path = "refusals/signals.rs"]
mod signals;
#[path = "refusals/start.rs"]
mod start;
#[path = "refusals/torn.rs"]
mod torn;
#[path = "refusals/towers.rs"]
mod towers;

use {
    std::{
        fs,
        net::{SocketAddr, TcpListener, UdpSocket},
        path::{Path, PathBuf},
        process::{Child, Command, Output, Stdio},
        sync::atomic::{AtomicU16, Ordering},
        thread,
        time::{Duration, Instant},
    },
    tempfile::TempDir,
};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const REFUSED: i32 = 5;
const STORE_LOST: i32 = 8;

/// Everything a start can be refused for is known by then, an etcd that never answers included.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// A folder with a genesis, its keys, and room for more.
struct Place {
    folder: TempDir,
    ports: u16,
}

impl Place {
    fn new() -> Self {
        let place = Self::empty();
        place.make_genesis("ledger", "", "");
        place
    }

    fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), ports: free_ports() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make_genesis(&self, ledger: &str, keys: &str, more: &str) {
        let line =
            format!("genesis -l @{ledger} --bootstrap-validator @{keys}i.json @{keys}v.json @{keys}s.json {more}");
        let output = self.command(&line).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The words of `line`, where `@` stands for the folder.
    fn command(&self, line: &str) -> Command {
        let prefix = format!("{}/", self.folder.path().display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_validator"));
        command.args(line.split_whitespace().map(|word| word.replace('@', &prefix)));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).env_remove("RUST_LOG");
        command
    }

    /// A start of the primary, with `more` behind what it needs. Where a flag is given twice it is `more`'s that counts.
    fn start(&self, more: &str) -> Command {
        let range = format!("--dynamic-port-range {}-{}", self.ports + 1, self.ports + 30);
        let needed = ["-l @ledger", "-i @i.json", "--vote-account @v.json", &range];
        let flag = |words: &str| words.split(' ').next().map(str::to_owned);
        let kept = needed.into_iter().filter(|words| !more.split(' ').any(|word| flag(words).as_deref() == Some(word)));
        self.command(&kept.chain([more]).collect::<Vec<_>>().join(" "))
    }

    /// It ends by itself with this status, soon, and says all of `parts` in its only line.
    #[track_caller]
    fn refuses(&self, more: &str, status: i32, parts: &[&str]) -> String {
        let mut command = self.start(more);
        let started = Instant::now();
        let output = ends(&mut command);
        let took = started.elapsed();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{command:?}: {error}");
        assert!(took < REFUSED_WITHIN, "{took:?}: {error}");
        assert_eq!(error.lines().count(), 1, "one line: {error}");
        assert!(error.starts_with("error: "), "{error}");
        for part in parts {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
        assert!(output.stdout.is_empty());
        println!("{status} after {took:?}: {}", error.trim_end());
        error
    }

    fn run(&self, more: &str) -> Running {
        let log = fs::File::create(self.path("log")).unwrap();
        let child = self.start(more).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Running { child, log: self.path("log") }
    }
}

/// Waits for the end, but not for ever: a start that is not refused would run on.
fn ends(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + 3 * REFUSED_WITHIN;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// A node, killed when dropped.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !holds() {
            self.still_runs();
            assert!(Instant::now() < until, "not within a minute: {what}\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn still_runs(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "the node ended ({ended:?}):\n{}", self.log());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first of sixty ports below the ephemeral range that nobody has now.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    (0..64)
        .map(|_| 31_000 + (std::process::id() as u16 % 16 + NEXT.fetch_add(1, Ordering::Relaxed)) % 16 * 60)
        .find(|base| {
            let addresses = || (*base..base + 60).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            addresses().all(|address| UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok())
        })
        .expect("sixty free ports")
}

fn name(path: &Path) -> String {
    path.display().to_string()
}
