//! Links between stages: bounded, counted when full, and they ring the reader's doorbell.

use {
    crate::Doorbell,
    crossbeam_channel::{Receiver, Sender, TrySendError, bounded},
    std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        time::Duration,
    },
};

/// The writing end.
pub struct Tx<T> {
    sender: Sender<T>,
    bell: Doorbell,
    dropped: Arc<AtomicU64>,
}

/// The reading end.
pub struct Rx<T> {
    receiver: Receiver<T>,
}

/// The reader has gone: the node is stopping.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stage that reads this link has stopped")]
pub struct Closed;

pub fn link<T>(capacity: usize, bell: &Doorbell) -> (Tx<T>, Rx<T>) {
    let (sender, receiver) = bounded(capacity);
    (Tx { sender, bell: bell.clone(), dropped: Arc::default() }, Rx { receiver })
}

impl<T> Tx<T> {
    /// For what may be lost (packets, hints): drops and counts when the link is full. True if it was taken.
    pub fn offer(&self, item: T) -> bool {
        match self.sender.try_send(item) {
            Ok(()) => {
                self.bell.ring();
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Relaxed);
                false
            }
        }
    }

    /// For what must not be lost: waits while the link is full.
    pub fn send(&self, item: T) -> Result<(), Closed> {
        let mut item = item;
        loop {
            match self.sender.send_timeout(item, Duration::from_millis(100)) {
                Ok(()) => {
                    self.bell.ring();
                    return Ok(());
                }
                Err(crossbeam_channel::SendTimeoutError::Timeout(back)) => item = back,
                Err(crossbeam_channel::SendTimeoutError::Disconnected(_)) => return Err(Closed),
            }
        }
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// The plain sender and the bell, for a crate that brings its own outlet.
    pub fn parts(&self) -> (Sender<T>, Doorbell) {
        (self.sender.clone(), self.bell.clone())
    }
}

impl<T> Clone for Tx<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), bell: self.bell.clone(), dropped: self.dropped.clone() }
    }
}

impl<T> Rx<T> {
    pub fn pop(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    pub fn len(&self) -> usize {
        self.receiver.len()
    }
}
