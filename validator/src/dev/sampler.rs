//! Watches the four nodes while the demonstration runs: how far behind the tip, how much memory and processor.

use {
    super::cluster::Node,
    crate::{admin::client::AdminClient, status::NodeStatus, vote_path::VotePathReport},
    serde::Serialize,
    serde_json::json,
    std::{
        fs,
        path::{Path, PathBuf},
        sync::{
            Arc, Mutex,
            atomic::{AtomicBool, Ordering},
        },
        thread::{self, JoinHandle},
        time::{Duration, Instant},
    },
};

#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    pub name: String,
    /// 99th percentile and maximum of (highest tip of all nodes - its tip), while it was caught up.
    pub p99_slots_behind: u64,
    pub max_slots_behind: u64,
    pub rss_mb: u64,
    pub cpu_percent: f64,
    /// Of the process that released most votes.
    pub vote_path: VotePathReport,
}

#[derive(Default)]
struct Samples {
    behind: Vec<u64>,
    rss_mb: u64,
    /// (pid, processor ticks at its first sample, when) and what finished processes of this node used.
    current: Option<(u32, u64, Instant)>,
    used_seconds: f64,
    watched_seconds: f64,
    last: Option<(u64, Instant)>,
    vote_path: VotePathReport,
}

pub struct Sampler {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<(String, Samples)>>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub fn start(nodes: &[Node]) -> Self {
        let ledgers: Vec<(String, PathBuf)> =
            nodes.iter().map(|node| (node.name.clone(), node.ledger.clone())).collect();
        let samples = Arc::new(Mutex::new(
            ledgers.iter().map(|(name, _)| (name.clone(), Samples::default())).collect::<Vec<_>>(),
        ));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (samples, stop) = (samples.clone(), stop.clone());
            thread::Builder::new()
                .name("sampler".into())
                .spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        sample(&ledgers, &samples);
                        thread::sleep(Duration::from_millis(500));
                    }
                })
                .ok()
        };
        Self { stop, samples, thread }
    }

    pub fn finish(mut self) -> Vec<NodeReport> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the sampler has already been printed; the report then shows what was seen before.
            let _ = thread.join();
        }
        let mut samples = self.samples.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        samples
            .iter_mut()
            .map(|(name, samples)| {
                samples.close();
                samples.behind.sort_unstable();
                let rank = (samples.behind.len() * 99).div_ceil(100).saturating_sub(1);
                NodeReport {
                    name: name.clone(),
                    p99_slots_behind: samples.behind.get(rank).copied().unwrap_or_default(),
                    max_slots_behind: samples.behind.last().copied().unwrap_or_default(),
                    rss_mb: samples.rss_mb,
                    cpu_percent: if samples.watched_seconds > 0.0 {
                        (samples.used_seconds * 1000.0 / samples.watched_seconds).round() / 10.0
                    } else {
                        0.0
                    },
                    vote_path: samples.vote_path,
                }
            })
            .collect()
    }
}

impl Samples {
    fn close(&mut self) {
        if let (Some((_, first_ticks, first)), Some((last_ticks, last))) = (self.current.take(), self.last.take()) {
            self.used_seconds += last_ticks.saturating_sub(first_ticks) as f64 / TICKS_PER_SECOND;
            self.watched_seconds += last.duration_since(first).as_secs_f64();
        }
    }
}

fn sample(ledgers: &[(String, PathBuf)], samples: &Mutex<Vec<(String, Samples)>>) {
    // All at once: tips that were looked at one after another would differ by that alone.
    let seen: Vec<Option<(NodeStatus, u32)>> = thread::scope(|scope| {
        let asked: Vec<_> = ledgers.iter().map(|(_, ledger)| scope.spawn(|| ask(ledger))).collect();
        asked.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    let tip = seen.iter().flatten().map(|(status, _)| status.tip).max().unwrap_or_default();
    let mut samples = samples.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for ((_, samples), seen) in samples.iter_mut().zip(seen) {
        let Some((status, pid)) = seen else { continue };
        if status.vote_path.votes >= samples.vote_path.votes {
            samples.vote_path = status.vote_path;
        }
        if status.caught_up {
            samples.behind.push(tip.saturating_sub(status.tip));
        }
        if let Some((ticks, rss_mb)) = usage(pid) {
            samples.rss_mb = samples.rss_mb.max(rss_mb);
            let now = Instant::now();
            if samples.current.is_none_or(|(known, _, _)| known != pid) {
                samples.close();
                samples.current = Some((pid, ticks, now));
            }
            samples.last = Some((ticks, now));
        }
    }
}

/// A stopped (SIGSTOP) node does not answer: its sample is left out.
fn ask(ledger: &Path) -> Option<(NodeStatus, u32)> {
    let mut client = AdminClient::connect_within(ledger, Duration::from_millis(300)).ok()?;
    Some((client.call("tandemStatus", json!([])).ok()?, client.call("pid", json!([])).ok()?))
}

/// Processor ticks used and resident megabytes of a process, from /proc.
pub fn usage(pid: u32) -> Option<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((ticks, kilobytes / 1024))
}

/// Linux reports processor time in hundredths of a second (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_usage_can_be_read() {
        let (_, rss_mb) = usage(std::process::id()).expect("we run");
        assert!((1..100_000).contains(&rss_mb), "{rss_mb} MB");
        assert!(usage(0).is_none());
    }

    #[test]
    fn a_restart_begins_a_new_count_and_keeps_the_old() {
        let start = Instant::now();
        let mut samples = Samples { current: Some((1, 100, start)), ..Samples::default() };
        samples.last = Some((300, start + Duration::from_secs(4)));
        samples.close();
        assert_eq!((samples.used_seconds, samples.watched_seconds), (2.0, 4.0));
        samples.close();
        assert_eq!((samples.used_seconds, samples.watched_seconds), (2.0, 4.0), "counted once");
    }
}
