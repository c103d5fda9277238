//! What an operator decides, and the figures agave and we have in common.

use std::{net::SocketAddr, time::Duration};

#[derive(Clone, Debug)]
pub struct Config {
    /// Gossip addresses to ask while we know nobody. May be empty for the first node of a cluster.
    pub entrypoints: Vec<SocketAddr>,
    /// Whether private and loopback addresses are believed and sent to (agave's --allow-private-addr).
    pub allow_private_addresses: bool,
    /// How long records of staked nodes are kept without a sign of life.
    pub epoch_duration: Duration,
    /// Bounds of the table: origins (agave's CRDS_UNIQUE_PUBKEY_CAPACITY is 8,192) and records of all of them.
    pub origins_max: usize,
    pub values_max: usize,
    /// Agave has no such bound: one unstaked key may there hold 800 records.
    pub values_per_unstaked_origin_max: usize,
}

impl Config {
    /// The bounds of agave, or tighter.
    pub fn new(entrypoints: Vec<SocketAddr>, allow_private_addresses: bool) -> Self {
        Self {
            entrypoints,
            allow_private_addresses,
            epoch_duration: Duration::from_millis(432_000 * 400),
            origins_max: 8_192,
            values_max: 131_072,
            values_per_unstaked_origin_max: 64,
        }
    }
}

/// Pushed values, pull callers and unstaked records may be this far off or old (CRDS_GOSSIP_PULL_CRDS_TIMEOUT_MS).
pub(crate) const TIMEOUT_MS: u64 = 15_000;
/// Own contact info and the active set are renewed at half of that.
pub(crate) const REFRESH: Duration = Duration::from_millis(TIMEOUT_MS / 2);
/// Prunes must be this fresh (CRDS_GOSSIP_PRUNE_MSG_TIMEOUT_MS).
pub(crate) const PRUNE_TIMEOUT_MS: u64 = 500;
/// A peer we have not heard of for so long is not asked or pushed to (crds_gossip.rs:ACTIVE_TIMEOUT).
pub(crate) const ACTIVE_MS: u64 = 60_000;
/// Hashes of replaced records are kept this long, so that nobody sends them again.
pub(crate) const PURGED_MS: u64 = 5 * TIMEOUT_MS;

/// One pull round asks about an eighth of the hash space (crds_gossip_pull.rs:SAMPLE_RATE). Agave has two rounds a
/// second and draws the eighth by lot; we go round in turn, so one a second covers everything in eight seconds.
pub(crate) const PULL_SHARE: u64 = 8;
pub(crate) const PULL_EVERY: Duration = Duration::from_secs(1);
/// While we know nobody: how often entrypoints are poked, and how often asked about everything.
pub(crate) const POKE_EVERY: Duration = Duration::from_millis(500);
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(4);
/// While a peer is known, an entrypoint that is not among the peers is asked this often.
pub(crate) const ENTRYPOINT_EVERY: Duration = REFRESH;
pub(crate) const PURGE_EVERY: Duration = Duration::from_secs(1);
/// What we pass on waits this long for company, so that a burst becomes few packets.
pub(crate) const FORWARD_AFTER: Duration = Duration::from_millis(20);
/// A peer that has just pinged us gets our contact info once it has seen our pong: agave drops contact infos of
/// addresses it has not verified, and would otherwise hear of us 7.5 s later.
pub(crate) const GREET_AFTER: Duration = Duration::from_millis(100);

/// push_active_set.rs, crds_gossip_push.rs: fanout and the size of the set it is drawn from.
pub(crate) const FANOUT: usize = 9;
pub(crate) const ACTIVE_SET: usize = FANOUT + 3;
/// crds_gossip_push.rs:MAX_NUM_PUSHES, per flush.
pub(crate) const PUSHES_MAX: usize = 1 << 12;

/// crds_filter.rs: from so many staked nodes on, some kinds are taken from staked nodes only.
pub(crate) const STAKED_NODES_MIN: usize = 500;
pub(crate) const STAKE_MIN: u64 = 1_000_000_000;
