//! The built binary from outside: exit statuses, one-line errors, the genesis command.
#![allow(clippy::unwrap_used)]

use {
    serde_json::Value,
    std::{
        fs,
        net::TcpListener,
        path::Path,
        process::{Command, Output},
    },
    tandem_genesis::Genesis,
    tempfile::TempDir,
};

const USAGE: i32 = 2;
const REFUSED: i32 = 5;

/// Runs the words in `folder`; `@` stands for the folder.
fn validator(folder: &Path, line: &str) -> Output {
    let prefix = format!("{}/", folder.display());
    let words = line.split_whitespace().map(|word| word.replace('@', &prefix));
    Command::new(env!("CARGO_BIN_EXE_validator")).args(words).current_dir(folder).output().unwrap()
}

fn fails(folder: &Path, line: &str, status: i32, parts: &[&str]) {
    let output = validator(folder, line);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{line}: {error}");
    assert_eq!(error.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{line}: {error}");
    for part in parts {
        assert!(error.contains(part), "{line}: {error:?} lacks {part:?}");
    }
}

fn succeeds(folder: &Path, line: &str) -> String {
    let output = validator(folder, line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_genesis_with_the_keys_it_needs() {
    let folder = folder();
    let line =
        "genesis --ledger @ledger --bootstrap-validator @i.json @v.json @s.json --output json --slots-per-epoch 64";
    let report: Value = serde_json::from_str(&succeeds(folder.path(), line)).unwrap();
    let genesis = Genesis::load(&folder.path().join("ledger")).unwrap();
    assert_eq!(report["genesisHash"], genesis.hash.to_string());
    assert_eq!(report["shredVersion"], genesis.shred_version);
    assert_eq!(report["keypairsMade"].as_array().unwrap().len(), 4, "the faucet's too");
    assert_eq!(genesis.config.epoch_schedule.slots_per_epoch, 64);
    for file in ["i.json", "v.json", "s.json", "ledger/faucet-keypair.json", "ledger/genesis.tar.bz2"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
    fails(folder.path(), line, REFUSED, &["genesis.bin is there already", "--ledger"]);

    let text =
        succeeds(folder.path(), "genesis -l @b --bootstrap-validator @i.json @v.json @s.json --faucet-pubkey @s2.json");
    assert!(text.contains("Keypair made:") && text.contains("s2.json") && text.contains("Shred version:"), "{text}");
    assert!(!text.contains("i.json"), "what is there is kept: {text}");
}

#[test]
fn a_genesis_that_cannot_be() {
    let folder = folder();
    let with = "genesis -l @l --bootstrap-validator @i.json @v.json @s.json";
    for (more, part) in [
        ("--hashes-per-tick often", "--hashes-per-tick often"),
        ("--deactivate-feature x", "--deactivate-feature x"),
        ("--deactivate-feature 11111111111111111111111111111111", "no feature"),
        ("--slots-per-epoch 5", "32 slots"),
        ("--bootstrap-validator-stake-lamports 1", "lamports of stake"),
        ("--bootstrap-validator-stake-lamports 9 --bootstrap-validator-stake-lamports 9", "2 stakes are given for 1"),
        ("--faucet-pubkey @i.json", "used for two accounts"),
    ] {
        fails(folder.path(), &format!("{with} {more}"), USAGE, &[part]);
    }
    fs::write(folder.path().join("text.json"), "text").unwrap();
    let line = "genesis -l @l --bootstrap-validator @i.json @v.json @text.json";
    fails(folder.path(), line, USAGE, &["text.json", "64 numbers"]);
    assert!(!folder.path().join("l/genesis.bin").exists());
}

#[test]
fn what_the_node_is_started_with_is_checked_first() {
    let folder = folder();
    succeeds(folder.path(), "genesis -l @l --bootstrap-validator @i.json @v.json @s.json");
    fs::write(folder.path().join("text.json"), "text").unwrap();
    fails(folder.path(), "", USAGE, &["--identity KEYPAIR"]);
    fails(folder.path(), "-l @l -i @none.json", USAGE, &["none.json", "solana-keygen new"]);
    fails(folder.path(), "run -l @l -i @text.json", USAGE, &["text.json", "64 numbers"]);
    fails(folder.path(), "-i @i.json run", USAGE, &["after the word `run`"]);
    fails(folder.path(), "-l @l -i @i.json --dynamic-port-range 9-8", USAGE, &["ends before it begins"]);
    fails(folder.path(), "-l @l -i @i.json --entrypoint somewhere", USAGE, &["--entrypoint somewhere", "HOST:PORT"]);
    let etcd = "-l @l -i @i.json --tower-storage etcd --etcd-endpoint 127.0.0.1:1";
    fails(folder.path(), etcd, USAGE, &["--etcd-cacert-file"]);
    fails(folder.path(), &format!("{etcd} --etcd-cacert-file @no.pem"), USAGE, &["no.pem"]);
    fails(folder.path(), "-l @l -i @i.json -o @no/folder.log", USAGE, &["no/folder.log", "--log"]);
    fails(folder.path(), "--tower-storage zookeeper", USAGE, &["etcd"]);
}

#[test]
fn commands_say_when_nobody_answers() {
    let folder = folder();
    succeeds(folder.path(), "genesis -l @l --bootstrap-validator @i.json @v.json @s.json");
    for command in [
        "set-identity @i.json",
        "contact-info",
        "exit --force",
        "monitor --once",
        "authorized-voter remove-all",
        "set-log-filter info",
    ] {
        fails(folder.path(), &format!("-l @l {command}"), 1, &["l/admin.rpc", "--ledger DIR"]);
    }
    fails(folder.path(), "-l @l set-identity @none.json", USAGE, &["none.json"]);
    fails(folder.path(), "-l @l wait-for-restart-window", 1, &["l/admin.rpc"]);
}

#[test]
fn a_playground_that_cannot_start_reports_a_failure() {
    let folder = folder();
    fs::write(folder.path().join("something"), "").unwrap();
    fails(folder.path(), "dev --dir .", USAGE, &["not empty"]);
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().min(65_000);
    let line = format!("dev --failover-demo --json @report.json --base-port {port}");
    if port == taken.local_addr().unwrap().port() {
        fails(folder.path(), &line, 1, &["the demonstration failed", &format!("port {port}"), "--base-port"]);
        let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
        assert_eq!(report["verdict"], "fail");
        assert!(report["failures"][0].as_str().unwrap().contains(&port.to_string()));
    }
}

/// Archives of agave 4.2.2; what is in them is tested where they lie.
#[test]
fn a_snapshot_is_checked_before_a_validator_starts_from_it() {
    let archives = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/snapshot/testdata").canonicalize().unwrap();
    let folder = folder();
    let check = format!("ledger check-snapshot {0} --genesis {0}", archives.display());
    let text = succeeds(folder.path(), &check);
    assert!(text.contains("slot 525, epoch 8, bank hash 89Yxio4s62mpCFX6ShmmdPd4CrrZMV7EgbDmpTXFkFn8"), "{text}");
    let report: Value = serde_json::from_str(&succeeds(folder.path(), &format!("{check} --output json"))).unwrap();
    assert_eq!(report["slot"], 525);
    assert_eq!(report["capitalization"], 500_010_917_435_873_061u64);
    assert!(report["incremental"].as_str().unwrap().contains("incremental-snapshot-500-525-"), "{report}");

    let none = "--genesis";
    fails(folder.path(), &format!("-l @l ledger check-snapshot {}", archives.display()), 1, &[none]);
    succeeds(folder.path(), "genesis -l @l --bootstrap-validator @i.json @v.json @s.json");
    fails(folder.path(), &format!("-l @l ledger check-snapshot {}", archives.display()), 1, &["of another cluster"]);
    fails(folder.path(), "-l @l ledger check-snapshot @l", 1, &["no full snapshot archive"]);
    fails(folder.path(), "-l @l ledger check-snapshot @i.json", 1, &["not the name of a snapshot archive"]);
}
