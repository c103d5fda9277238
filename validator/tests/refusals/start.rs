//! Starts that are refused.

use {
    super::{hostile::status, *},
    socket2::{Domain, Socket, Type},
    std::io::Read,
    tandem_etcd::testing::{Authority, EtcdCluster, etcd_is_installed},
    tandem_genesis::Genesis,
    tandem_identity::read_keypair_file,
    tandem_role::{
        Keys,
        kv::{Kv, Op, Txn},
    },
    tandem_tower_storage::FileKv,
    tandem_types::{Keypair, Signer},
};

#[test]
fn a_wrong_genesis() {
    let place = Place::new();
    place.make_genesis("other", "other-", "");
    let (ours, other) = (genesis(&place, "ledger").hash, genesis(&place, "other").hash);
    let wrong = format!("--expected-genesis-hash {other}");
    place.refuses(
        &wrong,
        REFUSED,
        &[
            &name(&place.path("ledger")),
            &ours.to_string(),
            &other.to_string(),
            "genesis.bin",
            "--expected-genesis-hash",
        ],
    );
    let version = genesis(&place, "ledger").shred_version.wrapping_add(1);
    let wrong = format!("--expected-shred-version {version}");
    place.refuses(&wrong, REFUSED, &[&name(&place.path("ledger")), "shred version", "--expected-shred-version"]);
    place.refuses("--expected-genesis-hash nonsense", USAGE, &["--expected-genesis-hash nonsense", "base58"]);
}

#[test]
fn a_ledger_whose_path_no_socket_can_have() {
    let place = Place::empty();
    let long = format!("{}/ledger", ["0123456789"; 10].join("/"));
    fs::create_dir_all(place.path(&long)).unwrap();
    place.make_genesis(&long, "", "");
    let parts = ["admin.rpc", "107", "--ledger", "symbolic link"];
    place.refuses(&format!("-l @{long}"), USAGE, &parts);
    let output = place.command(&format!("-l @{long} monitor --once")).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(USAGE), "{error}");
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    // The remedy.
    std::os::unix::fs::symlink(place.path(&long), place.path("l")).unwrap();
    let mut node = place.run("-l @l");
    node.wait_until("it answers", || place.command("-l @l monitor --once").output().unwrap().status.success());
}

#[test]
fn a_genesis_from_which_nobody_can_lead() {
    let place = Place::empty();
    let made = genesis_without_stake();
    made.write(&place.path("ledger")).unwrap();
    for key in ["i", "v"] {
        tandem_identity::write_keypair_file(&Keypair::new(), &place.path(&format!("{key}.json"))).unwrap();
    }
    place.refuses("", REFUSED, &["nobody can lead", "bootstrap validator", "--vote-account"]);
    // It can be looked at: hash, shred version, slot 0.
    let line = format!(
        "-l @ledger -i @i.json --no-voting --dynamic-port-range {}-{} --expected-genesis-hash {} --expected-shred-version {}",
        place.ports + 1,
        place.ports + 30,
        made.hash,
        made.shred_version
    );
    let log = fs::File::create(place.path("log")).unwrap();
    let child = place.command(&line).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let mut node = Running { child, log: place.path("log") };
    node.wait_until("it answers", || status(&place)["tip"] == serde_json::json!(0));
    assert!(node.log().contains("nobody can lead"), "{}", node.log());
    thread::sleep(Duration::from_secs(1));
    node.still_runs();
}

/// As `validator genesis` makes one, but for the stake accounts.
fn genesis_without_stake() -> Genesis {
    let place = Place::new();
    let mut config = genesis(&place, "ledger").config;
    let stake = tandem_types::Pubkey::from_str_const("Stake11111111111111111111111111111111111111");
    config.accounts.retain(|_, account| account.owner != stake);
    Genesis::new(config).unwrap()
}

#[test]
fn another_clusters_genesis_in_a_ledger_that_was_used() {
    let place = Place::new();
    let mut node = place.run("");
    node.wait_until("it confirms blocks", || status(&place)["confirmed"].as_u64() > Some(1));
    drop(node);
    let was = genesis(&place, "ledger").hash;
    place.make_genesis("other", "other-", "");
    for file in ["genesis.bin", "genesis.tar.bz2"] {
        fs::copy(place.path(&format!("other/{file}")), place.path(&format!("ledger/{file}"))).unwrap();
    }
    let now = genesis(&place, "ledger").hash;
    place.refuses(
        "-i @other-i.json --vote-account @other-v.json --tower @towers",
        REFUSED,
        &[&name(&place.path("ledger")), &was.to_string(), &now.to_string(), "--ledger"],
    );
}

