//! Whether this process ran all the time. A thread that waited, for a disk or for another thread, was away alone: the rest of
//! the process went on, and nobody took over from it for that. A process that was stopped (SIGSTOP, a frozen cgroup, a
//! suspended machine) was away as a whole, and somebody else may have taken its place. Only a thread that does nothing but
//! look at the clock tells the two apart.

use {
    crate::MonotonicClock,
    std::{
        io,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        thread,
        time::Duration,
    },
    tandem_types::Tick,
};

#[derive(Clone, Default)]
pub struct Pulse(Arc<Inside>);

#[derive(Default)]
struct Inside {
    /// The last beat, in nanoseconds; 0 before the first.
    last: AtomicU64,
    /// The beat before the newest pause, which is that pause's name; 0: there was none.
    paused_at: AtomicU64,
}

/// The newest pause a reader has acted on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen(u64);

impl Pulse {
    /// Beats from now on, until nobody has a copy of it any more.
    pub fn start(clock: MonotonicClock) -> io::Result<Self> {
        let pulse = Self::default();
        pulse.beat(clock.now());
        let inside = Arc::downgrade(&pulse.0);
        thread::Builder::new().name("pulse".into()).spawn(move || {
            while let Some(inside) = inside.upgrade() {
                Self(inside).beat(clock.now());
                thread::sleep(BEAT_EVERY);
            }
        })?;
        Ok(pulse)
    }

    pub fn beat(&self, now: Tick) {
        let last = self.0.last.load(Ordering::Acquire);
        if last > 0 && now.since(Tick(last)) > SLEPT_MIN {
            self.0.paused_at.store(last, Ordering::Release);
        }
        // After the pause has its name: whoever sees this beat sees that as well.
        self.0.last.store(now.0.max(1), Ordering::Release);
    }

    /// Whether the process stood still since the last time this was asked. Right also for the thread that wakes up first: then
    /// the last beat is as long ago as the pause took.
    pub fn slept(&self, now: Tick, seen: &mut Seen) -> bool {
        let last = self.0.last.load(Ordering::Acquire);
        let stands_still = last > 0 && now.since(Tick(last)) > SLEPT_MIN;
        let pause = if stands_still { last } else { self.0.paused_at.load(Ordering::Acquire) };
        let is_new = pause > seen.0;
        *seen = Seen(pause.max(seen.0));
        is_new
    }
}

const BEAT_EVERY: Duration = Duration::from_millis(50);
/// A machine so busy that a thread which asks for nothing does not run for so long has left its slots to others as well.
const SLEPT_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    #[test]
    fn a_thread_that_waited_has_not_slept() {
        let (pulse, mut seen) = (Pulse::default(), Seen::default());
        for ms in (100..5_000).step_by(50) {
            pulse.beat(at(ms));
        }
        assert!(!pulse.slept(at(4_960), &mut seen), "five seconds away, but the process ran");
        assert!(!pulse.slept(at(5_900), &mut seen));
    }

    #[test]
    fn a_pause_is_seen_once_whoever_wakes_up_first() {
        for reader_first in [true, false] {
            let (pulse, mut seen, mut other) = (Pulse::default(), Seen::default(), Seen::default());
            for round in 1..4u64 {
                let wakes = round * 10_000;
                pulse.beat(at(wakes - 4_000));
                assert!(!pulse.slept(at(wakes - 3_990), &mut seen));
                if reader_first {
                    assert!(pulse.slept(at(wakes), &mut seen), "round {round}");
                    assert!(!pulse.slept(at(wakes + 1), &mut seen), "once");
                }
                pulse.beat(at(wakes + 2));
                assert_eq!(pulse.slept(at(wakes + 3), &mut seen), !reader_first, "round {round}");
                assert!(!pulse.slept(at(wakes + 4), &mut seen));
                assert!(pulse.slept(at(wakes + 5), &mut other), "everybody has to know");
                pulse.beat(at(wakes + 900));
                pulse.beat(at(wakes + 1_800));
                pulse.beat(at(wakes + 2_700));
                pulse.beat(at(wakes + 3_600));
                pulse.beat(at(wakes + 4_500));
                pulse.beat(at(wakes + 5_400));
            }
        }
    }

    #[test]
    fn without_a_pulse_nobody_sleeps() {
        assert!(!Pulse::default().slept(at(1 << 40), &mut Seen::default()));
    }
}
