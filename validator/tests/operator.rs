//! The operator's tools, as an operator uses them: certificates of `validator certs` for a real etcd started with the very
//! command it prints, a validator with the flags it prints, and then tower and doctor around it.

#![allow(clippy::unwrap_used)]

use {
    serde_json::Value,
    std::{
        fs,
        net::TcpListener,
        os::unix::fs::PermissionsExt,
        path::{Path, PathBuf},
        process::{Child, Command, Output, Stdio},
        thread,
        time::{Duration, Instant},
    },
    tandem_types::Pubkey,
};

const REFUSED: i32 = 5;

/// Ends with the test, whatever becomes of it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

struct Bench {
    folder: tempfile::TempDir,
    /// The store's flags, as `certs init` prints them.
    flags: Vec<String>,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `@` stands for the folder, `+` for the store's flags.
    fn run(&self, line: &str) -> Output {
        let prefix = format!("{}/", self.folder.path().display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_validator"));
        for word in line.split_whitespace() {
            match word {
                "+" => command.args(&self.flags),
                word => command.arg(word.replace('@', &prefix)),
            };
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap()
    }

    fn text(&self, line: &str) -> String {
        let output = self.run(line);
        let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}: {error}\n{out}");
        out
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{line} --output json"))).unwrap()
    }

    fn fails(&self, line: &str, status: i32, parts: &[&str]) -> String {
        let output = self.run(line);
        let error = String::from_utf8(output.stderr).unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(status), "{line}: {error}\n{out}");
        for part in parts {
            assert!(error.contains(part), "{line}: {error:?} lacks {part:?}");
        }
        out
    }
}

fn etcd_is_there(test: &str) -> bool {
    tandem_etcd::testing::etcd_is_installed(test)
}

/// Ports below those the system gives out by itself: etcd's two, then the validator's sixty.
fn free_ports() -> u16 {
    let offset = u16::try_from(std::process::id() % 10).unwrap() * 80;
    (0..12u16)
        .map(|round| 34_000 + (offset + round * 80) % 960)
        .find(|base| [0, 1, 2, 42, 43].into_iter().all(|more| TcpListener::bind(("127.0.0.1", base + more)).is_ok()))
        .expect("free ports")
}

