//! A node whose etcd loses its quorum, with `--on-store-loss standby`: it stands by without a vote more, and goes on in the same
//! process once etcd is back, by itself or at an operator's word.

use {
    serde_json::Value,
    std::{
        net::TcpListener,
        path::{Path, PathBuf},
        process::{Child, Command, Output, Stdio},
        thread,
        time::{Duration, Instant},
    },
    tandem_etcd::testing::{EtcdCluster, etcd_is_installed},
    tandem_witness::{Judge, RecordKind, read_log},
};

const WRITE_TIMEOUT: Duration = Duration::from_millis(1_000);

#[test]
fn a_lost_quorum_makes_a_standby_that_goes_on_when_the_store_is_back() {
    if !etcd_is_installed("a_lost_quorum_makes_a_standby_that_goes_on_when_the_store_is_back") {
        return;
    }
    let mut etcd = EtcdCluster::start(3).expect("an etcd cluster");
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::start(folder.path(), &etcd);
    let mut status = node.wait_until("votes", |status| status["role"] == "ACTIVE" && slot(status, "last_vote") > 4);

    for (round, who) in ["the node itself", "an operator"].into_iter().enumerate() {
        let term = slot(&status, "term");
        for member in [0, 1] {
            etcd.kill(member);
        }
        let lost = Instant::now();
        node.wait_until("stands by", |status| status["role"] == "STANDBY");
        assert!(lost.elapsed() >= WRITE_TIMEOUT / 2, "a moment without etcd is no loss of the store");
        // No store, no votes: what is out now is all.
        let votes = node.votes();
        let refused = node.set_identity();
        assert_eq!(refused.status.code(), Some(8), "{}", String::from_utf8_lossy(&refused.stderr));
        thread::sleep(Duration::from_secs(2));
        assert_eq!(node.votes(), votes, "votes without a store (round {round})");
        assert_eq!(node.status().expect("it runs")["role"], "STANDBY");

        for member in [0, 1] {
            etcd.restart(member).expect("etcd starts again");
        }
        if who == "an operator" {
            let deadline = Instant::now() + Duration::from_secs(60);
            while !node.set_identity().status.success() {
                assert!(Instant::now() < deadline, "set-identity is refused though etcd is back\n{}", node.log_tail());
                thread::sleep(Duration::from_millis(50));
            }
        }
        status = node.wait_until("votes again", |status| {
            status["role"] == "ACTIVE"
                && slot(status, "term") > term
                && slot(status, "last_vote") > slot(status, "root")
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        while node.votes() <= votes + 3 {
            assert!(Instant::now() < deadline, "no votes after etcd came back\n{}", node.log_tail());
            thread::sleep(Duration::from_millis(50));
        }
    }

    let mut judge = Judge::default();
    judge.add_machine(read_log(&node.release_log).expect("a release log"));
    let verdict = judge.verdict();
    assert!(verdict.clean() && verdict.votes_checked > 10, "{verdict:?}");
}

fn slot(status: &Value, name: &str) -> u64 {
    status[name].as_u64().unwrap_or_default()
}

/// The only validator of a cluster of its own.
struct Node {
    ledger: PathBuf,
    identity: PathBuf,
    release_log: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Node {
    fn start(folder: &Path, etcd: &EtcdCluster) -> Self {
        let key = |name: &str| folder.join(format!("{name}.json"));
        let ledger = folder.join("ledger");
        let genesis = program()
            .args(["genesis", "--ledger"])
            .arg(&ledger)
            .arg("--bootstrap-validator")
            .args(["identity", "vote", "stake"].map(key))
            .arg("--faucet-pubkey")
            .arg(key("faucet"))
            .output()
            .expect("genesis runs");
        assert!(genesis.status.success(), "{}", String::from_utf8_lossy(&genesis.stderr));
        let (release_log, log) = (folder.join("released"), folder.join("log"));
        let ports = free_ports();
        let options = etcd.options();
        let file = |path: &Option<PathBuf>| path.clone().expect("mutual TLS");
        let child = program()
            .arg("--ledger")
            .arg(&ledger)
            .arg("--identity")
            .arg(key("identity"))
            .arg("--vote-account")
            .arg(key("vote"))
            .args(["--tower-storage", "etcd", "--etcd-endpoint", &etcd.endpoints().join(",")])
            .arg("--etcd-cacert-file")
            .arg(file(&options.cacert_file))
            .arg("--etcd-cert-file")
            .arg(file(&options.cert_file))
            .arg("--etcd-key-file")
            .arg(file(&options.key_file))
            .args(["--etcd-write-timeout", &WRITE_TIMEOUT.as_millis().to_string(), "--on-store-loss", "standby"])
            .arg("--release-log")
            .arg(&release_log)
            .args(["--gossip-port", &ports.to_string(), "--dynamic-port-range"])
            .arg(format!("{}-{}", ports + 1, ports + 30))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("the validator starts");
        Self { ledger, identity: key("identity"), release_log, log, child }
    }

    fn status(&self) -> Option<Value> {
        let output = program()
            .arg("--ledger")
            .arg(&self.ledger)
            .args(["monitor", "--once", "--output", "json"])
            .output()
            .expect("monitor runs");
        serde_json::from_slice(&output.stdout).ok()
    }

    fn set_identity(&self) -> Output {
        program()
            .arg("--ledger")
            .arg(&self.ledger)
            .arg("set-identity")
            .arg(&self.identity)
            .output()
            .expect("set-identity runs")
    }

    fn votes(&self) -> usize {
        let records = read_log(&self.release_log).unwrap_or_default();
        records.iter().filter(|record| record.kind == RecordKind::Vote).count()
    }

    /// The process must live on, whatever happens.
    fn wait_until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let ended = self.child.try_wait().expect("our own child");
            assert!(ended.is_none(), "the node ended ({ended:?}) before it {what}\n{}", self.log_tail());
            let status = self.status();
            if let Some(status) = status.clone().filter(&holds) {
                return status;
            }
            assert!(Instant::now() < deadline, "it never {what}: {status:?}\n{}", self.log_tail());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_validator"))
}

/// Below the ephemeral range, where nobody else is likely to take them meanwhile.
fn free_ports() -> u16 {
    (0..100u16)
        .map(|step| 27_000 + (std::process::id() as u16 % 50) * 40 + step * 40)
        .find(|base| (0..2).all(|port| TcpListener::bind(("127.0.0.1", base + port)).is_ok()))
        .expect("free ports")
}
