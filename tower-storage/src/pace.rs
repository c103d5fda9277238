//! Time for retries. A simulation gives its own.

use {
    rustix::rand::{GetRandomFlags, getrandom},
    std::{
        thread,
        time::{Duration, Instant},
    },
    tandem_role::records::Nonce,
};

pub trait Pace: Send {
    /// Time since some fixed moment.
    fn now(&mut self) -> Duration;

    fn pause(&mut self, span: Duration);

    /// A number that no other process draws, not even a clone of this one.
    fn nonce(&mut self) -> Nonce;
}

pub struct SystemPace {
    start: Instant,
}

impl SystemPace {
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Pace for SystemPace {
    fn now(&mut self) -> Duration {
        self.start.elapsed()
    }

    fn pause(&mut self, span: Duration) {
        thread::sleep(span);
    }

    fn nonce(&mut self) -> Nonce {
        // The kernel's: a generator in our memory would be cloned with it.
        let mut bytes = [0; 8];
        let filled =
            getrandom(&mut bytes[..], GetRandomFlags::empty()).expect("invariant: the kernel has random numbers");
        assert_eq!(filled, bytes.len(), "the kernel gives 8 bytes at once");
        Nonce(u64::from_le_bytes(bytes))
    }
}
