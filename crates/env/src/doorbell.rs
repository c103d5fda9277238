//! How a stage sleeps and is woken: by a ring, or at a moment.

use {
    crate::MonotonicClock,
    std::{
        sync::{Arc, Condvar, Mutex, PoisonError},
        time::Duration,
    },
    tandem_types::Tick,
};

/// Rung by whoever puts something into a link of the stage; waited for by the stage alone. A ring before the wait is not lost.
#[derive(Clone, Default)]
pub struct Doorbell(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Doorbell {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn ring(&self) {
        let mut rung = self.0.rung.lock().unwrap_or_else(PoisonError::into_inner);
        if !*rung {
            *rung = true;
            self.0.bell.notify_one();
        }
    }

    /// Returns when rung, or at `deadline`; without a deadline only when rung.
    pub fn wait_until(&self, clock: &MonotonicClock, deadline: Option<Tick>) {
        let mut rung = self.0.rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*rung {
            let left = match deadline {
                None => Duration::from_secs(3600),
                Some(deadline) => deadline.since(clock.now()),
            };
            if left.is_zero() {
                return;
            }
            rung = self.0.bell.wait_timeout(rung, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *rung = false;
    }
}