#[test]
fn a_cluster_whose_rules_this_version_does_not_have() {
    let place = Place::new();
    let feature = tandem_types::Pubkey::new_from_array([7; 32]);
    let mut genesis = genesis(&place, "ledger");
    // What the feature program keeps of an activation: some(slot).
    let account = solana_account::Account {
        lamports: 1_000_000,
        data: vec![1, 0, 0, 0, 0, 0, 0, 0, 0],
        owner: "Feature111111111111111111111111111111111111".parse().unwrap(),
        ..Default::default()
    };
    genesis.config.accounts.insert(feature, account);
    Genesis::new(genesis.config).unwrap().write(&place.path("ledger")).unwrap();
    place.refuses("", REFUSED, &["cannot follow", &feature.to_string(), "newer version", "validator doctor"]);
}

#[test]
fn no_genesis() {
    let place = Place::new();
    place.refuses("-l @empty", FAILED, &[&name(&place.path("empty")), "no genesis", "genesis.bin", "copy"]);
    fs::write(place.path("ledger/genesis.bin"), "a story").unwrap();
    place.refuses("", FAILED, &[&name(&place.path("ledger/genesis.bin")), "damaged", "again"]);
}

#[test]
fn a_corrupt_tower_store() {
    let place = Place::new();
    let file = place.path("towers/tower-store");
    let identity = read_keypair_file(&place.path("i.json")).unwrap().pubkey();
    write_tower(&place, &identity, b"nothing");
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    for (content, reason) in
        [(&b"nonsense"[..], "does not begin"), (&good[..good.len() - 1], "checksum"), (&flipped, "checksum")]
    {
        fs::write(&file, content).unwrap();
        place.refuses("--tower @towers", FAILED, &[&name(&file), reason, "Restore it"]);
        assert_eq!(fs::read(&file).unwrap(), content, "it is left as it is");
    }
    // Whole, but what it holds of this identity is no tower.
    fs::write(&file, &good).unwrap();
    place.refuses("--tower @towers", REFUSED, &[&name(&place.path("towers")), "tower", "failover recover"]);
}

#[test]
fn a_foreign_tower_store() {
    let place = Place::new();
    let stranger = Keypair::new_from_array([7; 32]).pubkey();
    write_tower(&place, &stranger, b"something");
    place.refuses(
        "--tower @towers",
        REFUSED,
        &[&name(&place.path("towers")), &stranger.to_string(), "another identity", "--tower"],
    );
    let file = place.path("a-file");
    fs::write(&file, "").unwrap();
    place.refuses("--tower @a-file", FAILED, &[&name(&file), "--tower"]);
}

#[test]
fn a_busy_tower_store() {
    let place = Place::new();
    let _held = FileKv::open(place.path("towers")).unwrap();
    place.refuses("--tower @towers", FAILED, &[&name(&place.path("towers")), "in use by another process", "--tower"]);
}

#[test]
fn a_busy_ledger_folder() {
    let place = Place::new();
    let mut node = place.run("");
    node.wait_until("it runs", || place.path("ledger/admin.rpc").exists());
    place.refuses("", FAILED, &[&name(&place.path("ledger")), "another running validator", "--ledger"]);
    node.still_runs();
    assert!(place.path("ledger/admin.rpc").exists(), "and can still be asked");
}

#[test]
fn vote_accounts_that_are_not_ours() {
    let place = Place::new();
    let other = Keypair::new_from_array([8; 32]).pubkey().to_string();
    // It may still be made. A mistaken operator hears of it at once, and again from whatever they ask.
    let mut node = place.run(&format!("--vote-account {other}"));
    let reason = || status(&place)["objection"].as_str().unwrap_or_default().to_owned();
    node.wait_until("it says what it waits for", || reason().contains(&format!("{other} does not exist at root")));
    assert!(reason().contains("--vote-account"), "{}", reason());
    assert!(node.log().contains("does not exist in the genesis"), "{}", node.log());
    drop(node);
    tandem_identity::write_keypair_file(&Keypair::new_from_array([9; 32]), &place.path("second.json")).unwrap();
    let (identity, second) = (pubkey(&place, "i.json"), pubkey(&place, "second.json"));
    // By the current root, which takes a node that runs: the genesis may have been overtaken.
    let output = ends(&mut place.start("-i @second.json"));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(REFUSED), "{error}");
    let last = error.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: "), "{error}");
    for part in [&pubkey(&place, "v.json"), &identity, &second, "--no-check-vote-account"] {
        assert!(last.contains(part), "{last:?} lacks {part:?}");
    }
    place.refuses("--vote-account @none.json", USAGE, &["none.json", "keypair file"]);
    place.refuses("--vote-account @i.json", USAGE, &["--vote-account", "identity itself"]);
}

