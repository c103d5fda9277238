//! Ledgers that agave wrote, put into ours in any order.
//!
//! The captures lie outside this repository: in `shared/captures` beside it, or where TANDEM_SHARED says. Without them these
//! tests say that they were skipped.

use {
    rand_order::shuffle,
    std::{collections::BTreeMap, fs, io::Read, path::PathBuf},
    tandem_ledger::{Ledger, Options, Source},
    tandem_shred::{Shred, ShredKind},
    tandem_types::{Slot, UnixMillis},
};

#[test]
fn every_capture_in_shuffled_order() {
    let Some(captures) = captures() else { return };
    for capture in captures {
        let shreds = read_shreds(&capture);
        let full = full_slots(&capture);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (mut ledger, reader) = Ledger::open(dir.path(), Options::default()).expect("opens");
        let mut order: Vec<Shred> = shreds.into_values().flatten().collect();
        shuffle(&mut order, 7);
        let total = order.len();
        for part in order.chunks(8192) {
            let report = ledger.insert(part.to_vec(), Source::Turbine, UnixMillis(1)).expect("inserts");
            assert_eq!(report.rejected_count(), 0, "{:?}", report.rejected);
            assert!(report.conflicts.is_empty());
        }
        drop((ledger, reader));
        // Once more from disk alone.
        let (_ledger, reader) = Ledger::open(dir.path(), Options::default()).expect("opens again");
        assert_eq!(reader.corrupt_records(), 0);
        let (mut chained, mut transactions) = (0, 0);
        for slot in &full {
            let meta = reader.slot_meta(*slot).unwrap_or_else(|| panic!("slot {slot} is known"));
            assert!(meta.is_complete(), "{slot}: {meta:?}");
            let entries = reader.block(*slot).expect("complete").unwrap_or_else(|error| panic!("slot {slot}: {error}"));
            assert!(entries.last().is_some_and(|last| last.is_tick()), "slot {slot} ends with a tick");
            transactions += entries.iter().map(|entry| entry.transactions.len()).sum::<usize>();
            let parent = meta.parent.expect("known with any data shred");
            if let Some(parent_id) = reader.block_id(parent).filter(|_| *slot > 0) {
                assert_eq!(reader.parent_block_id(*slot), Some(parent_id), "slot {slot} on {parent}");
                assert!(reader.next_slots(parent).contains(slot));
                chained += 1;
            }
        }
        println!(
            "{}: {total} shreds, {} full slots, {chained} chained, {transactions} transactions",
            capture.display(),
            full.len()
        );
        assert!(full.len() > 100 && chained > 100 && transactions > 100);
    }
}

#[test]
fn captured_sets_recover_from_any_half() {
    let Some(captures) = captures() else { return };
    for capture in captures {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (mut ledger, reader) = Ledger::open(dir.path(), Options::default()).expect("opens");
        let mut sets = 0;
        for (slot, mut shreds) in read_shreds(&capture) {
            let code = shreds.iter().filter(|shred| shred.kind() == ShredKind::Code).count();
            let data = shreds.len() - code;
            // Only the first slots of a capture have their code shreds, and slot 0's root is the root itself.
            if code != data || slot == 0 {
                continue;
            }
            let data: Vec<Shred> = shreds.iter().filter(|shred| shred.is_data()).cloned().collect();
            shuffle(&mut shreds, slot);
            let mut left = BTreeMap::new();
            shreds.retain(|shred| {
                let count: &mut usize = left.entry(shred.fec_set_index()).or_default();
                *count += 1;
                *count <= 32
            });
            let lost = data.iter().filter(|shred| !shreds.contains(shred)).count();
            let report = ledger.insert(shreds, Source::Turbine, UnixMillis(1)).expect("inserts");
            assert_eq!(report.rejected_count(), 0, "{:?}", report.rejected);
            assert!(reader.is_complete(slot), "slot {slot}, {lost} data shreds lost");
            for shred in &data {
                assert_eq!(reader.shred(slot, shred.index()).as_ref(), Some(shred));
            }
            sets += left.len();
        }
        println!("{}: {sets} sets recovered", capture.display());
        assert!(sets > 20);
    }
}

fn captures() -> Option<Vec<PathBuf>> {
    let shared = std::env::var_os("TANDEM_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let folder = shared.join("captures");
    let mut found: Vec<PathBuf> = fs::read_dir(&folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).filter(|path| path.join("shreds.bin.zst").exists()))
        .map(Iterator::collect)
        .unwrap_or_default();
    if found.is_empty() {
        println!("skipped: no captures in {} (set TANDEM_SHARED)", folder.display());
        return None;
    }
    found.sort();
    Some(found)
}

fn read_shreds(capture: &std::path::Path) -> BTreeMap<Slot, Vec<Shred>> {
    let file = fs::File::open(capture.join("shreds.bin.zst")).expect("exists");
    let mut decoder = zstd::Decoder::new(file).expect("zstd");
    decoder.window_log_max(27).expect("written with --long=27");
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).expect("decodes");
    let mut shreds: BTreeMap<Slot, Vec<Shred>> = BTreeMap::new();
    let mut rest = &bytes[..];
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (payload, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        let shred = Shred::parse_slice(payload).expect("agave's own shred");
        shreds.entry(shred.slot()).or_default().push(shred);
        rest = after;
    }
    shreds
}

fn full_slots(capture: &std::path::Path) -> Vec<Slot> {
    let lines = fs::read_to_string(capture.join("banks.jsonl")).expect("exists");
    let banks = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    banks.filter(|bank| bank["full"] == true).filter_map(|bank| bank["slot"].as_u64()).collect()
}

mod rand_order {
    /// A fixed shuffle from a seed; splitmix64 is enough for an order.
    pub fn shuffle<T>(items: &mut [T], seed: u64) {
        let mut state = seed;
        for at in (1..items.len()).rev() {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            items.swap(at, ((mixed ^ (mixed >> 31)) % (at as u64 + 1)) as usize);
        }
    }
}
