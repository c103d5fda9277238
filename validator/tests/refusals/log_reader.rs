//! Whoever reads what the program writes, and stops, or goes away.

use {
    super::{alone::signal, hostile::status, *},
    std::os::fd::OwnedFd,
};

#[test]
fn a_log_reader_that_stops_reading_holds_nothing_up() {
    let place = Place::new();
    // Standard error is a pipe that nobody reads: after 64 kB whoever writes to it waits for ever.
    let child = place.start("").env("RUST_LOG", "trace").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut node = Running { child, log: place.path("no-log") };
    node.wait_until("it confirms blocks", || status(&place)["confirmed"].as_u64() > Some(1));
    let contact = place.command("-l @ledger contact-info --output json").output().unwrap();
    let contact: serde_json::Value = serde_json::from_slice(&contact.stdout).unwrap();
    let gossip: SocketAddr = contact["gossip"].as_str().unwrap().parse().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    node.wait_until("more is logged than the queue holds", || {
        // Each is a line of the log.
        (0..2_000).for_each(|_| _ = socket.send_to(&[0xff; 40], gossip));
        status(&place)["counters"]["log_lines_dropped"].as_u64() > Some(1_000)
    });
    for _ in 0..2 {
        let before = (status(&place)["confirmed"].as_u64(), status(&place)["last_vote"].as_u64());
        node.wait_until("it votes and confirms", || {
            status(&place)["confirmed"].as_u64() > before.0 && status(&place)["last_vote"].as_u64() > before.1
        });
    }
    let asked = Instant::now();
    signal(&node.child, libc::SIGTERM);
    let ended = loop {
        if let Some(ended) = node.child.try_wait().unwrap() {
            break ended;
        }
        assert!(asked.elapsed() < Duration::from_secs(15), "SIGTERM is not answered");
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(ended.code(), Some(0));
}

/// Into a pipe whose reader has gone.
fn into_nothing(command: &mut Command) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let error: OwnedFd = writer.try_clone().unwrap().into();
    let out: OwnedFd = writer.into();
    command.stdout(Stdio::from(out)).stderr(Stdio::from(error));
    let mut child = command.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn a_closed_pipe_ends_no_command() {
    let place = Place::empty();
    let genesis = "genesis -l @ledger --bootstrap-validator @i.json @v.json @s.json";
    assert_eq!(into_nothing(&mut place.command(genesis)).status.code(), Some(0));
    assert!(place.path("ledger/genesis.bin").exists());
    tandem_identity::write_keypair_file(&tandem_types::Keypair::new(), &place.path("other.json")).unwrap();
    let mut node = place.run(&format!("--rpc-port {}", place.ports + 50));
    node.wait_until("it leads", || status(&place)["role"] == serde_json::json!("ACTIVE"));
    let code = |line: &str| into_nothing(&mut place.command(line)).status.code();
    // The identity moves away and back, each time by a command nobody listens to.
    for (key, role) in [("other", "STANDBY"), ("i", "ACTIVE")] {
        assert_eq!(code(&format!("-l @ledger set-identity @{key}.json")), Some(0));
        assert_eq!(status(&place)["role"], serde_json::json!(role), "{key}");
    }
    for line in [
        "-l @ledger monitor --once",
        // Endless, and nothing but output.
        "-l @ledger monitor",
        "-l @ledger contact-info",
        "-l @ledger tower show -i @i.json",
        "-l @ledger tower show -i @i.json --output json",
        "-l @ledger wait-for-restart-window --min-idle-time 0 --max-delinquent-stake 90 --timeout 20 --skip-health-check",
        "-l @ledger authorized-voter add @i.json",
        "-l @ledger set-log-filter info",
        "--help",
        "--version",
    ] {
        let ended = code(line);
        assert!(ended == Some(0) || (ended == Some(6) && line.contains("wait-for")), "{line}: {ended:?}");
    }
    // A refusal has its status, though nobody can be told why.
    assert_eq!(code(genesis), Some(REFUSED));
    assert_eq!(code("-l @nowhere monitor"), Some(FAILED));
    assert_eq!(code("-l @ledger exit --force"), Some(0));
}
