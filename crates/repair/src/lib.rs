//! Repair: asking peers for the shreds that did not arrive, and answering when they ask us.
//! Owns: what is asked when and of whom, which answers are ours, who may be answered and how much.   Never knows: the storage
//! engine, sockets, keys (asks for signatures).
//! In: `ClientEvent`, `ServerEvent`.  Out: `Effect`.  Invariant: a shred goes on only if we asked for it and its nonce is ours.
//! Read first: `ports.rs`, then `client.rs` and `server.rs`.
//! Must match: agave 4.2.2 solana-core/src/repair/{serve_repair,repair_service,outstanding_requests}.rs.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod client;
mod outstanding;
mod peers;
mod pings;
mod ports;
mod server;
#[cfg(test)]
mod testing;
mod tokens;

pub use {
    client::RepairClient,
    ports::{ClientEvent, Effect, Packet, Reason, RepairPeer, ServerEvent, ShredSource, Signer, SlotGap},
    server::RepairServer,
};
