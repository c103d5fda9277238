//! Killed at any moment, the ledger opens again and says nothing that is not so.

#[path = "../src/testing.rs"]
mod testing;

use {
    std::{
        io::{BufRead, BufReader},
        path::{Path, PathBuf},
        process::{Child, Command, Stdio},
        time::Duration,
    },
    tandem_ledger::{Ledger, LedgerError, Options, Source},
    tandem_types::{Hash, Slot, UnixMillis},
};

const DIR: &str = "TANDEM_LEDGER_KILL_DIR";
const NOW: UnixMillis = UnixMillis(5);

/// Not a test of its own: what the killed process runs. It says what it was told is done, and goes on until it is killed.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let (mut ledger, reader) = Ledger::open(&dir, Options::default()).expect("opens");
    let first = reader.highest_slot().map_or(1, |highest| highest + 1);
    for slot in first.. {
        let made = testing::slot(slot, slot - 1, 2);
        if slot % 3 == 0 {
            // The process before may have died between beginning the slot and its first shred: it is lost to us.
            if reader.is_own(slot) {
                continue;
            }
            ledger.begin_own_slot(slot).expect("a new slot");
            println!("own {slot}");
            for part in testing::all(&made).chunks(16) {
                ledger.insert_own(slot, part.to_vec(), NOW).expect("fits");
            }
        } else {
            // Every seventh shred is lost; the code makes up for it.
            let shreds = testing::all(&made).into_iter().rev().enumerate();
            let shreds: Vec<_> = shreds.filter(|(at, _)| at % 7 != 0).map(|(_, shred)| shred).collect();
            for part in shreds.chunks(11) {
                ledger.insert(part.to_vec(), Source::Turbine, NOW).expect("inserts");
            }
        }
        println!("full {slot}");
        ledger.set_bank_hash(slot, hash_of(slot)).expect("writes");
        if slot > 5 {
            ledger.mark_root(slot - 5).expect("writes");
            println!("root {}", slot - 5);
        }
        if slot % 50 == 0 {
            ledger.purge_below(slot.saturating_sub(40)).expect("purges");
        }
    }
}

#[test]
fn killed_again_and_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut before = 0;
    for round in 0..8u64 {
        let told = run_and_kill(dir.path(), Duration::from_millis(60 + 37 * round));
        let highest = check(dir.path(), &told);
        assert!(highest > before, "round {round} got somewhere");
        before = highest;
    }
}

#[derive(Default)]
struct Told {
    full: Vec<Slot>,
    own: Vec<Slot>,
    root: Slot,
}

fn run_and_kill(dir: &Path, after: Duration) -> Told {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    // The time runs from its first word, so that a slow start is not the end.
    let first = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("full"));
    let kill = std::thread::spawn(move || kill_after(child, after));
    let mut told = Told::default();
    for line in first.into_iter().chain(lines.map_while(Result::ok)) {
        let Some((word, slot)) = line.split_once(' ') else { continue };
        let Ok(slot) = slot.parse() else { continue };
        match word {
            "full" => told.full.push(slot),
            "own" => told.own.push(slot),
            "root" => told.root = slot,
            _ => {}
        }
    }
    kill.join().expect("killed");
    told
}

fn kill_after(mut child: Child, after: Duration) {
    std::thread::sleep(after);
    child.kill().expect("SIGKILL");
    let status = child.wait().expect("ended");
    assert!(!status.success(), "it was killed, it did not end: {status}");
}

fn check(dir: &Path, told: &Told) -> Slot {
    let (mut ledger, reader) = Ledger::open(dir, Options::default()).expect("opens after a kill");
    let lowest = reader.lowest_slot().expect("something is there");
    for slot in told.full.iter().copied().filter(|slot| *slot >= lowest) {
        assert!(reader.is_complete(slot), "slot {slot} was said to be complete");
    }
    assert!(reader.root() >= told.root);
    for slot in &told.own {
        assert!(reader.is_own(*slot) || *slot < lowest);
        assert!(matches!(ledger.begin_own_slot(*slot), Err(LedgerError::OwnSlotTaken { .. })));
    }
    let highest = reader.highest_slot().expect("something is there");
    for slot in lowest..=highest {
        let Some(meta) = reader.slot_meta(slot) else { continue };
        let made = testing::slot(slot, slot - 1, 2);
        // Everything it claims can be read and is what was inserted; nothing it does not claim is there.
        let missing = reader.missing(slot, usize::MAX);
        for index in 0..meta.received {
            let held = reader.shred(slot, index);
            assert_eq!(held.is_none(), missing.contains(&index), "slot {slot} shred {index}");
            assert!(held.is_none_or(|held| held == made.data[index as usize]));
        }
        assert_eq!(reader.components(slot, 0).len(), meta.components.len());
        if reader.bank_hash(slot).is_some() {
            assert_eq!(reader.bank_hash(slot), Some(hash_of(slot)));
            assert!(meta.is_complete(), "slot {slot} has a bank hash, which came after its last shred");
        }
        if !meta.is_complete() && slot > reader.root() {
            let report = ledger.insert(made.data, Source::Repair, NOW).expect("inserts");
            assert_eq!(report.rejected_count(), 0);
            assert!(reader.is_complete(slot), "what was missing can be repaired");
        }
    }
    assert_eq!(reader.read_errors(), 0);
    highest
}

fn hash_of(slot: Slot) -> Hash {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&slot.to_le_bytes());
    Hash::new_from_array(bytes)
}
