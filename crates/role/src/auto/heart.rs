//! The owner's sign of life.

use {
    std::time::Duration,
    tandem_types::{Slot, Tick},
};

/// When to beat. A machine that is cut off from the cluster but not from the store keeps silent: it is as good as dead,
/// and a standby should know.
#[derive(Debug)]
pub struct Heart {
    count: u64,
    next: Tick,
    tip: Slot,
    tip_moved: Tick,
}

impl Heart {
    pub fn new(now: Tick) -> Self {
        Self { count: 0, next: now, tip: 0, tip_moved: now }
    }

    /// The number of the beat that is due, if one is. `tip`: highest slot replayed here.
    pub fn beat(&mut self, now: Tick, tip: Slot) -> Option<u64> {
        if tip != self.tip {
            (self.tip, self.tip_moved) = (tip, now);
        }
        if now < self.next {
            return None;
        }
        self.next = now + BEAT_EVERY;
        if now.since(self.tip_moved) > STUCK_AFTER {
            return None;
        }
        self.count += 1;
        Some(self.count)
    }

    pub fn next_deadline(&self) -> Tick {
        self.next
    }
}

/// A third of the silence that counts: one lost beat is nothing yet.
pub const BEAT_EVERY: Duration = Duration::from_millis(150);
/// Longer than any leader's window that nobody fills.
const STUCK_AFTER: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    #[test]
    fn beats_while_the_chain_moves_and_falls_silent_when_it_is_stuck() {
        let mut heart = Heart::new(at(0));
        assert_eq!((heart.beat(at(0), 5), heart.beat(at(149), 5), heart.beat(at(150), 5)), (Some(1), None, Some(2)));
        assert_eq!(heart.next_deadline(), at(300));
        assert_eq!((heart.beat(at(4_000), 5), heart.beat(at(4_151), 5)), (Some(3), None), "cut off");
        assert_eq!(heart.beat(at(4_400), 6), Some(4), "back");
    }
}
