//! Replays a capture: `cargo run -p tandem-bank --example replay_capture -- DIR [root lag]`. Prints the time each slot took
//! and the first bank that differs from agave's.

#[path = "../tests/capture/mod.rs"]
mod capture;

use {
    capture::{Capture, How},
    std::path::PathBuf,
    tandem_bank::Verify,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        eprintln!("usage: replay_capture DIR [ROOT_LAG]; DIR holds genesis.bin, shreds.bin.zst and banks.jsonl");
        std::process::exit(2);
    };
    let root_lag = arguments.next().and_then(|lag| lag.parse().ok()).unwrap_or(32);
    // A folder, or the name of one of the captures that lie beside the repository.
    let named = capture::captures_folder().map(|captures| captures.join(&folder));
    let folder = named.filter(|named| named.is_dir()).unwrap_or_else(|| PathBuf::from(&folder));
    let capture = Capture::read(&folder);
    let report = capture.replay(How { root_lag, verify: Verify::Done, in_parallel: false, stop_at_difference: true });
    for (slot, time) in &report.times {
        let transactions: usize = capture.blocks[slot].entries.iter().map(|entry| entry.transactions.len()).sum();
        println!("slot {slot:>5}  {transactions:>5} transactions  {:>8.3} ms", time.as_secs_f64() * 1e3);
    }
    let mut sorted: Vec<f64> = report.times.iter().map(|(_, time)| time.as_secs_f64() * 1e3).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    if let (Some(median), Some(longest)) = (sorted.get(sorted.len() / 2), sorted.last()) {
        println!("median {median:.3} ms, longest {longest:.3} ms, {} transactions in all", report.transactions);
    }
    println!("{}/{} banks equal to agave's", report.equal, report.compared);
    match &report.first_difference {
        Some(difference) => println!("first difference: {difference}"),
        None => println!("no difference"),
    }
    if let Some(last) = &report.last {
        let is_same = Some(last.recomputed_lt_hash_checksum()) == last.lt_hash_checksum();
        println!(
            "lattice hash of slot {} recomputed from all accounts: {}",
            last.slot(),
            if is_same { "equal" } else { "DIFFERENT" }
        );
    }
}
