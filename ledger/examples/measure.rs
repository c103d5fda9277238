//! Insert rate and idle memory: `cargo run --release -p tandem-ledger --example measure -- [slots] [sets per slot]`.

#[path = "../src/testing.rs"]
mod testing;

use {
    std::time::Instant,
    tandem_ledger::{Ledger, Options, Source},
    tandem_types::UnixMillis,
};

fn main() {
    // The second half runs in a process of its own: memory that the first half used would be counted otherwise.
    if let (Some("open"), Some(dir)) = (std::env::args().nth(1).as_deref(), std::env::args().nth(2)) {
        return read(std::path::Path::new(&dir));
    }
    let number = |at: usize, default: u64| std::env::args().nth(at).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (slots, sets) = (number(1, 1000), number(2, 4) as u32);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut ledger, reader) = Ledger::open(dir.path(), Options::default()).expect("opens");
    let (mut shreds, mut spent) = (0, std::time::Duration::ZERO);
    for slot in 1..=slots {
        let made = testing::slot(slot, slot - 1, sets).data;
        shreds += made.len();
        let start = Instant::now();
        for part in made.chunks(64) {
            ledger.insert(part.to_vec(), Source::Turbine, UnixMillis(1)).expect("inserts");
        }
        if slot > 32 {
            ledger.mark_root(slot - 32).expect("writes");
        }
        spent += start.elapsed();
    }
    println!("{shreds} shreds in {spent:?}: {:.0} a second; {}", shreds as f64 / spent.as_secs_f64(), resident());
    drop((ledger, reader));
    let this = std::env::current_exe().expect("this program");
    std::process::Command::new(this).arg("open").arg(dir.path()).status().expect("runs");
}

fn read(dir: &std::path::Path) {
    println!("before opening: {}", resident());
    let start = Instant::now();
    let (_ledger, reader) = Ledger::open(dir, Options::default()).expect("opens");
    println!("opened in {:?}; {}", start.elapsed(), resident());
    let start = Instant::now();
    let (mut slots, mut entries) = (0, 0);
    for block in reader.slots_from(0).filter_map(|slot| reader.block(slot)?.ok()) {
        slots += 1;
        entries += block.len();
    }
    println!("{slots} blocks, {entries} entries read in {:?}; {}", start.elapsed(), resident());
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or("VmRSS unknown")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
