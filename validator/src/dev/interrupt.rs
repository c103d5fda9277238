//! Ctrl-C, SIGTERM and a closed terminal end the playground in order: whatever waits here returns, and what is running is
//! stopped and removed on the way out.

use {
    crate::exit::Failure,
    std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
        time::{Duration, Instant},
    },
};

static STOP: AtomicBool = AtomicBool::new(false);

pub fn catch_signals() {
    extern "C" fn stop(_: libc::c_int) {
        STOP.store(true, Ordering::Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = stop;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

pub fn interrupted() -> bool {
    STOP.load(Ordering::Relaxed)
}

pub fn check() -> Result<(), Failure> {
    if interrupted() { Err(Failure::failed("interrupted")) } else { Ok(()) }
}

/// Sleeps, unless it is interrupted.
pub fn pause(span: Duration) -> Result<(), Failure> {
    let until = Instant::now() + span;
    loop {
        check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}
