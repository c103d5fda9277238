use {
    super::{network::PortRange, *},
    crate::args::Cli,
    clap::Parser,
    std::net::SocketAddr,
    tempfile::TempDir,
};

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        for (name, seed) in [("identity", 1), ("vote", 2), ("voter", 3), ("faucet", 4)] {
            let path = bench.path(&format!("{name}.json"));
            tandem_identity::write_keypair_file(&key(seed), &path).expect("writable");
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("writable");
    }

    /// `@name` stands for a file of this folder.
    fn config(&self, line: &str) -> Result<Config, Failure> {
        let prefix = format!("{}/", self.folder.path().display());
        let words = line.split_whitespace().map(|word| word.replace('@', &prefix));
        let cli = Cli::parse_from(std::iter::once("validator".to_owned()).chain(words));
        Config::new(&cli.ledger, cli.run_args().expect("no conflict").expect("the validator is to run"))
    }

    fn failure(&self, line: &str, status: Status, parts: &[&str]) {
        let failure = self.config(line).expect_err(line);
        let text = failure.to_string();
        assert_eq!(failure.status, status, "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in parts {
            assert!(text.contains(part), "{line}: {text:?} lacks {part:?}");
        }
    }
}

fn key(seed: u8) -> Keypair {
    Keypair::new_from_array([seed; 32])
}

#[test]
fn a_whole_command_line_becomes_data() {
    let bench = Bench::new();
    let config = bench
        .config(
            "--ledger @ledger --identity @identity.json --vote-account @vote.json --authorized-voter @voter.json \
             --faucet-keypair @faucet.json --entrypoint localhost:8001 --gossip-port 18100 --dynamic-port-range 18101-18140 \
             --rpc-port 18150 --private-rpc --expected-shred-version 7 --failback sticky --on-identity-loss standby \
             --intent-deadline 500 --log - --full-rpc-api",
        )
        .expect("all is well");
    assert_eq!(config.keys.identity.pubkey(), key(1).pubkey());
    assert_eq!(config.vote_account, Some(key(2).pubkey()));
    assert_eq!(config.keys.authorized_voters[0].pubkey(), key(3).pubkey());
    assert_eq!(config.network.entrypoints, [SocketAddr::from(([127, 0, 0, 1], 8001))]);
    assert_eq!(config.network.ports, PortRange { first: 18101, last: 18140 });
    assert_eq!(config.network.rpc, Some(SocketAddr::from(([127, 0, 0, 1], 18150))));
    assert!(!config.network.announce_rpc && config.network.allow_private_addresses);
    assert_eq!(config.network.announce, Some([127, 0, 0, 1].into()));
    assert_eq!(config.roles.failback, tandem_role::Failback::Sticky);
    assert_eq!(config.roles.on_identity_loss, tandem_role::OnLoss::Standby);
    assert_eq!(config.roles.on_store_loss, tandem_role::OnLoss::Exit);
    assert_eq!(config.roles.intent_deadline, Duration::from_millis(500));
    assert!(config.roles.host.ends_with(&format!(":{}", bench.path("ledger").display())), "{}", config.roles.host);
    assert!(config.voting && config.check_vote_account && config.log.is_none());
    assert!(matches!(&config.tower_storage, TowerStorage::File { dir } if *dir == bench.path("ledger/tower-store")));
    assert_eq!(config.warnings, ["accepted for scripts written for agave, without effect here: --full-rpc-api"]);
}

#[test]
fn no_secret_is_shown() {
    let bench = Bench::new();
    let config = bench
        .config("--identity @identity.json --authorized-voter @voter.json --faucet-keypair @faucet.json")
        .expect("all is well");
    let shown = format!("{config:?}");
    assert!(shown.contains(&key(1).pubkey().to_string()) && shown.contains(&key(4).pubkey().to_string()));
    for seed in [1, 3, 4] {
        let secret = format!("{:?}", key(seed).to_bytes());
        assert!(!shown.contains(secret[..40].trim_matches(['[', ']'])), "{shown}");
        assert!(!shown.contains(&key(seed).to_base58_string()));
    }
}

#[test]
fn keypairs_that_are_none() {
    let bench = Bench::new();
    bench.write("text.json", "hello");
    bench.write("short.json", "[1,2,3]");
    let needs = "--ledger @l";
    bench.failure(needs, Status::Usage, &["--identity KEYPAIR", "validator dev"]);
    bench.failure("--identity @none.json", Status::Usage, &["--identity", "none.json", "solana-keygen new"]);
    bench.failure("--identity @text.json", Status::Usage, &["text.json", "64 numbers"]);
    bench.failure("--identity @short.json", Status::Usage, &["short.json", "3 numbers"]);
    let with = "--identity @identity.json";
    bench.failure(
        &format!("{with} --authorized-voter @text.json"),
        Status::Usage,
        &["--authorized-voter", "text.json"],
    );
    bench.failure(&format!("{with} --faucet-keypair @none.json"), Status::Usage, &["--faucet-keypair", "none.json"]);
    bench.failure(&format!("{with} --vote-account @none.json"), Status::Usage, &["--vote-account", "neither"]);
    bench.failure(&format!("{with} --vote-account @text.json"), Status::Usage, &["--vote-account", "text.json"]);
    bench.failure(&format!("{with} --vote-account @identity.json"), Status::Usage, &["the identity itself"]);
    bench.failure(&format!("{with} --expected-genesis-hash 0"), Status::Usage, &["--expected-genesis-hash", "base58"]);
}

