//! The sockets of a node: UDP ports with batches, the QUIC front of the TPU, the client that sends to leaders, ip echo.
//! Owns: sockets, TLS identity on the wire, connection limits, packet buffers.   Never knows: what a packet means.
//! In: bytes for an address.  Out: `Packet`, `TpuPacket` into bounded links; a full link drops and counts, never waits.
//! Read first: `link.rs`, `udp.rs`, then `quic_server.rs` and `quic_client.rs`.
//! Must match: solana-streamer, solana-tls-utils, solana-tpu-client-next and solana-net-utils 4.2.2.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ip_echo;
mod link;
mod mmsg;
pub mod quic_client;
pub mod quic_server;
pub mod tls;
pub mod udp;

pub use {
    link::{Outlet, Packet, TpuPacket, Wake},
    quic_client::{SenderCounters, SenderOptions, TpuSender},
    quic_server::{QuicServer, QuicServerCounters, QuicServerOptions, Stake, StakeLookup},
    tls::{SignHandshake, TpuIdentity},
    udp::{BindError, UdpCounters, UdpOptions, UdpPort, bind_in_range, spawn_receiver},
};

/// A socket or thread of the network could not be made. The text names what, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("starting {what}: the system refused: {source}")]
    Start { what: String, source: std::io::Error },
    #[error("TLS configuration of {what}: {reason}")]
    Tls { what: &'static str, reason: String },
}
