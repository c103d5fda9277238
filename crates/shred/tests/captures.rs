//! Golden data: ledgers made by agave (captures/README.md of the folder that holds them). Every shred of a capture goes
//! through our parsing, recovery, deshredding, entry checks, and back: cutting the same entries up again must give the
//! very bytes agave's leader made.
//!
//! The folder is `$TANDEM_SHARED/captures`, or `../shared/captures` beside the workspace. Without it the tests say so
//! and pass.

use {
    rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom},
    solana_genesis_config::GenesisConfig,
    std::{
        collections::{BTreeMap, HashMap},
        convert::Infallible,
        fs::File,
        io::{BufReader, ErrorKind, Read},
        path::PathBuf,
    },
    tandem_entry::{
        TickVerifier, TransactionRules, check_transaction, decode_entries, encode_entries, verify_chain, verify_entries,
    },
    tandem_shred::{
        Body, Cursor, Deshredder, Policy, Shred, ShredKind, Shredder, block_id, max_slot, recover, shred_version,
    },
    tandem_types::{BlockId, Hash, Pubkey, Slot},
};

#[test]
fn all_features_200ms() {
    check_capture("all-features-200ms");
}

#[test]
fn forks_real_poh() {
    check_capture("forks-real-poh");
}

#[test]
fn stakes_programs_12_epochs() {
    check_capture("stakes-programs-12-epochs");
}

fn check_capture(name: &str) {
    let Some(folder) = captures().map(|folder| folder.join(name)) else {
        println!("SKIPPED {name}: no captures; set TANDEM_SHARED to the folder that holds `captures`");
        return;
    };
    let mut capture = Capture::open(&folder);
    let mut seen = Counts::default();
    for_each_slot(&folder, |slot, shreds| {
        seen.shreds += shreds.len();
        capture.check_slot(slot, &shreds, &mut seen);
    });
    println!("{name}: {seen:?}");
    assert!(
        seen.full_slots > 400 && seen.transactions > 0 && seen.recovered > 0,
        "{name} was not really read: {seen:?}"
    );
    assert_eq!(seen.banks_matched, capture.banks.len(), "{name}: every frozen bank with all its shreds is confirmed");
}

#[derive(Debug, Default)]
struct Counts {
    shreds: usize,
    sets: usize,
    full_slots: usize,
    transactions: usize,
    recovered: usize,
    reshredded: usize,
    chained: usize,
    banks_matched: usize,
}

/// What is known of a capture before its shreds are read, and of the slots read so far.
struct Capture {
    genesis_hash: Hash,
    version: u16,
    ticks_per_slot: u64,
    hashes_per_tick: Option<u64>,
    leaders: Vec<Pubkey>,
    /// Frozen banks whose shreds are all there: last blockhash and signature count.
    banks: HashMap<Slot, (String, u64)>,
    /// Full slots read: last entry's hash, and the block id.
    ends: HashMap<Slot, (Hash, BlockId)>,
    rng: SmallRng,
}

impl Capture {
    fn open(folder: &std::path::Path) -> Self {
        let bytes = std::fs::read(folder.join("genesis.bin")).expect("genesis.bin");
        let genesis: GenesisConfig = bincode::deserialize(&bytes).expect("a genesis config");
        let genesis_hash = genesis.hash();
        // A vote account starts with its version and its node's key.
        let leaders = genesis
            .accounts
            .values()
            .filter(|account| account.owner.to_string().starts_with("Vote1111"))
            .map(|account| Pubkey::try_from(&account.data[4..36]).expect("32 bytes"))
            .collect();
        let banks = std::fs::read_to_string(folder.join("banks.jsonl")).expect("banks.jsonl");
        let banks = banks
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a bank"))
            .filter(|bank| bank["full"] == true)
            .map(|bank| {
                let text = |key: &str| bank[key].as_str().expect("text").to_string();
                let number = |key: &str| bank[key].as_u64().expect("number");
                (number("slot"), (text("last_blockhash"), number("signature_count")))
            })
            .collect();
        Self {
            genesis_hash,
            version: shred_version(&genesis_hash, &[]),
            ticks_per_slot: genesis.ticks_per_slot,
            hashes_per_tick: genesis.poh_config.hashes_per_tick,
            leaders,
            banks,
            ends: HashMap::new(),
            rng: SmallRng::seed_from_u64(7),
        }
    }

