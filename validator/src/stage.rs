//! What a stage is: a shell around machines, stepped until idle, then parked on its doorbell or its deadline.

use {
    crate::exit::Failure,
    std::{
        io,
        sync::{
            Arc, Condvar, Mutex, PoisonError,
            atomic::{AtomicBool, Ordering},
        },
        thread::{self, JoinHandle},
        time::Duration,
    },
    tandem_env::{Doorbell, MonotonicClock},
    tandem_types::Tick,
};

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// There may be more to do at once.
    Busy,
    /// Nothing to do before this moment, unless the doorbell rings.
    Idle(Option<Tick>),
}

/// Owns its ends of links; performs effects; decides nothing.
pub trait Stage: Send {
    fn step(&mut self, now: Tick) -> Result<Progress, Failure>;

    /// Called once when the node stops, after the last step.
    fn stop(&mut self) {}
}

/// How the node's end is asked for and waited for. The first reason counts.
#[derive(Clone, Default)]
pub struct ExitLatch(Arc<Latch>);

#[derive(Default)]
struct Latch {
    stopping: AtomicBool,
    reason: Mutex<Option<Failure>>,
    changed: Condvar,
}

impl ExitLatch {
    pub fn request(&self, reason: Failure) {
        let mut first = self.0.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(reason);
        }
        self.0.changed.notify_all();
    }

    /// Waits until the end is asked for, `limit` at most.
    pub fn wait(&self, limit: Duration) -> Option<Failure> {
        let reason = self.0.reason.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut reason, _) = self
            .0
            .changed
            .wait_timeout_while(reason, limit, |reason| reason.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        reason.take()
    }

    /// Stages end after their current step.
    pub fn stop_stages(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    pub fn stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire)
    }
}

/// A running stage.
pub struct StageThread {
    pub name: &'static str,
    bell: Doorbell,
    thread: JoinHandle<()>,
}

/// No stage sleeps longer, so that the end of the node is seen even by one that nobody wakes.
const PARK_MAX: Duration = Duration::from_millis(200);

impl StageThread {
    pub fn spawn(
        name: &'static str,
        mut stage: Box<dyn Stage>,
        bell: Doorbell,
        clock: MonotonicClock,
        exit: ExitLatch,
    ) -> io::Result<Self> {
        let own_bell = bell.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                while !exit.stopping() {
                    let now = clock.now();
                    match stage.step(now) {
                        Ok(Progress::Busy) => {}
                        Ok(Progress::Idle(deadline)) => {
                            let latest = now + PARK_MAX;
                            bell.wait_until(&clock, Some(deadline.map_or(latest, |deadline| deadline.min(latest))));
                        }
                        Err(failure) => {
                            tracing::error!(stage = name, "{failure}");
                            exit.request(failure);
                            return;
                        }
                    }
                }
                stage.stop();
            }));
            if ended.is_err() {
                // A bug is an assert that failed: the panic hook has said where. The node must not go on without the stage.
                exit.request(Failure::failed(format!("the {name} stage panicked; see the log")));
            }
        })?;
        Ok(Self { name, bell: own_bell, thread })
    }

    pub fn join(self) {
        tracing::debug!(stage = self.name, "ending");
        self.bell.ring();
        // A panic has been reported through the latch already.
        let _ = self.thread.join();
    }
}
