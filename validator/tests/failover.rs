//! Automatic failover with real processes and a real etcd: the owner is killed, and paused and woken; a standby with
//! `--failover auto` takes over by itself, and only when it may. What both released is judged together.

use {
    serde_json::{Value, json},
    std::{
        fs::OpenOptions,
        io::{Read, Write},
        net::TcpListener,
        os::unix::net::UnixStream,
        path::{Path, PathBuf},
        process::{Child, Command, Output, Stdio},
        thread,
        time::{Duration, Instant, SystemTime, UNIX_EPOCH},
    },
    tandem_types::Keypair,
    tandem_witness::{Judge, Record, RecordKind, Vote, read_log},
};

/// Everything is waited for; this long only on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(180);
const FENCED: i32 = 7;
const REFUSED: i32 = 5;

#[test]
fn a_standby_promotes_itself_when_the_owner_is_dead_and_only_then() {
    if Command::new("etcd").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED: no etcd in PATH (Debian: apt-get install etcd-server)");
        return;
    }
    let mut pair = Pair::start();

    let keyless = pair.keyless_standby();
    let error = String::from_utf8_lossy(&keyless.stderr).into_owned();
    assert_eq!(keyless.status.code(), Some(REFUSED), "{error}");
    assert!(error.contains("is not on this machine") && error.contains("--authorized-voter"), "{error}");

    // While the owner lives.
    pair.wait(SECONDARY, "sees the owner alive", |status| outlook(status).contains("the owner speaks"));
    // Machines say what they are once a second.
    let status = pair.wait_json(SECONDARY, &["failover", "status"], |status| {
        let machines = status["store"]["machines"].as_array().expect("a list");
        let roles: Vec<&str> = machines.iter().filter_map(|machine| machine["role"].as_str()).collect();
        roles.contains(&"ACTIVE") && roles.contains(&"STANDBY")
    });
    assert_eq!(status["store"]["owner"]["term"], 1, "{status}");
    assert!(status["store"]["owner"]["host"].as_str().is_some_and(|host| host.ends_with("/primary")), "{status}");
    assert!(status["store"]["heartbeat_age_ms"].as_u64().is_some_and(|age| age < 60_000), "{status}");
    let text = pair.text(SECONDARY, &["failover", "status"]);
    for part in ["owner      ", "term 1", "heartbeat  ", "hold       off", "would not promote: "] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    // A busy machine may be a few slots behind for a moment; the plan then says so.
    let plan = pair.wait_plan(SECONDARY);
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(4), "{plan}");
    let refused = pair.command(PRIMARY, &["failover", "plan"]);
    assert_eq!(refused.status.code(), Some(REFUSED), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stdout).contains("owns the identity already"), "{refused:?}");
    let before = pair.json(SECONDARY, &["failover", "history"]);
    let rehearsal = pair.json(SECONDARY, &["failover", "rehearse", "--rounds", "3"]);
    assert_eq!(rehearsal["fenced_every_time"], true, "{rehearsal}");
    assert!(rehearsal["phases_ms"]["claim"]["p99"].as_f64().is_some_and(|ms| ms > 0.0), "{rehearsal}");
    assert!(rehearsal["peers"][0]["host"].as_str().is_some_and(|host| host.ends_with("/primary")), "{rehearsal}");
    assert_eq!(pair.json(SECONDARY, &["failover", "history"]), before, "a rehearsal leaves no trace");
    assert_eq!(pair.json(SECONDARY, &["failover", "recover"])["quarantined"], Value::Null);

    // Held: the owner dies and nobody takes over, until the hold ends.
    assert_eq!(pair.json(PRIMARY, &["failover", "hold", "on", "--for", "1h", "--reason", "test"])["held"], true);
    pair.wait(SECONDARY, "sees the hold", |status| outlook(status).contains("hold` is on"));
    pair.nodes[PRIMARY].kill();
    pair.wait(SECONDARY, "finds the owner silent", |status| silent_ms(status) > 3_000);
    assert_eq!(pair.status(SECONDARY).map(|status| status["role"].clone()), Some(json!("STANDBY")));
    assert_eq!(pair.json(SECONDARY, &["failover", "hold", "show"])["held"], true);
    let freed = Instant::now();
    assert_eq!(pair.json(SECONDARY, &["failover", "hold", "off"])["held"], false);
    pair.wait(SECONDARY, "took over once it may", active);
    println!("held: ACTIVE {} ms after the hold ended", freed.elapsed().as_millis());
    pair.wait_for_votes(SECONDARY);
    let history = pair.text(SECONDARY, &["failover", "history"]);
    for part in ["hold on until", "test", "hold off", "term    2", "automatic", "/secondary"] {
        assert!(history.contains(part), "{history} lacks {part}");
    }

    // The cycle closes: the primary reclaims, the secondary ends and comes back as a standby.
    pair.back_to_primary();

    // kill -9.
    let killed = Instant::now();
    pair.nodes[PRIMARY].kill();
    pair.wait(SECONDARY, "took over after kill -9", active);
    println!("kill -9: ACTIVE after {} ms", killed.elapsed().as_millis());
    pair.wait_for_votes(SECONDARY);
    // From the store alone: no validator runs at the primary's ledger now.
    let flags = ["--etcd-endpoint", &pair.etcd_endpoint.clone(), "--identity", &pair.identity()];
    let status = pair.json(PRIMARY, &[&["failover", "status"], &flags[..]].concat());
    assert_eq!((&status["node"], &status["store"]["owner"]["term"]), (&Value::Null, &json!(4)), "{status}");

    // A pause, and the sleeper wakes.
    pair.back_to_primary();
    let paused = Instant::now();
    pair.nodes[PRIMARY].signal("STOP");
    let status = pair.wait(SECONDARY, "took over from a paused owner", active);
    println!("pause: ACTIVE after {} ms", paused.elapsed().as_millis());
    pair.wait_for_votes(SECONDARY);
    let woken = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    pair.nodes[PRIMARY].signal("CONT");
    assert_eq!(pair.nodes[PRIMARY].wait_gone(), Some(FENCED));
    let adopted = status["last_handover"]["last_vote_slot"].as_u64().expect("a tower was adopted");
    let late: Vec<u64> = votes(&pair.nodes[PRIMARY].records())
        .into_iter()
        .filter(|(at, slot)| u128::from(*at) > woken && *slot > adopted)
        .map(|(_, slot)| slot)
        .collect();
    assert_eq!(late, [0u64; 0], "the sleeper voted for slots that were not in the tower it had promised");

    let mut judge = Judge::default();
    for node in &pair.nodes[PRIMARY..] {
        judge.add_machine(node.records());
    }
    let verdict = judge.verdict();
    assert!(verdict.clean(), "{verdict:?}");
    assert!(verdict.votes_checked > 20 && verdict.shreds_checked > 20, "{verdict:?}");
}