    fn check_slot(&mut self, slot: Slot, payloads: &[Vec<u8>], seen: &mut Counts) {
        let policy = Policy { root: 0, max_slot: max_slot(slot, 32), shred_version: self.version, rules: vec![] };
        let mut sets: BTreeMap<u32, Vec<Shred>> = BTreeMap::new();
        for payload in payloads {
            let shred = Shred::parse_slice(payload).unwrap_or_else(|reject| panic!("slot {slot}: {reject}"));
            assert_eq!(shred.slot(), slot);
            assert_eq!(shred.payload(), payload);
            if slot > 0 {
                assert_eq!(policy.check(shred.header()), Ok(()), "slot {slot}");
            }
            sets.entry(shred.fec_set_index()).or_default().push(shred);
        }
        seen.sets += sets.len();
        for set in sets.values() {
            check_set(set);
            let by_a_leader = self.leaders.iter().any(|leader| set[0].verify(leader));
            assert!(by_a_leader || slot == 0, "slot {slot}: signed by no validator");
            if set.len() == 64 {
                seen.recovered += check_recovery(set, &mut self.rng);
            }
        }
        let data: Vec<&Shred> = sets.values().flatten().filter(|shred| shred.is_data()).collect();
        let consecutive = data.iter().enumerate().all(|(i, shred)| shred.index() as usize == i);
        if consecutive && data.last().is_some_and(|last| last.last_in_slot()) {
            seen.full_slots += 1;
            self.check_full_slot(slot, &sets, &data, seen);
        } else {
            assert!(!self.banks.contains_key(&slot), "slot {slot} is said to be full");
        }
    }

    fn check_full_slot(&mut self, slot: Slot, sets: &BTreeMap<u32, Vec<Shred>>, data: &[&Shred], seen: &mut Counts) {
        let parent = data[0].parent_slot().expect("data shreds know their parent");
        let (start_hash, parent_id) = if slot == 0 {
            (self.genesis_hash, BlockId(self.genesis_hash))
        } else {
            match self.ends.get(&parent) {
                Some(end) => *end,
                None => return, // A block on one that is not full.
            }
        };
        let mut previous = parent_id.0;
        for set in sets.values() {
            assert_eq!(set[0].chained_root(), previous, "slot {slot}: chain of sets");
            previous = set[0].merkle_root();
        }

        let mut ticks =
            TickVerifier::new((slot - parent).max(u64::from(slot == 0)) * self.ticks_per_slot, self.hashes_per_tick);
        let (mut hash, mut signatures) = (start_hash, 0);
        let mut cursor = Cursor::start(parent_id);
        let mut deshredder = Deshredder::default();
        for shred in data {
            let Some(component) = deshredder.push(shred).expect("consecutive data shreds") else { continue };
            let entries = component.entries().unwrap_or_else(|error| panic!("slot {slot}: {error}"));
            assert_eq!(encode_entries(&entries).expect("entries have a wire form"), component.bytes, "slot {slot}");
            assert_eq!(decode_entries(&component.bytes).as_ref(), Ok(&entries));
            assert_eq!(ticks.check(&entries, component.last_in_slot), Ok(()), "slot {slot}");
            // Hashing all of a real chain again takes longer than all else here: every fourth slot, and those that tick
            // over skipped ones. The others still have to end with agave's hash (below).
            if self.hashes_per_tick.is_none() || slot.is_multiple_of(4) || slot - parent > 1 {
                assert!(verify_chain(&hash, &entries), "slot {slot}: hash chain");
                seen.chained += 1;
            }
            hash = entries.last().expect("components are not empty").hash;

            assert!(verify_entries(&entries).is_ok(), "slot {slot}: signatures");
            for transaction in entries.iter().flat_map(|entry| &entry.transactions) {
                let rules = TransactionRules { enable_tx_v1: true, limit_instruction_accounts: true };
                assert_eq!(check_transaction(transaction, rules), Ok(()), "slot {slot}");
                signatures += transaction.signatures.len() as u64;
                seen.transactions += 1;
            }
            cursor = check_reshred(slot, parent, cursor, &component.bytes, shred, sets);
            seen.reshredded += 1;
        }
        let last = data.last().expect("a full slot has shreds");
        let id = block_id(last).expect("the last shred is the last");
        assert_eq!(cursor.chained_root, id.0);
        if let Some((last_blockhash, signature_count)) = self.banks.get(&slot) {
            assert_eq!(&hash.to_string(), last_blockhash, "slot {slot}: agave's bank ended with another hash");
            assert_eq!(signatures, *signature_count, "slot {slot}: signatures");
            seen.banks_matched += 1;
        }
        self.ends.insert(slot, (hash, id));
    }
}

