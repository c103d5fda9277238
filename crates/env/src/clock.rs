//! The two clocks of a machine.

use {
    std::time::{Instant, SystemTime, UNIX_EPOCH},
    tandem_types::{Tick, UnixMillis},
};

/// Starts at the process's start; every `Tick` of a node comes from one of these.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    start: Instant,
}

impl MonotonicClock {
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub fn now(&self) -> Tick {
        Tick(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// The wall clock: for gossip, repair and vote timestamps; never for deciding who may sign.
pub fn wall_clock() -> UnixMillis {
    UnixMillis(unix_nanos() / 1_000_000)
}

pub fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
