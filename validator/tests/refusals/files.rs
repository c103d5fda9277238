//! A process that may open few files, and strangers that would take them all.

use {
    super::{alone::signal, hostile::status, *},
    std::{
        io::{Read, Write},
        net::TcpStream,
        os::unix::process::CommandExt,
    },
};

/// What the process may have open: now, and as far as it may raise that itself.
fn limited(command: &mut Command, soft: u64, hard: u64) -> &mut Command {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: setrlimit is async-signal-safe, and changes the child only.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    }
}

fn run(place: &Place, soft: u64, hard: u64) -> Running {
    let log = fs::File::create(place.path("log")).unwrap();
    let mut command = place.start(&format!("--rpc-port {}", place.ports + 50));
    let child = limited(&mut command, soft, hard).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    Running { child, log: place.path("log") }
}

fn confirmed(place: &Place) -> Option<u64> {
    status(place)["confirmed"].as_u64()
}

#[test]
fn three_hundred_idle_connections_take_no_file_that_the_node_needs() {
    for limit in [64, 128, 256] {
        let place = Place::new();
        let mut node = run(&place, limit, limit);
        node.wait_until("it confirms blocks", || confirmed(&place) > Some(1));
        let told = node.log();
        let line = told.lines().find(|line| line.contains("open files")).unwrap_or_else(|| panic!("{told}"));
        assert!(line.contains(&format!("up to {limit} ")) && line.contains("LimitNOFILE"), "{line}");

        let ports = [place.ports + 50, place.ports + 51];
        let connect = |number: usize| TcpStream::connect(("127.0.0.1", ports[number % 2]));
        let mut idle: Vec<TcpStream> = (0..300).filter_map(|number| connect(number).ok()).collect();
        assert!(idle.len() > 200, "{} connections", idle.len());
        // Some have begun to speak.
        idle.iter_mut().step_by(3).for_each(|stream| _ = stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n"));
        // Longer than any file of the node stays open, and through new slot files.
        let before = confirmed(&place).unwrap();
        node.wait_until("it confirms twenty blocks more", || confirmed(&place) > Some(before + 20));
        assert_eq!(status(&place)["role"], serde_json::json!("ACTIVE"));
        assert!(!node.log().contains("Too many open files"), "{}", node.log());

        // There is room for one more, also while they stay.
        node.wait_until("JSON-RPC answers", || {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", ports[0])) else { return false };
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let mut answer = String::new();
            let asked = stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let _cut = stream.read_to_string(&mut answer);
            asked.is_ok() && answer.starts_with("HTTP/1.1 200")
        });
        drop(idle);
        signal(&node.child, libc::SIGTERM);
        let until = Instant::now() + Duration::from_secs(20);
        while node.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "SIGTERM is not answered");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_limit_is_raised_as_far_as_it_may_be_and_one_too_low_is_refused() {
    let place = Place::new();
    let mut node = run(&place, 64, 4_000);
    node.wait_until("it confirms blocks", || confirmed(&place) > Some(1));
    assert!(node.log().contains("up to 4000 open files"), "{}", node.log());
    drop(node);
    let mut command = place.start("");
    let output = ends(limited(&mut command, 40, 40));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(REFUSED), "{error}");
    for part in ["40 files", "LimitNOFILE", "ulimit -n"] {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
}
