//! Turbine: who sends a shred to whom, the same answer on every node.
//! Owns: the seeded weighted shuffle, the cluster's order, the retransmit tree.   Never knows: packets, sockets, time, where stakes and contacts come from.
//! In: stakes, contacts, a shred's seed.  Out: whom to send it to, whom it must have come from.
//! Read first: `cluster.rs`, then `tree.rs` and `shuffle.rs`.
//! Must match: agave turbine/src/cluster_nodes.rs, gossip/src/weighted_shuffle.rs, random/src/range.rs (v4.2).
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cluster;
mod rng;
mod shuffle;
mod tree;

pub use {
    cluster::{AddressRule, Children, ClusterNodes, FANOUT, Loopback, Node},
    rng::{Cipher, TurbineRng, uniform},
    shuffle::WeightedShuffle,
};
