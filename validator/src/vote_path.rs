//! How long a vote takes from "bank frozen" to "on the wire", the store's commit apart.

use {
    serde::{Deserialize, Serialize},
    std::{
        collections::VecDeque,
        sync::{Mutex, PoisonError},
        time::Duration,
    },
};

/// The newest samples; about half an hour of votes.
const SAMPLES_MAX: usize = 4_096;

#[derive(Default)]
pub struct VotePath(Mutex<VecDeque<Sample>>);

#[derive(Clone, Copy)]
struct Sample {
    own_us: u64,
    record_us: u64,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct VotePathReport {
    pub votes: usize,
    /// The node's own work from bank frozen to wire.
    pub own_p50_us: u64,
    pub own_p99_us: u64,
    /// The store's commit.
    pub record_p50_us: u64,
    pub record_p99_us: u64,
}

impl VotePath {
    /// `total`: from the bank's freeze to the send; `record`: how much of it was the store's.
    pub fn add(&self, total: Duration, record: Duration) {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Sample { own_us: micros(total.saturating_sub(record)), record_us: micros(record) });
    }

    pub fn report(&self) -> VotePathReport {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ranks = |of: fn(&Sample) -> u64| {
            let mut values: Vec<u64> = samples.iter().map(of).collect();
            values.sort_unstable();
            let at = |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
            (at(50).unwrap_or_default(), at(99).unwrap_or_default())
        };
        let (own_p50_us, own_p99_us) = ranks(|sample| sample.own_us);
        let (record_p50_us, record_p99_us) = ranks(|sample| sample.record_us);
        VotePathReport { votes: samples.len(), own_p50_us, own_p99_us, record_p50_us, record_p99_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_share_is_told_apart() {
        let path = VotePath::default();
        for ms in 1..=100 {
            path.add(Duration::from_millis(ms + 2), Duration::from_millis(ms));
        }
        let report = path.report();
        assert_eq!(report.votes, 100);
        assert_eq!((report.own_p50_us, report.own_p99_us), (2_000, 2_000));
        assert_eq!((report.record_p50_us, report.record_p99_us), (50_000, 99_000));
    }
}