fn check_set(set: &[Shred]) {
    let first = &set[0];
    for shred in set {
        assert_eq!(shred.merkle_root(), first.merkle_root());
        assert_eq!(shred.signature(), first.signature());
        assert_eq!(shred.chained_root(), first.chained_root());
        assert_eq!(shred.version(), first.version());
        assert!(!shred.conflicts_with(first));
        if let Body::Code { position, .. } = shred.header().body {
            assert_eq!(shred.index(), shred.fec_set_index() + u32::from(position));
        }
    }
}

/// Loses 32 of the 64 and wants them back, byte for byte but for the signature of the last sender.
fn check_recovery(set: &[Shred], rng: &mut SmallRng) -> usize {
    let mut order: Vec<&Shred> = set.iter().collect();
    order.shuffle(rng);
    let (kept, lost) = order.split_at(32);
    if kept.iter().all(|shred| shred.is_data()) {
        return 0;
    }
    let kept: Vec<Shred> = kept.iter().map(|shred| (*shred).clone()).collect();
    let recovered = recover(&kept).expect("an honest set");
    assert_eq!(recovered.len(), 32);
    for shred in &recovered {
        let original = lost.iter().find(|lost| lost.id() == shred.id()).expect("one of the lost");
        assert_eq!(signed_part(shred), signed_part(original));
    }
    recovered.len()
}

/// Cuts one batch up as the captured leader did; returns where the next one goes.
fn check_reshred(
    slot: Slot,
    parent: Slot,
    cursor: Cursor,
    batch: &[u8],
    end: &Shred,
    sets: &BTreeMap<u32, Vec<Shred>>,
) -> Cursor {
    let reference_tick = end.reference_tick().expect("a data shred");
    let shredder = Shredder::new(slot, parent, end.version(), reference_tick).expect("a parent before its child");
    let mut set = cursor.next_index;
    // The leader's key is not ours: its signature is taken from the capture, provided the root is the same.
    let sign = |root: &Hash| {
        let captured = &sets[&set][0];
        assert_eq!(*root, captured.merkle_root(), "slot {slot} set {set}: other root than agave's");
        set += 32;
        Ok::<_, Infallible>(captured.signature())
    };
    let made = shredder.make(sign, cursor, batch, end.last_in_slot()).expect("fits, as it did");
    for shred in made.data.iter().chain(&made.code) {
        let captured = sets[&shred.fec_set_index()].iter().find(|captured| captured.id() == shred.id());
        match captured {
            Some(captured) => assert_eq!(signed_part(shred), signed_part(captured), "slot {slot} {:?}", shred.id()),
            None => assert_eq!(shred.kind(), ShredKind::Code, "every data shred of a full slot is there"),
        }
    }
    assert_eq!(made.next.next_index, end.index() + 1);
    made.next
}

/// Everything but the last sender's signature.
fn signed_part(shred: &Shred) -> &[u8] {
    let own = shred.payload().len() - if shred.resigned() { 64 } else { 0 };
    &shred.payload()[..own]
}

fn captures() -> Option<PathBuf> {
    let shared = match std::env::var_os("TANDEM_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    Some(shared.join("captures")).filter(|folder| folder.is_dir())
}

/// Calls `visit` with each slot's shreds, slots ascending.
fn for_each_slot(folder: &std::path::Path, mut visit: impl FnMut(Slot, Vec<Vec<u8>>)) {
    let file = BufReader::new(File::open(folder.join("shreds.bin.zst")).expect("shreds.bin.zst"));
    let mut reader = zstd::Decoder::with_buffer(file).expect("zstd");
    reader.window_log_max(27).expect("a window of 128 MiB");
    let mut reader = BufReader::with_capacity(1 << 20, reader);
    let mut current: Option<(Slot, Vec<Vec<u8>>)> = None;
    loop {
        let mut len = [0; 4];
        match reader.read_exact(&mut len) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => panic!("{error}"),
        }
        let mut shred = vec![0; u32::from_le_bytes(len) as usize];
        reader.read_exact(&mut shred).expect("a whole shred");
        let slot = tandem_shred::peek(&shred).expect("a shred").slot;
        match &mut current {
            Some((of, shreds)) if *of == slot => shreds.push(shred),
            Some(_) | None => {
                if let Some((of, shreds)) = current.replace((slot, vec![shred])) {
                    assert!(of < slot, "slots ascend");
                    visit(of, shreds);
                }
            }
        }
    }
    let (slot, shreds) = current.expect("at least one shred");
    visit(slot, shreds);
}
