//! The two clocks of a machine.

use {
    rustix::time::{ClockId, clock_gettime},
    std::time::{SystemTime, UNIX_EPOCH},
    tandem_types::{Tick, UnixMillis},
};

/// Starts at the process's start; every `Tick` of a node comes from one of these. It goes on while the machine is suspended
/// (`std::time::Instant` does not), so that a node that was put to sleep knows how long.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    start_nanos: u64,
}

impl MonotonicClock {
    pub fn start() -> Self {
        Self { start_nanos: boot_nanos() }
    }

    pub fn now(&self) -> Tick {
        Tick(boot_nanos().saturating_sub(self.start_nanos))
    }
}

fn boot_nanos() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The wall clock: for gossip, repair and vote timestamps; never for deciding who may sign.
pub fn wall_clock() -> UnixMillis {
    UnixMillis(unix_nanos() / 1_000_000)
}

pub fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
