//! Time for retries. A simulation gives its own.

use std::{
    thread,
    time::{Duration, Instant},
};

pub trait Pace: Send {
    /// Time since some fixed moment.
    fn now(&mut self) -> Duration;

    fn pause(&mut self, span: Duration);
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
}
