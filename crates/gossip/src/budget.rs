//! How much work and how many bytes pull requests may cost us.

use {
    std::{collections::BTreeMap, net::IpAddr},
    tandem_types::Tick,
};

/// Bytes of pull responses (cluster_info.rs:update_data_budget): so much per staked node and tenth of a second,
/// saved up for at most half a second.
pub struct SendBudget {
    bytes: u64,
    filled_at: Tick,
}

impl SendBudget {
    pub fn new() -> Self {
        Self { bytes: 0, filled_at: Tick::ZERO }
    }

    pub fn refill(&mut self, now: Tick, staked_nodes: usize) {
        let per_interval = SEND_BYTES_PER_NODE * (staked_nodes as u64).max(STAKED_NODES_ASSUMED_MIN);
        let intervals = now.as_millis().saturating_sub(self.filled_at.as_millis()) / SEND_INTERVAL_MS;
        if intervals > 0 || self.filled_at == Tick::ZERO {
            let gained = per_interval.saturating_mul(intervals.max(1));
            self.bytes = self.bytes.saturating_add(gained).min(SEND_INTERVALS_SAVED * per_interval);
            self.filled_at = now;
        }
    }

    pub fn take(&mut self, bytes: usize) -> bool {
        match self.bytes.checked_sub(bytes as u64) {
            Some(rest) => {
                self.bytes = rest;
                true
            }
            None => false,
        }
    }
}

/// Records looked at, by address of the asker (cluster_info.rs:try_consume_pull_request_scan_budget).
#[derive(Default)]
pub struct ScanBudget {
    askers: BTreeMap<IpAddr, (u64, Tick)>,
}

impl ScanBudget {
    pub fn take(&mut self, now: Tick, asker: IpAddr, cost: u64) -> bool {
        if self.askers.len() >= ASKERS_MAX && !self.askers.contains_key(&asker) {
            // Whoever has not asked for long has its full budget again and needs no entry.
            self.askers.retain(|_, (_, at)| now.since(*at).as_millis() < SCAN_FULL_AFTER_MS);
            if self.askers.len() >= ASKERS_MAX {
                return false;
            }
        }
        let (tokens, at) = self.askers.entry(asker).or_insert((SCAN_CAPACITY, now));
        let gained = (now.as_millis().saturating_sub(at.as_millis())).saturating_mul(SCAN_PER_MS);
        if gained > 0 {
            (*tokens, *at) = (tokens.saturating_add(gained).min(SCAN_CAPACITY), now);
        }
        match tokens.checked_sub(cost) {
            Some(rest) => {
                *tokens = rest;
                true
            }
            None => false,
        }
    }
}

/// What a filter costs: records in its part of the hash space, times its keys (cluster_info.rs:pull_request_scan_cost).
pub fn scan_cost(records: usize, mask_bits: u32, keys: usize) -> u64 {
    let scanned = (records >> mask_bits.min(12)).max(1) as u64;
    scanned.saturating_mul(keys.max(8) as u64)
}

const SEND_BYTES_PER_NODE: u64 = 1024;
const SEND_INTERVAL_MS: u64 = 100;
const SEND_INTERVALS_SAVED: u64 = 5;
/// Agave assumes two: on a small cluster a node that joins then waits long for its first full picture.
const STAKED_NODES_ASSUMED_MIN: u64 = 16;
const SCAN_CAPACITY: u64 = 16 * 65_536;
const SCAN_PER_MS: u64 = 4 * 65_536 / 1000;
const SCAN_FULL_AFTER_MS: u128 = (SCAN_CAPACITY / SCAN_PER_MS) as u128;
const ASKERS_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_is_bounded_and_recovers() {
        let mut budget = SendBudget::new();
        budget.refill(Tick::from_millis(10_000), 3);
        let first: usize = std::iter::from_fn(|| budget.take(1000).then_some(1000)).sum();
        assert!((70_000..=82_000).contains(&first), "half a second of saved budget: {first}");
        budget.refill(Tick::from_millis(10_050), 3);
        assert!(!budget.take(1000), "too early");
        budget.refill(Tick::from_millis(10_100), 3);
        assert!(budget.take(1000));
    }

    #[test]
    fn scanning_is_bounded_per_asker() {
        let mut budget = ScanBudget::default();
        let (greedy, modest) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        let cost = scan_cost(100_000, 6, 3);
        let served = (0..1_000).filter(|_| budget.take(Tick::from_millis(1), greedy, cost)).count();
        assert!(served < 100, "{served}");
        assert!(budget.take(Tick::from_millis(1), modest, cost));
        assert!(budget.take(Tick::from_millis(2_000), greedy, cost), "refilled");
    }
}
