//! Where log lines go: a bounded queue, and one thread that writes.
//!
//! Nobody who logs ever waits for whoever reads the log. A terminal that was stopped, a pipe into something that hangs, a disk
//! that stalls: the queue fills, further lines are dropped and counted, and when writing goes on the log says how many.

use {
    crossbeam_channel::{Receiver, Sender, bounded},
    std::{
        fs::{File, OpenOptions},
        io::{self, Write},
        path::{Path, PathBuf},
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        },
        thread,
        time::Duration,
    },
};

/// The end that is written to by everybody. Each `write` is one whole line: `tracing_subscriber::fmt` writes a line at once.
#[derive(Clone)]
pub(super) struct Lines(Arc<Queue>);

struct Queue {
    sender: Sender<Item>,
    bytes: AtomicUsize,
    dropped: AtomicU64,
    /// Wished for, in case the queue has no room for the wish.
    reopen: AtomicBool,
}

enum Item {
    Line(Vec<u8>),
    /// Look whether the file is to be opened anew.
    Wake,
    /// Everything before this is written when it is answered.
    Flush(Sender<()>),
}

pub(super) enum Target {
    StandardError,
    File { path: PathBuf, file: File },
}

impl Target {
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self::File { path: path.to_owned(), file })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            // A reader that has gone is nobody's failure.
            Self::StandardError => io::stderr().lock().write_all(bytes),
            Self::File { file, .. } => file.write_all(bytes),
        }
    }

    /// What is wrong, if the old one has to do.
    fn reopen(&mut self) -> Result<(), String> {
        let Self::File { path, file } = self else { return Ok(()) };
        let opened = OpenOptions::new().create(true).append(true).open(&*path);
        *file = opened.map_err(|error| {
            format!("the log file {} cannot be opened anew ({error}): going on in the old one\n", path.display())
        })?;
        Ok(())
    }
}

impl Lines {
    pub fn start(target: Target) -> io::Result<Self> {
        let (sender, receiver) = bounded(LINES_MAX);
        let queue =
            Queue { sender, bytes: AtomicUsize::new(0), dropped: AtomicU64::new(0), reopen: AtomicBool::new(false) };
        let lines = Self(Arc::new(queue));
        let writer = Writer { queue: lines.0.clone(), receiver, target, told: 0 };
        thread::Builder::new().name("log".into()).spawn(move || writer.run())?;
        Ok(lines)
    }

    /// Lines lost since the start.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    pub fn reopen(&self) {
        self.0.reopen.store(true, Relaxed);
        let _seen_with_the_next_line = self.0.sender.try_send(Item::Wake);
    }

    /// Waits until what was logged before is written, but not for ever.
    pub fn flush(&self, limit: Duration) {
        let (answer, done) = bounded(1);
        if self.0.sender.send_timeout(Item::Flush(answer), limit).is_ok() {
            let _stuck = done.recv_timeout(limit);
        }
    }

    fn push(&self, line: &[u8]) {
        let queued = self.0.bytes.fetch_add(line.len(), Relaxed);
        let fits = queued + line.len() <= BYTES_MAX;
        if !fits || self.0.sender.try_send(Item::Line(line.to_vec())).is_err() {
            self.0.bytes.fetch_sub(line.len(), Relaxed);
            self.0.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Writer {
    queue: Arc<Queue>,
    receiver: Receiver<Item>,
    target: Target,
    /// Dropped lines that the log has told of.
    told: u64,
}

impl Writer {
    fn run(mut self) {
        while let Ok(item) = self.receiver.recv() {
            if self.queue.reopen.swap(false, Relaxed)
                && let Err(problem) = self.target.reopen()
            {
                self.write(problem.as_bytes());
            }
            match item {
                Item::Line(line) => {
                    self.write(&line);
                    self.queue.bytes.fetch_sub(line.len(), Relaxed);
                    self.tell_dropped();
                }
                Item::Wake => {}
                Item::Flush(answer) => {
                    let _gave_up_waiting = answer.send(());
                }
            }
        }
    }

    /// Where writing goes on: after the line that it had stopped at.
    fn tell_dropped(&mut self) {
        let dropped = self.queue.dropped.load(Relaxed);
        if dropped > self.told {
            let text =
                format!("{} log lines were dropped here: the log could not be written in time\n", dropped - self.told);
            self.told = dropped;
            self.write(text.as_bytes());
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.target.write(bytes).is_err() {
            self.queue.dropped.fetch_add(1, Relaxed);
            // Not told where it cannot be.
            self.told += 1;
        }
    }
}

/// A second of a very talkative node.
const LINES_MAX: usize = 8_192;
const BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use {super::*, std::fs, tempfile::TempDir};

    #[test]
    fn a_full_queue_drops_counts_and_says_so() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("pipe");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the name is a C string that lives on.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        // Both ends are ours, and nobody reads: writing stops after 64 kB.
        let reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut lines = Lines::start(Target::file(&path).unwrap()).unwrap();
        let line = [b'x'; 1023];
        for _ in 0..20_000 {
            lines.write_all(&[&line[..], b"\n"].concat()).unwrap();
        }
        assert!(lines.dropped() > 10_000, "{} were dropped", lines.dropped());
        assert!(lines.0.bytes.load(Relaxed) <= BYTES_MAX);
        lines.flush(Duration::from_millis(50));
        let read = thread::spawn(move || {
            let mut text = String::new();
            let mut reader = io::BufReader::new(reader);
            while !text.ends_with("dropped here: the log could not be written in time\n") {
                io::BufRead::read_line(&mut reader, &mut text).unwrap();
            }
            text
        });
        let text = read.join().unwrap();
        assert!(text.lines().last().unwrap().starts_with(|first: char| first.is_ascii_digit()), "how many is said");
        assert!(text.starts_with('x'));
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("log");
        let mut lines = Lines::start(Target::file(&path).unwrap()).unwrap();
        lines.write_all(b"before\n").unwrap();
        lines.flush(Duration::from_secs(5));
        fs::rename(&path, folder.path().join("log.1")).unwrap();
        lines.reopen();
        lines.write_all(b"after\n").unwrap();
        lines.flush(Duration::from_secs(5));
        assert_eq!(fs::read_to_string(folder.path().join("log.1")).unwrap(), "before\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        // A folder that is gone: the old file has to do, and says why.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        lines.reopen();
        lines.flush(Duration::from_secs(5));
        assert_eq!(lines.dropped(), 0);
    }
}