/// The shell block that starts with `start`, continued lines joined, as words.
fn block(text: &str, start: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let line =
        text.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
    line.split_whitespace().map(str::to_owned).collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < end, "not within 120 s: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn certificates_are_made_once_kept_private_and_renewed() {
    let bench = Bench { folder: tempfile::tempdir().unwrap(), flags: vec![] };
    let told =
        bench.text("certs init --dir @certs --member etcd1.example,10.0.0.1 --member etcd2.example --machine primary");
    for part in
        ["etcd-1=https://etcd1.example:2380,etcd-2=https://etcd2.example:2380", "--etcd-cert-file", "primary.pem"]
    {
        assert!(told.contains(part), "{told}");
    }
    for file in fs::read_dir(bench.path("certs")).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
    let shown = bench.json("certs show @certs/etcd-1.pem @certs/primary.pem @certs/etcd-ca.pem");
    assert_eq!(shown[0]["names"], serde_json::json!(["etcd1.example", "10.0.0.1", "localhost", "127.0.0.1"]));
    assert_eq!((&shown[1]["forServers"], &shown[1]["forClients"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!(shown[2]["authority"], true);
    assert!((364..=365).contains(&shown[0]["daysLeft"].as_i64().unwrap()), "{shown}");

    let before = fs::read(bench.path("certs/etcd-1.pem")).unwrap();
    bench.fails("certs init --dir @certs", REFUSED, &["is there already", "certs renew", "--force"]);
    assert_eq!(fs::read(bench.path("certs/etcd-1.pem")).unwrap(), before, "a refusal changes nothing");
    bench.text("certs renew --dir @certs --days 30");
    let shown = bench.json("certs show @certs/etcd-1.pem");
    assert!((29..=30).contains(&shown[0]["daysLeft"].as_i64().unwrap()), "{shown}");
    assert_eq!(shown[0]["names"][0], "etcd1.example", "for the same names");
    assert_ne!(fs::read(bench.path("certs/etcd-1.pem")).unwrap(), before);

    bench.fails("certs renew --dir @certs nobody", 2, &["nobody.pem"]);
    bench.fails("certs renew --dir @nowhere", 2, &["etcd-ca.pem"]);
    bench.fails("certs init --dir @other --member https://a:2379", 2, &["neither a host name nor an address"]);
    bench.fails("certs init --dir @other --machine ../x", 2, &["cannot be the name"]);
    bench.fails("certs show @certs/etcd-1-key.pem", 2, &["holds no certificate"]);
    // OpenSSL agrees about the chain, where it is installed.
    let verified = Command::new("openssl")
        .args(["verify", "-CAfile"])
        .arg(bench.path("certs/etcd-ca.pem"))
        .args([bench.path("certs/etcd-1.pem"), bench.path("certs/primary.pem")])
        .output();
    if let Ok(verified) = verified {
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[test]
fn doctor_finds_what_is_missing_and_says_what_to_do() {
    let bench = Bench { folder: tempfile::tempdir().unwrap(), flags: vec![] };
    bench.text("certs init --dir @certs");
    bench.text("certs init --dir @foreign");
    bench.text("genesis --ledger @ledger --bootstrap-validator @i.json @v.json @s.json --faucet-pubkey @f.json");
    fs::set_permissions(bench.path("v.json"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(bench.path("i.json"), fs::Permissions::from_mode(0o644)).unwrap();
    let line = "doctor --ledger @ledger --identity @i.json --vote-account @v.json --authorized-voter @none.json \
                --tower-storage etcd --etcd-endpoint 127.0.0.1:1 --etcd-cacert-file @certs/etcd-ca.pem \
                --etcd-cert-file @foreign/validator.pem --etcd-key-file @foreign/validator-key.pem";
    let out = bench.fails(line, 1, &["checks failed"]);
    for part in [
        "FAIL  keypair",
        "none.json",
        "chmod 600",
        "will not take it",
        "certs renew",
        "FAIL  etcd https://127.0.0.1:1",
        "admin socket",
        "disk of",
        "open files",
    ] {
        assert!(out.contains(part), "{part:?} is not in:\n{out}");
    }
    // Nothing at all is given: still a list of findings, not a usage error.
    let out = bench.fails("doctor --ledger @nowhere --output json", 1, &[]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert!(report["fail"].as_u64().unwrap() >= 1 && report["findings"].as_array().unwrap().len() >= 4, "{report}");
    assert!(!bench.path("nowhere").exists(), "looking makes no folders");
}

#[test]
fn the_tools_around_a_running_validator_and_its_etcd() {
    if !etcd_is_there("the_tools_around_a_running_validator_and_its_etcd") {
        return;
    }
    let mut bench = Bench { folder: tempfile::tempdir().unwrap(), flags: vec![] };
    let base = free_ports();
    let told = bench.text("certs init --dir @certs");
    let ours = |words: Vec<String>| -> Vec<String> {
        let port =
            |word: String| word.replace(":2379", &format!(":{base}")).replace(":2380", &format!(":{}", base + 1));
        words.into_iter().map(port).collect()
    };
    let command = ours(block(&told, "etcd --name"));
    bench.flags = ours(block(&told, "--tower-storage"));
    let start_etcd = || {
        let log = fs::File::options().create(true).append(true).open(bench.path("etcd.log")).unwrap();
        let child = Command::new(&command[0])
            .args(&command[1..])
            .arg("--data-dir")
            .arg(bench.path("etcd-data"))
            .current_dir(bench.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Process(child)
    };
    let etcd = start_etcd();
    bench.text("genesis --ledger @ledger --bootstrap-validator @i.json @v.json @s.json --faucet-pubkey @f.json");
    wait_until("etcd answers", || bench.run("tower show --ledger @ledger -i @i.json +").status.success());
    let empty = bench.json("tower show --ledger @ledger -i @i.json +");
    assert!(empty["owner"].is_null() && empty["tower"].is_null(), "{empty}");
    bench.fails("tower export --ledger @ledger -i @i.json + @t.bin", 9, &["no tower"]);

    let log = fs::File::create(bench.path("validator.log")).unwrap();
    let node = Command::new(env!("CARGO_BIN_EXE_validator"))
        .args(["--ledger", "ledger", "--identity", "i.json", "--vote-account", "v.json"])
        .args(["--gossip-port", &(base + 2).to_string(), "--rpc-port", &(base + 42).to_string()])
        .args(["--dynamic-port-range", &format!("{}-{}", base + 3, base + 40)])
        .args(&bench.flags)
        .current_dir(bench.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut node = Process(node);
    let last_vote = |bench: &Bench| {
        let shown = bench.json("tower show --ledger @ledger -i @i.json +");
        shown["tower"]["lastVote"].as_u64().unwrap_or(0)
    };
    wait_until("it votes", || {
        let log = fs::read_to_string(bench.path("validator.log")).unwrap_or_default();
        assert!(node.0.try_wait().unwrap().is_none(), "{log}");
        last_vote(&bench) > 40
    });

    // The doctor needs no flags: it takes the running validator's.
    let report = bench.json("doctor --ledger @ledger");
    assert_eq!(report["fail"], 0, "{report:#}");
    let subjects: Vec<&str> =
        report["findings"].as_array().unwrap().iter().filter_map(|f| f["subject"].as_str()).collect();
    for part in [
        "flags",
        "client certificate",
        "etcd https://127",
        "latency of",
        "etcd quorum",
        "owner",
        "tower",
        "chain",
        "clock",
        "features",
        "authorized voter",
        "vote account",
    ] {
        assert!(subjects.iter().any(|subject| subject.contains(part)), "{part} is not in {subjects:?}");
    }

    // While it is owned: looked at and exported, never imported.
    let shown = bench.json("tower show --ledger @ledger -i @i.json +");
    assert_eq!((&shown["owner"]["released"], &shown["owner"]["term"]), (&Value::Bool(false), &Value::from(1)));
    assert!(shown["tower"]["votes"].as_array().unwrap().len() > 5, "{shown}");
    let text = bench.text("tower show --ledger @ledger -i @i.json +");
    assert!(text.contains("Lockouts:") && text.contains("owned by"), "{text}");
    assert!(bench.text("tower export --ledger @ledger -i @i.json + @early.bin").contains("votes on"));
    let verified = bench.text("tower verify --ledger @ledger -i @i.json +");
    assert!(verified.contains("ok    tower") && verified.contains("last voted"), "{verified}");
    let exported = last_vote(&bench);
    wait_until("it votes on", || last_vote(&bench) > exported);
    bench.fails("tower import --ledger @ledger -i @i.json + @early.bin", REFUSED, &["older"]);

    // Renewed certificates: the node goes on, over a new etcd process and so over new connections.
    bench.text("certs renew --dir @certs");
    drop(etcd);
    let etcd = start_etcd();
    wait_until("etcd is back", || bench.run("tower show --ledger @ledger -i @i.json +").status.success());
    let before = last_vote(&bench);
    wait_until("it votes on with renewed certificates", || {
        assert!(node.0.try_wait().unwrap().is_none(), "{}", fs::read_to_string(bench.path("validator.log")).unwrap());
        last_vote(&bench) > before + 5
    });

    bench.text("exit -f --wait-for-exit --ledger @ledger");
    let shown = bench.json("tower show --ledger @ledger -i @i.json +");
    assert_eq!(shown["owner"]["released"], true, "{shown}");
    bench.text("tower export --ledger @ledger -i @i.json + --format json --vote-account @v.json @last.json");
    bench.text("tower export --ledger @ledger -i @i.json + @last.bin");
    bench.fails("tower export --ledger @ledger -i @i.json + @last.bin", REFUSED, &["is there already", "--force"]);
    bench.text("tower diff --ledger @ledger + store @last.bin");
    bench.text("tower diff @last.json @last.bin");
    let out = bench.fails("tower diff @early.bin @last.bin", 1, &["differ"]);
    assert!(out.contains("last.bin can have grown out of"), "{out}");
    bench.fails("tower import --ledger @ledger + @early.bin", REFUSED, &["an older tower would forget promises"]);
    bench.fails("tower import --ledger @ledger + @last.bin", REFUSED, &["nothing to do"]);

    imports_are_judged(&bench);
    drop(etcd);
    let out = bench.fails("doctor --ledger @ledger --identity @i.json --vote-account @v.json +", 1, &[]);
    assert!(out.contains("FAIL  etcd https://127.0.0.1"), "{out}");
}

/// Into the keys of another cluster, which are empty: what a new store is.
fn imports_are_judged(bench: &Bench) {
    let other = "--genesis-hash GfVcyD4kkTrj4bKc7WA9sZCin9JDbdT4Zkd3EittNR1W";
    bench.fails(&format!("tower import {other} + @last.json"), REFUSED, &["is of the cluster with genesis"]);
    bench.fails(&format!("tower import {other} + -i {} @last.json", Pubkey::new_unique()), REFUSED, &["not of"]);
    bench.fails(&format!("tower import {other} + -i {} @last.bin", Pubkey::new_unique()), REFUSED, &["not signed by"]);
    let mut damaged = fs::read(bench.path("last.bin")).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(bench.path("damaged.bin"), damaged).unwrap();
    bench.fails(&format!("tower import {other} + @damaged.bin"), REFUSED, &["not signed by"]);
    bench.fails("tower verify @damaged.bin", 1, &["1 check failed"]);
    let edited = fs::read_to_string(bench.path("last.json")).unwrap().replacen(
        "\"confirmations\": 1",
        "\"confirmations\": 2",
        1,
    );
    fs::write(bench.path("edited.json"), edited).unwrap();
    bench.fails(&format!("tower import {other} + @edited.json"), REFUSED, &["somebody edited it"]);
    // The watermark is not signed, and never goes down again.
    let mut far: Value = serde_json::from_slice(&fs::read(bench.path("last.json")).unwrap()).unwrap();
    far["watermark"] = u64::MAX.into();
    let genesis = far["genesisHash"].as_str().unwrap().to_owned();
    fs::write(bench.path("far.json"), far.to_string()).unwrap();
    bench.fails(
        &format!("tower import --genesis-hash {genesis} + --take-from-owner @far.json"),
        REFUSED,
        &["leader slot 18446744073709551615 was used", "tower export", "nothing was written"],
    );
    let shown = bench.json(&format!("tower show {other} -i @i.json +"));
    assert!(shown["owner"].is_null(), "a refusal claims nothing: {shown}");

    let early = bench.json(&format!("tower import {other} + @early.bin"));
    assert_eq!(early["term"], 1);
    let last = bench.json(&format!("tower import {other} + @last.bin"));
    assert_eq!(last["term"], 2, "each import is a claim of its own");
    let shown = bench.json(&format!("tower show {other} -i @i.json +"));
    assert_eq!((&shown["owner"]["released"], &shown["tower"]["lastVote"]), (&Value::Bool(true), &last["lastVote"]));
    bench.text(&format!("tower diff {other} + store @last.json"));
}

#[test]
fn a_file_store_is_looked_at_without_being_made() {
    let bench = Bench { folder: tempfile::tempdir().unwrap(), flags: vec![] };
    bench.text("genesis --ledger @ledger --bootstrap-validator @i.json @v.json @s.json --faucet-pubkey @f.json");
    let shown = bench.text("tower show --ledger @ledger -i @i.json");
    assert!(shown.contains("nobody ever claimed"), "{shown}");
    assert!(!Path::new(&bench.path("ledger/tower-store")).exists());
    bench.fails("tower show --ledger @ledger", 2, &["--identity"]);
    bench.fails("tower show --ledger @nowhere -i @i.json", 2, &["genesis.bin", "--genesis-hash"]);
    bench.fails("tower import --ledger @ledger @nothing.bin", 2, &["nothing.bin"]);
    fs::write(bench.path("x.bin"), "{}").unwrap();
    bench.fails("tower import --ledger @ledger @x.bin", REFUSED, &["not an interchange file"]);
}