fn active(status: &Value) -> bool {
    status["role"] == "ACTIVE"
}

fn outlook(status: &Value) -> &str {
    status["failover"]["outlook"].as_str().unwrap_or_default()
}

fn silent_ms(status: &Value) -> u64 {
    status["failover"]["owner_silent_ms"].as_u64().unwrap_or_default()
}

/// (when, slot) of each vote.
fn votes(records: &[Record]) -> Vec<(u64, u64)> {
    let votes = records.iter().filter(|record| record.kind == RecordKind::Vote);
    votes.filter_map(|record| Some((record.unix_nanos, Vote::from_transaction(&record.bytes)?.slot))).collect()
}

const PRIMARY: usize = 2;
const SECONDARY: usize = 3;

/// Two voters with most of the stake, so that the chain goes on, and blocks find their way, whatever the pair does; and the pair.
struct Pair {
    nodes: Vec<Node>,
    keys: PathBuf,
    etcd_endpoint: String,
    spare_port: u16,
    _etcd: Ended,
    _folder: tempfile::TempDir,
}

impl Pair {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let keys = root.join("keys");
        std::fs::create_dir_all(&keys).expect("a folder for keys");
        let base = free_ports();
        let (etcd, etcd_endpoint) = start_etcd(root, base);
        make_genesis(root, &keys);
        let key = |name: &str| keys.join(format!("{name}.json")).display().to_string();
        let secondary = Keypair::new();
        tandem_identity::write_keypair_file(&secondary, &keys.join("secondary.json")).expect("a keypair file");
        let store = ["--tower-storage", "etcd", "--etcd-endpoint", &etcd_endpoint].map(str::to_owned);
        let vote = ["--vote-account".to_owned(), key("pair-vote")];
        let mut nodes = Vec::new();
        for (index, (name, flags)) in (0u16..).zip([
            ("voter-a", vec!["--identity".into(), key("voter-a"), "--vote-account".into(), key("voter-a-vote")]),
            ("voter-b", vec!["--identity".into(), key("voter-b"), "--vote-account".into(), key("voter-b-vote")]),
            ("primary", [&["--identity".into(), key("pair")][..], &vote[..], &store[..]].concat()),
            (
                "secondary",
                [
                    &["--identity".into(), key("secondary"), "--no-check-vote-account".into()][..],
                    &["--authorized-voter".into(), key("pair"), "--failover".into(), "auto".into()],
                    &vote[..],
                    &store[..],
                ]
                .concat(),
            ),
        ]) {
            let mut node = Node::new(root, name, base + 100 * (index + 1), flags);
            if index > 0 {
                node.flags.extend(["--entrypoint".into(), format!("127.0.0.1:{}", base + 100)]);
            }
            node.start();
            nodes.push(node);
        }
        let mut pair = Self { nodes, keys, etcd_endpoint, spare_port: base + 460, _etcd: etcd, _folder: folder };
        pair.wait(PRIMARY, "owns the identity", active);
        pair.wait(SECONDARY, "stands by", |status| status["role"] == "STANDBY" && status["caught_up"] == true);
        pair
    }

    fn identity(&self) -> String {
        self.keys.join("pair.json").display().to_string()
    }

    /// A standby that shall promote itself and has no key to do it with.
    fn keyless_standby(&self) -> Output {
        let node = &self.nodes[SECONDARY];
        let ledger = node.ledger.with_file_name("keyless");
        std::fs::create_dir_all(&ledger).expect("a ledger folder");
        std::fs::copy(node.ledger.join("genesis.bin"), ledger.join("genesis.bin")).expect("a genesis");
        let key = |name: &str| self.keys.join(format!("{name}.json"));
        let mut command = validator();
        command.arg("--ledger").arg(ledger).arg("--identity").arg(key("secondary")).arg("--no-check-vote-account");
        command.arg("--vote-account").arg(key("pair-vote")).args(["--failover", "auto", "--tower-storage", "etcd"]);
        command.args(["--etcd-endpoint", &self.etcd_endpoint]);
        command.args(["--dynamic-port-range", &format!("{}-{}", self.spare_port, self.spare_port + 30)]);
        command.output().expect("it runs")
    }

    /// The primary comes back and reclaims; the secondary ends, and stands by again past its hold-down.
    fn back_to_primary(&mut self) {
        self.nodes[PRIMARY].start();
        self.wait(PRIMARY, "reclaimed its identity", active);
        assert_eq!(self.nodes[SECONDARY].wait_gone(), Some(FENCED));
        self.nodes[SECONDARY].start();
        self.wait(SECONDARY, "watches the owner again", |status| outlook(status).contains("the owner speaks"));
        self.wait_for_votes(PRIMARY);
    }

    /// Two more votes than it has released so far.
    fn wait_for_votes(&mut self, index: usize) {
        let wanted = votes(&self.nodes[index].records()).len() + 2;
        let log = self.nodes[index].release_log.clone();
        self.wait(index, "votes", |_| votes(&read_log(&log).unwrap_or_default()).len() >= wanted);
    }

    fn status(&self, index: usize) -> Option<Value> {
        ask(&self.nodes[index].ledger.join("admin.rpc"), "tandemStatus")
    }

    fn wait(&mut self, index: usize, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(index);
            if let Some(status) = status.as_ref().filter(|status| holds(status)) {
                return status.clone();
            }
            let node = &mut self.nodes[index];
            let ended = node.child.as_mut().and_then(|child| child.0.try_wait().ok().flatten());
            assert!(ended.is_none(), "{} ended ({ended:?}) before it {what}:\n{}", node.name, node.log_tail());
            assert!(Instant::now() < deadline, "{} never {what}: {status:?}\n{}", node.name, node.log_tail());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_json(&self, index: usize, words: &[&str], holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.json(index, words);
            if holds(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{words:?} still answers {answer}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Until a handover would go through.
    fn wait_plan(&self, index: usize) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.command(index, &["failover", "plan", "--output", "json"]);
            let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON, refused or not");
            assert_eq!(output.status.success(), plan["would_succeed"] == true, "{output:?}");
            if output.status.success() {
                return plan;
            }
            assert!(Instant::now() < deadline, "a handover would still be refused: {plan}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn command(&self, index: usize, words: &[&str]) -> Output {
        let ledger = &self.nodes[index].ledger;
        validator().arg("--ledger").arg(ledger).args(words).output().expect("the command runs")
    }

    fn text(&self, index: usize, words: &[&str]) -> String {
        let output = self.command(index, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn json(&self, index: usize, words: &[&str]) -> Value {
        let text = self.text(index, &[words, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?} printed {text}: {error}"))
    }
}

struct Node {
    name: String,
    ledger: PathBuf,
    release_log: PathBuf,
    log: PathBuf,
    flags: Vec<String>,
    child: Option<Ended>,
}

/// A child that does not outlive its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Node {
    fn new(root: &Path, name: &str, port: u16, flags: Vec<String>) -> Self {
        let ledger = root.join(name);
        std::fs::create_dir_all(&ledger).expect("a ledger folder");
        std::fs::copy(root.join("genesis/genesis.bin"), ledger.join("genesis.bin")).expect("a genesis");
        let release_log = root.join(format!("{name}.released"));
        let mut all = vec!["--ledger".to_owned(), ledger.display().to_string()];
        all.extend(["--release-log".into(), release_log.display().to_string()]);
        all.extend(["--gossip-port".into(), port.to_string(), "--rpc-port".into(), (port + 50).to_string()]);
        all.extend(["--dynamic-port-range".into(), format!("{}-{}", port + 1, port + 40)]);
        all.extend(flags);
        Self {
            name: name.to_owned(),
            log: root.join(format!("{name}.log")),
            ledger,
            release_log,
            flags: all,
            child: None,
        }
    }

    fn start(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log");
        let child = validator().args(&self.flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(Ended(child.expect("the validator starts")));
    }

    fn kill(&mut self) {
        self.child = None;
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        let status = Command::new("kill").arg(format!("-{signal}")).arg(child.0.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{signal}");
    }

    fn wait_gone(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        let child = self.child.as_mut().expect("it was started");
        loop {
            if let Some(status) = child.0.try_wait().expect("its own child") {
                self.child = None;
                return status.code();
            }
            assert!(Instant::now() < deadline, "{} still runs:\n{}", self.name, self.log_tail());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn records(&self) -> Vec<Record> {
        read_log(&self.release_log).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

fn validator() -> Command {
    Command::new(env!("CARGO_BIN_EXE_validator"))
}

/// Makes the keys, too.
fn make_genesis(root: &Path, keys: &Path) {
    let key = |name: &str| keys.join(format!("{name}.json"));
    let mut command = validator();
    command.arg("genesis").arg("--ledger").arg(root.join("genesis")).arg("--faucet-pubkey").arg(key("faucet"));
    for name in ["voter-a", "voter-b", "pair"] {
        command.arg("--bootstrap-validator").arg(key(name)).arg(key(&format!("{name}-vote")));
        command.arg(key(&format!("{name}-stake")));
    }
    for stake in ["4000000000000", "4000000000000", "2000000000000"] {
        command.args(["--bootstrap-validator-stake-lamports", stake]);
    }
    let output = command.output().expect("genesis runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn start_etcd(root: &Path, port: u16) -> (Ended, String) {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", port + 1));
    let log = std::fs::File::create(root.join("etcd.log")).expect("a log");
    let child = Command::new("etcd")
        .args(["--name", "m0", "--data-dir"])
        .arg(root.join("etcd"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("m0={peer}"), "--logger", "zap", "--log-level", "warn"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("etcd starts");
    (Ended(child), client)
}

/// One question to the admin socket; nothing while nobody answers.
fn ask(socket: &Path, method: &str) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": [] });
    stream.write_all(request.to_string().as_bytes()).ok()?;
    let (mut reply, mut chunk) = (Vec::new(), [0u8; 4096]);
    while !reply.ends_with(b"\n") {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        reply.extend_from_slice(&chunk[..read]);
    }
    let mut reply: Value = serde_json::from_slice(&reply).ok()?;
    reply.get_mut("result").map(Value::take)
}

/// The first of five hundred ports (after $TANDEM_TEST_PORTS, if that is set) that nobody else is likely to take meanwhile: below the ephemeral range.
fn free_ports() -> u16 {
    let chosen = std::env::var("TANDEM_TEST_PORTS").ok().and_then(|port| port.parse().ok());
    let (first, places): (u16, u16) = chosen.map_or((27_000, 8), |first| (first, 2));
    (0..places)
        .map(|step| first + (std::process::id() as u16 % places + step) % places * 500)
        .find(|base| {
            let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
            [0, 1, 100, 150, 200, 250, 300, 350, 400, 450].into_iter().all(|offset| free(base + offset))
        })
        .expect("free ports")
}