#[test]
fn keypairs_that_are_none() {
    let place = Place::new();
    let numbers = fs::read_to_string(place.path("i.json")).unwrap();
    let short = format!("[{}]", vec!["1"; 32].join(","));
    let mut torn: Vec<&str> = numbers.trim().trim_matches(['[', ']']).split(',').collect();
    let first = (torn[0].trim().parse::<u8>().unwrap() ^ 1).to_string();
    torn[0] = &first;
    for (content, reason) in [
        ("a story", "64 numbers"),
        ("", "64 numbers"),
        ("{\"key\": 1}", "64 numbers"),
        (&short, "32 numbers"),
        (&format!("[{}]", torn.join(",")), "do not belong together"),
    ] {
        fs::write(place.path("bad.json"), content).unwrap();
        for flag in ["--identity", "--authorized-voter", "--faucet-keypair"] {
            let file = name(&place.path("bad.json"));
            let line = if flag == "--identity" { "-i @bad.json".into() } else { format!("{flag} @bad.json") };
            place.refuses(&line, USAGE, &[flag, &file, reason]);
        }
    }
    place.refuses("-i @ledger", USAGE, &["--identity", &name(&place.path("ledger")), "cannot read"]);
}

#[test]
fn ports_in_use() {
    let place = Place::new();
    let port = place.ports + 50;
    let gossip = format!("--gossip-port {port}");
    let address = format!("127.0.0.1:{port}");
    let taken = UdpSocket::bind(&address).unwrap();
    place.refuses(&gossip, FAILED, &["UDP", &address, "in use", "choose another port"]);
    drop(taken);
    let taken = TcpListener::bind(&address).unwrap();
    place.refuses(&gossip, FAILED, &["TCP", &address, "in use", "--gossip-port"]);
    let rpc = format!("--rpc-port {port}");
    place.refuses(&rpc, FAILED, &[&address, "JSON-RPC", "in use", "--rpc-port"]);
    let websocket = format!("--rpc-port {}", port - 1);
    place.refuses(&websocket, FAILED, &[&address, "in use", "--rpc-port"]);
    drop(taken);
    let range = format!("--dynamic-port-range {}-{}", place.ports + 1, place.ports + 16);
    let taken: Vec<UdpSocket> = (1..=16).map(|n| UdpSocket::bind(("127.0.0.1", place.ports + n)).unwrap()).collect();
    place.refuses(&range, FAILED, &["127.0.0.1", "free UDP ports", "--dynamic-port-range"]);
    drop(taken);
    place.refuses(
        "--bind-address 192.0.2.1",
        FAILED,
        &["192.0.2.1", "not an address of this machine", "--bind-address"],
    );
}

#[test]
fn an_etcd_that_is_not_there() {
    let place = Place::new();
    let authority = Authority::new("an authority");
    authority.write(&place.path("ca.pem"));
    authority.issue(&place.path("me.pem"), &place.path("me-key.pem"), &[], false);
    let files = "--etcd-cacert-file @ca.pem --etcd-cert-file @me.pem --etcd-key-file @me-key.pem";
    let start = |address: &str| format!("--tower-storage etcd {files} --etcd-endpoint {address}");

    place.refuses(&start("127.0.0.1:1"), STORE_LOST, &["https://127.0.0.1:1", "refused", "is etcd running there"]);
    // It takes connections and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    place.refuses(&start(&address), STORE_LOST, &[&address, " ms", "firewall"]);
    // Nothing comes back at all: a queue that is full drops what asks for a connection.
    let full = Dropping::new();
    place.refuses(&start(&full.address), STORE_LOST, &[&full.address, " ms", "firewall"]);
    // Something else than etcd listens there.
    let chatty = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = chatty.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in chatty.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 16]);
            let _ = std::io::Write::write_all(&mut stream, b"220 mail.example ESMTP\r\n");
        }
    });
    place.refuses(&start(&address), STORE_LOST, &[&address, "TLS"]);
    place.refuses("--tower-storage etcd", USAGE, &["--etcd-endpoint"]);
}

