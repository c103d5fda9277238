//! What leaves this crate: packets, into a bounded link that is never waited for.

use {
    crossbeam_channel::{Sender, TrySendError},
    std::{net::SocketAddr, sync::Arc},
    tandem_types::Pubkey,
};

/// One datagram as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    pub from: SocketAddr,
    pub bytes: Vec<u8>,
}

/// One transaction as it came over QUIC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TpuPacket {
    /// The key of the peer's certificate, proven by the handshake. None: its certificate holds no Ed25519 key.
    pub peer: Option<Pubkey>,
    pub from: SocketAddr,
    pub bytes: bytes::Bytes,
}

/// Called after something was put into a link, to wake the stage that reads it (its doorbell).
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The writing end of a link: a bounded channel, and how to wake its reader.
#[derive(Clone)]
pub struct Outlet<T> {
    sender: Sender<T>,
    wake: Option<Wake>,
}

/// What became of an item offered to a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offered {
    Taken,
    /// The reader is too slow; the item is dropped.
    Full,
    /// Nobody reads any more.
    Closed,
}

impl<T> Outlet<T> {
    pub fn waking(sender: Sender<T>, wake: Wake) -> Self {
        Self { sender, wake: Some(wake) }
    }

    /// Puts without waking; callers that put a batch call `wake` once behind it.
    pub fn offer(&self, item: T) -> Offered {
        match self.sender.try_send(item) {
            Ok(()) => Offered::Taken,
            Err(TrySendError::Full(_)) => Offered::Full,
            Err(TrySendError::Disconnected(_)) => Offered::Closed,
        }
    }

    pub fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake();
        }
    }
}

impl<T> From<Sender<T>> for Outlet<T> {
    fn from(sender: Sender<T>) -> Self {
        Self { sender, wake: None }
    }
}
