//! A single node with the file store, killed with SIGKILL at random moments, again and again: it goes on voting, releases nothing
//! that contradicts what it released before, and loses no finalized transfer.

use {
    serde_json::{Value, json},
    std::{
        collections::BTreeMap,
        net::{SocketAddr, TcpListener},
        path::{Path, PathBuf},
        process::{Child, Command, Stdio},
        thread,
        time::{Duration, Instant},
    },
    tandem_types::{Hash, Keypair, Pubkey, Signer, VersionedTransaction},
    tandem_witness::{Judge, RecordKind, Vote, read_log},
};

const KILLS: u32 = 20;
/// A root is 32 slots behind; a busy machine takes longer.
const FINAL_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn twenty_kills_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::prepare(folder.path());
    node.start();
    node.wait_until("confirms blocks", |node| node.slot("confirmed") > 2);

    let payer = Keypair::new();
    let recipient = Keypair::new().pubkey();
    node.airdrop(&payer.pubkey());
    node.airdrop(&recipient);
    let base = node.balance(&recipient, "finalized");

    // Transfers by signature; the amounts are powers apart from each other in no way but that each is one more.
    let mut pending: BTreeMap<String, u64> = BTreeMap::new();
    let (mut finalized_total, mut number) = (0u64, 0u64);
    let mut random = Seeded(0x5eed ^ u64::from(std::process::id()));
    println!("seed {:#x}", random.0);
    for kill in 1..=KILLS {
        let votes_before = node.votes();
        let until = Instant::now() + Duration::from_millis(700 + random.below(2_500));
        while Instant::now() < until {
            number += 1;
            if let Some(signature) = node.transfer(&payer, &recipient, number) {
                pending.insert(signature, number);
            }
            finalized_total += node.take_finalized(&mut pending);
            thread::sleep(Duration::from_millis(20));
        }
        node.survives_a_kill(votes_before, &recipient, base, finalized_total);
        println!("kill {kill}: {} votes, {finalized_total} lamports final", node.votes());
    }

    // A slow machine is killed faster than it roots: the last run goes on until a transfer is final, and is killed then.
    let until = Instant::now() + FINAL_WITHIN;
    while finalized_total == 0 && Instant::now() < until {
        thread::sleep(Duration::from_millis(100));
        finalized_total += node.take_finalized(&mut pending);
    }
    assert!(finalized_total > 0, "no transfer was ever finalized: the test tested nothing");
    node.survives_a_kill(node.votes(), &recipient, base, finalized_total);
    let mut judge = Judge::default();
    judge.add_machine(read_log(&node.release_log).expect("a release log"));
    let verdict = judge.verdict();
    assert!(verdict.clean(), "{verdict:?}");
    assert!(verdict.votes_checked > u64::from(KILLS), "{verdict:?}");
    assert!(verdict.shreds_checked > u64::from(KILLS), "{verdict:?}");
}

struct Node {
    ledger: PathBuf,
    keys: PathBuf,
    release_log: PathBuf,
    log: PathBuf,
    rpc: SocketAddr,
    ports: u16,
    child: Option<Child>,
    agent: ureq::Agent,
}