#[test]
fn an_etcd_that_does_not_trust_us_or_is_not_to_be_trusted() {
    if !etcd_is_installed("an_etcd_that_does_not_trust_us_or_is_not_to_be_trusted") {
        return;
    }
    let place = Place::new();
    let cluster = EtcdCluster::start(1).expect("etcd starts");

    for file in ["ca.pem", "client.pem", "client-key.pem"] {
        fs::copy(cluster.path(file), place.path(file)).unwrap();
    }
    let other = Authority::new("another authority");
    other.write(&place.path("other-ca.pem"));
    other.issue(&place.path("other.pem"), &place.path("other-key.pem"), &[], false);
    cluster.authority.issue(&place.path("old.pem"), &place.path("old-key.pem"), &[], true);
    let endpoint = cluster.endpoints().remove(0);
    let start = |ca: &str, certificate: &str| {
        let pair = format!("--etcd-cert-file @{certificate}.pem --etcd-key-file @{certificate}-key.pem");
        format!("--tower-storage etcd --etcd-endpoint {endpoint} --etcd-cacert-file @{ca}.pem {pair}")
    };
    let file = |name_of: &str| name(&place.path(name_of));
    place.refuses(
        &start("other-ca", "client"),
        STORE_LOST,
        &[&endpoint, &file("other-ca.pem"), "not signed by", "--etcd-cacert-file"],
    );
    let once =
        place.refuses(&start("ca", "old"), STORE_LOST, &[&file("old.pem"), "expired on", "2021", "issue a new one"]);
    assert_eq!(once.matches("expired").count(), 1, "{once}");
    place.refuses(
        &start("ca", "other"),
        STORE_LOST,
        &[&endpoint, &file("other.pem"), "refused our certificate", "--etcd-cert-file"],
    );
    let named = format!("{} --etcd-domain-name elsewhere.test", start("ca", "client"));
    place.refuses(&named, STORE_LOST, &[&endpoint, "elsewhere.test", "--etcd-domain-name"]);
    place.refuses(&start("none", "client"), USAGE, &[&file("none.pem"), "--etcd-cacert-file"]);

    // What etcd holds of this identity is no tower of it.
    let keys = Keys::new(&genesis(&place, "ledger").hash, &read_keypair_file(&place.path("i.json")).unwrap().pubkey());
    cluster.etcdctl(&["put", &keys.tower(), "nothing"]).unwrap();
    // (With the log elsewhere: that one endpoint is too few is a warning there.)
    let start = format!("{} -o @log", start("ca", "client"));
    place.refuses(&start, REFUSED, &[&endpoint, "tower", "failover recover"]);
}

fn genesis(place: &Place, ledger: &str) -> Genesis {
    Genesis::load(&place.path(ledger)).unwrap()
}

fn pubkey(place: &Place, file: &str) -> String {
    read_keypair_file(&place.path(file)).unwrap().pubkey().to_string()
}

/// A tower store in `towers` that holds this as the tower of `identity` on the ledger's cluster.
fn write_tower(place: &Place, identity: &tandem_types::Pubkey, tower: &[u8]) {
    let keys = Keys::new(&genesis(place, "ledger").hash, identity);
    let put = Op::Put { key: keys.tower(), value: tower.to_vec() };
    let mut store = FileKv::open(place.path("towers")).unwrap();
    store.txn(&Txn { then: vec![put], ..Txn::default() }, Duration::from_secs(1)).unwrap();
}

/// A listening socket whose queue is full: what asks for a connection is dropped without a word, as a firewall does it.
struct Dropping {
    address: String,
    _socket: Socket,
    _waiting: Vec<Socket>,
}

impl Dropping {
    fn new() -> Self {
        let tcp = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let socket = tcp();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap();
        let waiting: Vec<Socket> = (0..4).map(|_| tcp()).collect();
        for client in &waiting {
            client.set_nonblocking(true).unwrap();
            // In progress, and never more than that once the queue is full.
            let _ = client.connect(&address);
        }
        let probe = tcp().connect_timeout(&address, Duration::from_millis(300));
        assert!(probe.is_err(), "this machine's queue has no end: the test would test nothing");
        Self { address: address.as_socket().unwrap().to_string(), _socket: socket, _waiting: waiting }
    }
}
