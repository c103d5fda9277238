//! Bytes <-> messages of gossip, repair, ip-echo, votes and the tower file.
//! Owns: exact layouts, their bounds, what each signature covers.   Never knows: policy, sockets, keys, clocks.
//! In: bytes from anyone.  Out: a message or a `Reject`.  Invariant: hostile input never panics and never allocates more than it paid for in bytes.
//! Read first: `codec.rs`, then `crds.rs` and `gossip.rs`.
//! Must match: agave 4.2.2 solana-gossip, solana-core/src/repair/serve_repair.rs, solana-net-utils, consensus/tower_storage.rs.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bloom;
#[cfg(test)]
mod captured;
mod codec;
pub mod contact_info;
pub mod crds;
pub mod duplicate_shred;
pub mod epoch_slots;
pub mod gossip;
pub mod ip_echo;
pub mod ping;
mod reject;
pub mod repair;
pub mod tower_file;
pub mod vote_tx;

pub use reject::Reject;