impl Node {
    fn prepare(folder: &Path) -> Self {
        let keys = folder.join("keys");
        std::fs::create_dir_all(&keys).expect("a folder for keys");
        let ledger = folder.join("ledger");
        let output = Command::new(env!("CARGO_BIN_EXE_validator"))
            .arg("genesis")
            .arg("--ledger")
            .arg(&ledger)
            .arg("--bootstrap-validator")
            .args(["identity", "vote", "stake"].map(|name| keys.join(format!("{name}.json"))))
            .arg("--faucet-pubkey")
            .arg(keys.join("faucet.json"))
            .output()
            .expect("genesis runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ports = free_ports();
        Self {
            ledger,
            keys,
            release_log: folder.join("released"),
            log: folder.join("log"),
            rpc: SocketAddr::from(([127, 0, 0, 1], ports + 40)),
            ports,
            child: None,
            agent: ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into(),
        }
    }

    /// After a kill and a start it votes on, and what was final still is.
    fn survives_a_kill(&mut self, votes_before: usize, recipient: &Pubkey, base: u64, finalized: u64) {
        self.kill();
        self.start();
        self.wait_until("votes again", |node| node.votes() > votes_before);
        let balance = self.wait_for_balance(recipient, base + finalized);
        assert!(balance >= base + finalized, "{finalized} lamports were final, the balance is {balance} - {base}");
    }

    fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("a log");
        let key = |name: &str| self.keys.join(format!("{name}.json"));
        let child = Command::new(env!("CARGO_BIN_EXE_validator"))
            .arg("--ledger")
            .arg(&self.ledger)
            .arg("--identity")
            .arg(key("identity"))
            .arg("--vote-account")
            .arg(key("vote"))
            .arg("--faucet-keypair")
            .arg(key("faucet"))
            .arg("--release-log")
            .arg(&self.release_log)
            .args(["--gossip-port", &self.ports.to_string(), "--rpc-port", &self.rpc.port().to_string()])
            .args(["--dynamic-port-range", &format!("{}-{}", self.ports + 1, self.ports + 30)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the validator starts");
        self.child = Some(child);
    }

    /// SIGKILL: nothing of the process runs any more.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }

    fn call(&self, method: &str, params: Value) -> Option<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut response = self
            .agent
            .post(format!("http://{}", self.rpc))
            .header("content-type", "application/json")
            .send(request.to_string())
            .ok()?;
        let mut reply: Value = serde_json::from_str(&response.body_mut().read_to_string().ok()?).ok()?;
        reply.get_mut("result").map(Value::take)
    }

    fn slot(&self, commitment: &str) -> u64 {
        self.call("getSlot", json!([{ "commitment": commitment }])).and_then(|slot| slot.as_u64()).unwrap_or_default()
    }

    fn balance(&self, account: &Pubkey, commitment: &str) -> u64 {
        let reply = self.call("getBalance", json!([account.to_string(), { "commitment": commitment }]));
        reply.and_then(|reply| reply["value"].as_u64()).unwrap_or_default()
    }

    /// A restarted node's final block comes back with its next roots.
    fn wait_for_balance(&mut self, account: &Pubkey, wanted: u64) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let balance = self.balance(account, "finalized");
            if balance >= wanted || Instant::now() > deadline {
                return balance;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn airdrop(&mut self, account: &Pubkey) {
        self.call("requestAirdrop", json!([account.to_string(), 1_000_000_000_000u64])).expect("an airdrop");
        let account = *account;
        self.wait_until("has finalized an airdrop", |node| node.balance(&account, "finalized") > 0);
    }

    fn transfer(&self, payer: &Keypair, to: &Pubkey, lamports: u64) -> Option<String> {
        let reply = self.call("getLatestBlockhash", json!([{ "commitment": "confirmed" }]))?;
        let blockhash: Hash = reply["value"]["blockhash"].as_str()?.parse().ok()?;
        let transfer = VersionedTransaction::from(solana_system_transaction::transfer(payer, to, lamports, blockhash));
        let bytes = bincode::serialize(&transfer).ok()?;
        let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes);
        let options = json!({ "encoding": "base64", "skipPreflight": true });
        self.call("sendTransaction", json!([encoded, options]))?.as_str().map(str::to_owned)
    }

    /// Lamports of the transfers that have become final.
    fn take_finalized(&self, pending: &mut BTreeMap<String, u64>) -> u64 {
        let signatures: Vec<String> = pending.keys().take(256).cloned().collect();
        let Some(reply) = self.call("getSignatureStatuses", json!([signatures])) else { return 0 };
        let statuses = reply["value"].as_array().cloned().unwrap_or_default();
        signatures
            .iter()
            .zip(statuses)
            .filter(|(_, status)| status["confirmationStatus"] == "finalized" && status["err"].is_null())
            .filter_map(|(signature, _)| pending.remove(signature))
            .sum()
    }

    /// Votes released so far, by all runs.
    fn votes(&self) -> usize {
        let records = read_log(&self.release_log).unwrap_or_default();
        let vote = |record: &tandem_witness::Record| {
            record.kind == RecordKind::Vote && Vote::from_transaction(&record.bytes).is_some()
        };
        records.iter().filter(|record| vote(record)).count()
    }

    fn wait_until(&mut self, what: &str, holds: impl Fn(&Node) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !holds(self) {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(ended.is_none(), "the node ended ({ended:?}) before it {what}:\n{}", tail(&log()));
            assert!(Instant::now() < deadline, "the node has not done it after 90 s: it {what}:\n{}", tail(&log()));
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// The first of sixty ports that nobody else is likely to take meanwhile: below the ephemeral range.
fn free_ports() -> u16 {
    (0..200u16)
        .map(|step| 21_000 + (std::process::id() as u16 % 50) * 100 + step * 60 % 5_000)
        .find(|base| {
            let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
            free(*base) && free(base + 40) && free(base + 41)
        })
        .expect("free ports")
}

/// A small generator: the moments of the kills, by the printed seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
