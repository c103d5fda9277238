//! Gossip: what every node of the cluster says about itself, replicated by push and pull.
//! Owns: the CRDS table; whom to ask, to tell and to believe.   Never knows: sockets, clocks, keys (it asks a `Signer`), what votes mean.
//! In: `Event`.  Out: `Effect`.  Invariant: nothing enters the table unverified, and the table and every cache are bounded.
//! Read first: `ports.rs`, then `machine.rs`; tables in `table.rs`.
//! Must match: agave 4.2.2 solana-gossip (cluster_info.rs, crds.rs, crds_gossip_{push,pull}.rs), protocol.md 4.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod active_set;
mod addresses;
mod budget;
mod config;
mod machine;
mod ping_cache;
mod ports;
mod proofs;
mod received;
mod table;
mod verified;

pub use config::Config;
pub use machine::Gossip;
pub use ports::{Effect, Event, GossipVote, Publication, Reason, Signer};
