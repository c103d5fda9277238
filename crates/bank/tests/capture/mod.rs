//! Reads a capture of an agave ledger and replays it; shared by the test and the example.

use {
    serde::Deserialize,
    solana_genesis_config::GenesisConfig,
    std::{
        collections::{BTreeMap, HashMap},
        fs::File,
        io::{BufReader, Read},
        path::{Path, PathBuf},
        sync::Arc,
        time::{Duration, Instant},
    },
    tandem_bank::{Bank, Verify},
    tandem_entry::{Entry, decode_entries},
    tandem_types::{Hash, Slot},
};

/// What agave logged of a bank.
#[derive(Clone, Debug, Deserialize)]
pub struct Golden {
    pub slot: Slot,
    pub hash: String,
    pub signature_count: u64,
    pub last_blockhash: String,
    pub capitalization: u64,
    pub lt_hash_checksum: String,
    pub rooted: bool,
    pub full: bool,
}

pub struct Capture {
    pub genesis: GenesisConfig,
    pub genesis_hash: Hash,
    pub blocks: BTreeMap<Slot, Block>,
    pub golden: BTreeMap<Slot, Golden>,
}

pub struct Block {
    pub parent: Slot,
    pub entries: Vec<Entry>,
}

/// How to replay; the banks must not depend on it.
#[derive(Clone, Copy)]
pub struct How {
    /// Roots agave's rooted line this many slots behind.
    pub root_lag: u64,
    pub verify: Verify,
    pub in_parallel: bool,
    pub stop_at_difference: bool,
}

#[derive(Debug, Default)]
pub struct Report {
    pub equal: usize,
    pub compared: usize,
    pub transactions: usize,
    /// Slot, time from the parent to the frozen bank.
    pub times: Vec<(Slot, Duration)>,
    /// The first slot that differs, and how.
    pub first_difference: Option<String>,
    pub dead: Vec<String>,
    pub roots: usize,
    pub last: Option<Arc<Bank>>,
}

