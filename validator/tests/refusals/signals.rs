//! Signals that scripts, shells, terminals and init systems send.

use super::{alone::signal, hostile::status, *};

const OWNER_RELEASED: &str = "released";

fn confirmed(place: &Place) -> Option<u64> {
    status(place)["confirmed"].as_u64()
}

/// Whoever may claim next: true when the identity was given back.
fn is_released(place: &Place) -> bool {
    let output = place.command("-l @ledger tower show -i @i.json --output json").output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    shown["owner"][OWNER_RELEASED].as_bool().unwrap_or_else(|| panic!("{shown}"))
}

#[track_caller]
fn ends(mut node: Running) -> Option<i32> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = node.child.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < until, "it does not end:\n{}", node.log());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn usr1_and_hup_reopen_the_log_and_the_rest_is_nothing_to_a_node() {
    let place = Place::new();
    let mut node = place.run("--log @node.log");
    node.wait_until("it confirms blocks", || confirmed(&place) > Some(1));
    // logrotate: moved away, then the signal of `postrotate`.
    for (number, (name, rotate)) in [("USR1", libc::SIGUSR1), ("HUP", libc::SIGHUP)].into_iter().enumerate() {
        let old = place.path(&format!("node.log.{number}"));
        fs::rename(place.path("node.log"), &old).unwrap();
        signal(&node.child, rotate);
        let log = || fs::read_to_string(place.path("node.log")).unwrap_or_default();
        node.wait_until("it writes a new log", || log().contains(name));
        let size = fs::metadata(&old).unwrap().len();
        let before = confirmed(&place);
        node.wait_until("it confirms more blocks", || confirmed(&place) > before);
        assert_eq!(fs::metadata(&old).unwrap().len(), size, "nothing more goes into the old one");
    }
    let others = [
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGIO,
        libc::SIGSTKFLT,
        libc::SIGXFSZ,
        libc::SIGPIPE,
        libc::SIGRTMIN(),
        libc::SIGRTMAX(),
    ];
    for other in others {
        signal(&node.child, other);
        thread::sleep(Duration::from_millis(50));
        node.still_runs();
    }
    let before = confirmed(&place);
    node.wait_until("it confirms more blocks", || confirmed(&place) > before);
}

#[test]
fn signals_that_end_the_node_release_the_identity_first() {
    let place = Place::new();
    for ending in [libc::SIGQUIT, libc::SIGTERM, libc::SIGINT, libc::SIGXCPU, libc::SIGPWR] {
        let before = confirmed(&place);
        let mut node = place.run("");
        node.wait_until("it votes", || {
            confirmed(&place) > before.or(Some(1)) && status(&place)["role"] == serde_json::json!("ACTIVE")
        });
        signal(&node.child, ending);
        assert_eq!(ends(node), Some(0), "signal {ending}");
        assert!(is_released(&place), "signal {ending}");
    }
}

#[test]
fn a_node_that_has_just_begun_ends_in_order() {
    let place = Place::new();
    for ms in [0, 3, 10, 30, 60, 100, 150, 200, 300, 400, 500, 700] {
        for sent in [libc::SIGTERM, libc::SIGQUIT] {
            let mut node = place.run("");
            let pid = node.child.id();
            node.wait_until("main begins", || is_held(pid, libc::SIGTERM));
            thread::sleep(Duration::from_millis(ms));
            signal(&node.child, sent);
            assert_eq!(ends(node), Some(0), "signal {sent} after {ms} ms");
        }
    }
    // And one that has just begun is not ended by those that mean something else.
    let mut node = place.run("");
    let pid = node.child.id();
    node.wait_until("main begins", || is_held(pid, libc::SIGTERM));
    for other in [libc::SIGUSR1, libc::SIGHUP] {
        signal(&node.child, other);
    }
    node.wait_until("it confirms blocks", || confirmed(&place) > Some(1));
}

/// From the first instruction of `main` on; what comes before it is the loader's.
fn is_held(pid: u32, signal: libc::c_int) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or("0");
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 << (signal - 1) != 0
}