#[test]
fn ports_and_addresses_that_cannot_be() {
    let bench = Bench::new();
    for (flags, part) in [
        ("--dynamic-port-range 8000", "not FROM-TO"),
        ("--dynamic-port-range 8000-abc", "number from 1 to 65535"),
        ("--dynamic-port-range 8000-70000", "number from 1 to 65535"),
        ("--dynamic-port-range 9000-8000", "ends before it begins"),
        ("--dynamic-port-range 8000-8014", "needs 16 ports"),
        ("--dynamic-port-range 0-8014", "port 0"),
        ("--entrypoint nowhere", "has no port"),
        ("--entrypoint 127.0.0.1:gossip", "port is not a number"),
        ("--entrypoint 127.0.0.1:0", "port is not a number"),
        ("--entrypoint no-such-host.invalid:8001", "no-such-host.invalid:8001"),
        ("--entrypoint [::1]:8001", "IPv4"),
        ("--bind-address ::1", "IPv4"),
        ("--bind-address 0.0.0.0", "--gossip-host"),
        ("--gossip-host 0.0.0.0", "nobody can send"),
        ("--rpc-port 65535", "1 to 65534"),
        ("--gossip-port 0", "1 to 65535"),
        ("--gossip-port 8900 --rpc-port 8899", "collide"),
    ] {
        bench.failure(&format!("--identity @identity.json {flags}"), Status::Usage, &[part, " — "]);
    }
    let line =
        "--identity @identity.json --bind-address 0.0.0.0 --entrypoint 127.0.0.1:8001 --dynamic-port-range 8000-8015";
    let network = bench.config(line).expect("an entrypoint can tell").network;
    assert_eq!((network.announce, network.allow_private_addresses), (None, true));
    let public = bench.config("--identity @identity.json --bind-address 203.0.113.5").expect("public").network;
    assert!(!public.allow_private_addresses);
}

#[test]
fn stores_that_cannot_be() {
    let bench = Bench::new();
    let pki = crate::dev::pki::Pki::create(&bench.path("certs")).expect("certificates");
    bench.write("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let etcd = "--identity @identity.json --tower-storage etcd";
    let all = format!(
        "{etcd} --etcd-endpoint 127.0.0.1:2379 --etcd-cacert-file {} --etcd-cert-file {} --etcd-key-file {}",
        pki.ca.display(),
        pki.client.cert.display(),
        pki.client.key.display()
    );
    let config = bench.config(&format!("{all} --etcd-domain-name localhost")).expect("all is well");
    let TowerStorage::Etcd { options, .. } = &config.tower_storage else { panic!("another store") };
    assert_eq!(options.endpoints, ["127.0.0.1:2379"]);
    assert_eq!(options.domain_name.as_deref(), Some("localhost"));

    bench.failure(etcd, Status::Usage, &["no etcd endpoint", "--etcd-endpoint"]);
    bench.failure(&format!("{etcd} --etcd-endpoint localhost"), Status::Usage, &["localhost", "host and a port"]);
    bench.failure(&format!("{etcd} --etcd-endpoint a:1"), Status::Usage, &["--etcd-cacert-file"]);
    let ca = format!("{etcd} --etcd-endpoint a:1 --etcd-cacert-file {}", pki.ca.display());
    bench.failure(&format!("{ca} --etcd-cert-file @x.pem"), Status::Usage, &["--etcd-key-file"]);
    for file in ["ca.pem", "validator.pem", "validator-key.pem"] {
        let broken = all.replace(&format!("certs/{file}"), &format!("certs/no-{file}"));
        bench.failure(&broken, Status::Usage, &[&format!("no-{file}")]);
        let broken = all.replace(&pki.ca.with_file_name(file).display().to_string(), "@junk.pem");
        bench.failure(&broken, Status::Usage, &["junk.pem"]);
    }
    bench.failure(
        "--identity @identity.json --etcd-endpoint a:1",
        Status::Usage,
        &["--etcd-endpoint", "--tower-storage etcd"],
    );
}

#[test]
fn automatic_failover_needs_a_store_that_others_see_and_a_vote() {
    let bench = Bench::new();
    let line = "--ledger @ledger --identity @identity.json --failover auto";
    bench.failure(line, Status::Usage, &["never votes", "--vote-account"]);
    let line = "--ledger @ledger --identity @identity.json --vote-account @vote.json --failover auto";
    bench.failure(line, Status::Usage, &["a folder of this machine", "--tower-storage etcd"]);
    let etcd = "--tower-storage etcd --etcd-endpoint http://127.0.0.1:2379";
    let config = bench.config(&format!("{line} {etcd} --failover-priority 9")).expect("all is well");
    assert_eq!(config.auto, Some(9));
    let config =
        bench.config("--ledger @ledger --identity @identity.json --vote-account @vote.json").expect("all is well");
    assert_eq!(config.auto, None, "off by default");
}