/// The folder of captures, if there is one on this machine.
pub fn captures_folder() -> Option<PathBuf> {
    let shared = match std::env::var_os("TANDEM_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let captures = shared.join("captures");
    captures.is_dir().then_some(captures)
}

impl Capture {
    pub fn read(folder: &Path) -> Self {
        let genesis_bytes = std::fs::read(folder.join("genesis.bin")).expect("genesis.bin");
        let golden = std::fs::read_to_string(folder.join("banks.jsonl")).expect("banks.jsonl");
        Self {
            genesis: bincode::deserialize(&genesis_bytes).expect("a bincode GenesisConfig"),
            genesis_hash: sha256(&genesis_bytes),
            blocks: blocks(&folder.join("shreds.bin.zst")),
            golden: golden
                .lines()
                .map(|line| serde_json::from_str::<Golden>(line).expect("a line of banks.jsonl"))
                .map(|golden| (golden.slot, golden))
                .collect(),
        }
    }

    /// Replays every full slot on its parent.
    pub fn replay(&self, how: How) -> Report {
        let How { root_lag, verify, in_parallel, stop_at_difference } = how;
        let mut report = Report::default();
        let mut banks: HashMap<Slot, Arc<Bank>> = HashMap::new();
        for (slot, block) in &self.blocks {
            if self.golden.get(slot).is_some_and(|golden| !golden.full) {
                continue;
            }
            let start = Instant::now();
            let bank = if *slot == 0 {
                Bank::from_genesis(&self.genesis, self.genesis_hash).expect("the genesis is agave's own")
            } else {
                let Some(parent) = banks.get(&block.parent) else { continue };
                Bank::child(parent, *slot)
            };
            if let Err(dead) = execute(&bank, &block.entries, verify, in_parallel) {
                report.dead.push(format!("slot {slot}: {dead}"));
                if self.golden.contains_key(slot) {
                    report.first_difference.get_or_insert(format!("slot {slot} is dead: {dead}"));
                    report.compared += 1;
                    if stop_at_difference {
                        return report;
                    }
                }
                continue;
            }
            bank.freeze();
            report.times.push((*slot, start.elapsed()));
            report.transactions += block.entries.iter().map(|entry| entry.transactions.len()).sum::<usize>();
            if let Some(golden) = self.golden.get(slot) {
                report.compared += 1;
                match difference(&bank, golden) {
                    None => report.equal += 1,
                    Some(difference) => {
                        report.first_difference.get_or_insert(difference);
                        if stop_at_difference {
                            return report;
                        }
                    }
                }
            }
            report.last = Some(bank.clone());
            banks.insert(*slot, bank);
            report.roots += self.advance_root(*slot, root_lag, &mut banks);
        }
        report
    }

    /// Roots the latest slot of agave's rooted line that is at least `lag` old and that everything still to come stands on.
    fn advance_root(&self, slot: Slot, lag: u64, banks: &mut HashMap<Slot, Arc<Bank>>) -> usize {
        let Some(limit) = slot.checked_sub(lag) else { return 0 };
        let is_safe = |root: Slot| {
            let later = self.blocks.range(slot + 1..).map(|(_, block)| block.parent);
            later.filter(|parent| *parent <= slot).all(|parent| self.stands_on(parent, root))
        };
        let rooted = self.golden.range(..=limit).rev().filter(|(_, golden)| golden.rooted).map(|(slot, _)| slot);
        let root = rooted.filter_map(|slot| banks.get(slot)).find(|bank| is_safe(bank.slot())).cloned();
        let Some(root) = root else { return 0 };
        let rooted = root.forks().set_root(&root).rooted.len();
        banks.retain(|slot, _| *slot >= root.slot());
        rooted
    }

    fn stands_on(&self, mut slot: Slot, root: Slot) -> bool {
        while slot > root {
            match self.blocks.get(&slot) {
                Some(block) => slot = block.parent,
                None => return false,
            }
        }
        slot == root
    }
}

fn execute(bank: &Bank, entries: &[Entry], verify: Verify, in_parallel: bool) -> Result<(), tandem_bank::DeadBlock> {
    if in_parallel {
        return bank.execute_entries(entries.to_vec(), verify).map(|_| ());
    }
    for entry in entries {
        if entry.is_tick() {
            bank.register_tick(&entry.hash);
        } else {
            bank.execute_entry(entry.transactions.clone(), verify)?;
        }
    }
    Ok(())
}

fn difference(bank: &Bank, golden: &Golden) -> Option<String> {
    let checksum = bank.lt_hash_checksum().map(|checksum| checksum.to_string()).unwrap_or_default();
    let pairs = [
        ("capitalization", bank.capitalization().to_string(), golden.capitalization.to_string()),
        ("signature_count", bank.signature_count().to_string(), golden.signature_count.to_string()),
        ("last_blockhash", bank.last_blockhash().to_string(), golden.last_blockhash.clone()),
        ("lt_hash_checksum", checksum, golden.lt_hash_checksum.clone()),
        ("hash", bank.hash().to_string(), golden.hash.clone()),
    ];
    let differing: Vec<String> = pairs
        .iter()
        .filter(|(_, ours, theirs)| ours != theirs)
        .map(|(name, ours, theirs)| format!("{name} {ours} (agave {theirs})"))
        .collect();
    (!differing.is_empty())
        .then(|| format!("slot {} (parent {}): {}", bank.slot(), bank.parent_slot(), differing.join(", ")))
}

fn blocks(path: &Path) -> BTreeMap<Slot, Block> {
    let mut decoder =
        zstd::Decoder::new(BufReader::new(File::open(path).expect("shreds.bin.zst"))).expect("a zstd stream");
    decoder.window_log_max(31).expect("a window log zstd knows");
    let mut slots: BTreeMap<Slot, BTreeMap<u32, Vec<u8>>> = BTreeMap::new();
    let mut length = [0; 4];
    while decoder.read_exact(&mut length).is_ok() {
        let mut shred = vec![0; u32::from_le_bytes(length) as usize];
        decoder.read_exact(&mut shred).expect("a whole shred");
        // protocol.md 1.1: the high nibble of byte 64 says data (9, B) or code (6, 7).
        if matches!(shred[64] >> 4, 0x9 | 0xB) {
            let slot = u64::from_le_bytes(shred[65..73].try_into().expect("8 bytes"));
            let index = u32::from_le_bytes(shred[73..77].try_into().expect("4 bytes"));
            slots.entry(slot).or_default().insert(index, shred);
        }
    }
    slots.into_iter().filter_map(|(slot, shreds)| Some((slot, block(slot, &shreds)?))).collect()
}

/// `None` if a shred is missing.
fn block(slot: Slot, shreds: &BTreeMap<u32, Vec<u8>>) -> Option<Block> {
    let mut entries = Vec::new();
    let mut component = Vec::new();
    let mut parent = slot;
    let mut is_last = false;
    for (position, (index, shred)) in shreds.iter().enumerate() {
        if *index as usize != position {
            return None;
        }
        let field = |at: usize| u16::from_le_bytes([shred[at], shred[at + 1]]);
        parent = slot - u64::from(field(83));
        component.extend_from_slice(&shred[88..usize::from(field(86))]);
        is_last = shred[85] & 0xC0 == 0xC0;
        if shred[85] & 0x40 != 0 {
            entries.extend(decode_entries(&component).expect("entries of an agave block"));
            component.clear();
        }
    }
    is_last.then_some(Block { parent, entries })
}

fn sha256(bytes: &[u8]) -> Hash {
    use sha2::{Digest, Sha256};
    Hash::new_from_array(Sha256::digest(bytes).into())
}
