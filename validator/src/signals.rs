//! Signals, from the program's first instruction on. None of them ends the validator with the identity still claimed:
//!
//! | signal | what happens |
//! |---|---|
//! | TERM, INT, QUIT, PWR, XCPU | release the identity, then end; during the start, where nothing is claimed yet, end at once |
//! | USR1 | open the log file anew (`postrotate` of agave's logrotate guide) |
//! | HUP | the same, and read the etcd certificate files again |
//! | USR2, ALRM and whatever else ends a process by default | nothing |
//!
//! Signals are held back from all threads, and one thread waits for them: no handler runs in the middle of anything. Those
//! that a fault raises (SEGV, BUS, ILL, FPE, ABRT, TRAP, SYS) keep their meaning.

use {
    crate::{
        admin::RoleRequest,
        exit::{Failure, Status},
        logging,
        topology::RoleInput,
    },
    std::{
        mem::MaybeUninit,
        sync::{Mutex, OnceLock, PoisonError},
    },
    tandem_env::Tx,
    tokio::sync::oneshot,
};

const ENDING: [(libc::c_int, &str); 5] = [
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGPWR, "SIGPWR"),
    (libc::SIGXCPU, "SIGXCPU"),
];
const WAITED_FOR: [libc::c_int; 7] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGPWR, libc::SIGXCPU, libc::SIGUSR1, libc::SIGHUP];
const IGNORED: [libc::c_int; 8] = [
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGSTKFLT,
    libc::SIGXFSZ,
    libc::SIGPIPE,
];

/// Where the wish to end goes once there is somebody to release the identity.
static ROLE: OnceLock<Tx<RoleInput>> = OnceLock::new();
/// Reads the etcd certificates again.
static RELOAD: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);

/// Holds the signals back: to be called first in `main`, before there is another thread.
pub fn hold() {
    mask(libc::SIG_BLOCK);
}

/// For the commands: signals mean what they mean to any program.
pub fn let_go() {
    mask(libc::SIG_UNBLOCK);
}

/// For the validator: from here on signals are answered.
pub fn answer() -> Result<(), Failure> {
    for signal in IGNORED.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(|| {
            loop {
                act(next());
            }
        })
        .map(drop)
        .map_err(|error| Failure::failed(format!("starting the signal thread: {error}")))
}

/// From now on the wish to end is the role stage's: it may have claimed.
pub fn forward(role: Tx<RoleInput>) {
    let _set_before_by_nobody = ROLE.set(role);
}

pub fn on_reload(reload: Box<dyn Fn() + Send>) {
    *RELOAD.lock().unwrap_or_else(PoisonError::into_inner) = Some(reload);
}

fn act(signal: libc::c_int) {
    match signal {
        libc::SIGUSR1 => logging::reopen("SIGUSR1"),
        libc::SIGHUP => {
            logging::reopen("SIGHUP");
            if let Some(reload) = &*RELOAD.lock().unwrap_or_else(PoisonError::into_inner) {
                reload();
            }
        }
        _ending => end(signal),
    }
}

fn end(signal: libc::c_int) {
    let name = ENDING.iter().find(|(number, _)| *number == signal).map_or("a signal", |(_, name)| name);
    match ROLE.get() {
        Some(role) => {
            tracing::info!("{name}: releasing the identity, then ending");
            let (reply, _) = oneshot::channel();
            // If the role stage has gone, the node is ending already.
            let _ = role.send(RoleInput::Request(RoleRequest::Exit { reply }));
        }
        None => {
            tracing::info!("{name} during the start: nothing has been claimed, ending");
            logging::flush();
            std::process::exit(Status::Done as i32);
        }
    }
}

fn next() -> libc::c_int {
    let set = set_of(&WAITED_FOR);
    let mut signal = 0;
    loop {
        // SAFETY: both pointers are to live locals.
        if unsafe { libc::sigwait(&set, &mut signal) } == 0 {
            return signal;
        }
    }
}

fn mask(how: libc::c_int) {
    let set = set_of(&WAITED_FOR);
    // SAFETY: the set is initialised, and the old mask is not asked for.
    unsafe { libc::pthread_sigmask(how, &set, std::ptr::null_mut()) };
}

fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set, and the numbers are valid signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}
