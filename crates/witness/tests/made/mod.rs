//! Votes, blocks and files for the tests, made with the product's own code where that makes them.

use {
    std::{
        convert::Infallible,
        fs,
        path::{Path, PathBuf},
    },
    tandem_entry::{Entry, create_ticks},
    tandem_ledger::{Ledger, Options, Source},
    tandem_shred::{Cursor, Shred, Shredder},
    tandem_types::{BlockId, Hash, Keypair, Pubkey, Signature, Signer, UnixMillis, VersionedTransaction},
    tandem_wire::{
        crds::{CrdsData, CrdsValue, LowestSlot},
        gossip::Protocol,
    },
    tandem_witness::{PromisedAt, RecordKind, ReleaseLog},
};

fn key() -> Keypair {
    Keypair::new_from_array([7; 32])
}

pub fn identity() -> [u8; 32] {
    key().pubkey().to_bytes()
}

/// A signed vote transaction: `tower` is (slot, confirmation count), oldest first.
fn vote(hash: u8, blockhash: u8, tower: &[(u64, u8)]) -> Vec<u8> {
    let mut data = 14u32.to_le_bytes().to_vec();
    data.extend(u64::MAX.to_le_bytes());
    data.push(tower.len() as u8);
    let mut previous = 0;
    for (slot, count) in tower {
        data.extend([(slot - previous) as u8, *count]);
        previous = *slot;
    }
    data.extend([hash; 32]);
    data.push(0);
    data.extend([0; 32]);
    let mut message = vec![1, 0, 1, 3];
    message.extend(identity());
    message.extend([5; 32]);
    message.extend(bs58::decode("Vote111111111111111111111111111111111111111").into_vec().expect("base58"));
    message.extend([blockhash; 32]);
    message.extend([1, 2, 2, 1, 0, data.len() as u8]);
    message.extend(data);
    let mut bytes = vec![1];
    bytes.extend(key().sign_message(&message).as_ref());
    bytes.extend(message);
    bytes
}

/// In order of release: clean ones, with one refreshed with a newer blockhash and one sent twice among them.
pub fn clean_votes() -> Vec<Vec<u8>> {
    vec![
        vote(1, 1, &[(10, 1)]),
        vote(1, 2, &[(10, 1)]),
        vote(2, 2, &[(10, 2), (11, 1)]),
        vote(2, 2, &[(10, 2), (11, 1)]),
        vote(4, 3, &[(10, 2), (14, 1)]),
    ]
}

/// A second hash for slot 11.
pub fn conflicting() -> Vec<u8> {
    vote(9, 3, &[(10, 2), (11, 1)])
}

/// Leaves slot 11, locked until 13.
pub fn unlocked() -> Vec<u8> {
    vote(5, 3, &[(10, 2), (13, 1)])
}

/// A block with `transactions` in it; another `flavour` is another block.
pub fn block(slot: u64, flavour: u8, transactions: &[Vec<u8>]) -> Vec<Shred> {
    let mut entries = create_ticks(20, 2, Hash::new_from_array([flavour; 32]));
    if !transactions.is_empty() {
        let transactions = transactions.iter().map(|bytes| decode(bytes)).collect();
        entries.insert(1, Entry { num_hashes: 1, hash: Hash::new_from_array([3; 32]), transactions });
    }
    let shredder = Shredder::new(slot, slot - 1, 1, 0).expect("a parent below the slot");
    let sign = |root: &Hash| Ok::<Signature, Infallible>(key().sign_message(root.as_ref()));
    let start = Cursor::start(BlockId(Hash::new_from_array([9; 32])));
    let made = shredder.make_entries(sign, start, &entries, true).expect("fits a slot");
    made.data.into_iter().chain(made.code).collect()
}

pub fn payloads(shreds: &[Shred]) -> Vec<Vec<u8>> {
    shreds.iter().map(|shred| shred.payload().to_vec()).collect()
}

fn decode(transaction: &[u8]) -> VersionedTransaction {
    let value = gossiped(transaction);
    let CrdsData::Vote(_, vote) = value.data() else { panic!("a vote") };
    vote.transaction.clone()
}

fn gossiped(transaction: &[u8]) -> CrdsValue {
    let mut bytes = 1u32.to_le_bytes().to_vec();
    bytes.push(0);
    bytes.extend([4; 32]);
    bytes.extend(transaction);
    bytes.extend(1_000u64.to_le_bytes());
    let data = CrdsData::decode(&bytes).expect("a vote record");
    CrdsValue::signed(data, |_| Signature::default())
}

/// A gossip push with another record before the votes.
pub fn push(transactions: &[Vec<u8>]) -> Vec<u8> {
    let lowest = LowestSlot { from: Pubkey::default(), lowest: 3, wallclock: UnixMillis(1) };
    let mut values = vec![CrdsValue::signed(CrdsData::LowestSlot(lowest), |_| Signature::default()).into()];
    values.extend(transactions.iter().map(|transaction| gossiped(transaction).into()));
    Protocol::PushMessage(Pubkey::default(), values).encode()
}

/// A capture of UDP datagrams as tcpdump writes it for this link type.
pub fn pcap(link: u32, big_endian: bool, datagrams: &[Vec<u8>]) -> Vec<u8> {
    let number = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = Vec::new();
    for value in [0xa1b2_c3d4, 0x0002_0004, 0, 0, 262_144, link] {
        file.extend(number(value));
    }
    for datagram in datagrams {
        let mut packet = match link {
            1 => [&[2; 12][..], &[0x08, 0x00]].concat(),
            101 => Vec::new(),
            113 => [&[0; 14][..], &[0x08, 0x00]].concat(),
            276 => [&[0x08, 0x00][..], &[0; 18]].concat(),
            other => panic!("link type {other}"),
        };
        let total = 28 + datagram.len() as u16;
        packet.extend([0x45, 0]);
        packet.extend(total.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        packet.extend([0x1f, 0x40, 0x1f, 0x41]);
        packet.extend((total - 20).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(datagram);
        for value in [1, 2, packet.len() as u32, packet.len() as u32] {
            file.extend(number(value));
        }
        file.extend(packet);
    }
    file
}

pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.0.path(), name)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    pub fn empty(&self) -> PathBuf {
        let path = self.path("empty");
        fs::create_dir(&path).expect("made");
        path
    }

    /// The records are a nanosecond, and where they say it a revision, apart from `start` on.
    pub fn release_log(&self, name: &str, start: u64, placed: bool, records: &[(RecordKind, Vec<u8>)]) -> PathBuf {
        let path = self.path(name);
        let mut log = ReleaseLog::append(&path).expect("a log");
        for (time, (kind, bytes)) in (start..).zip(records) {
            let promise = placed.then_some(PromisedAt { store: 1, term: 1, revision: time });
            log.write(*kind, time, promise, bytes).expect("written");
        }
        path
    }

    pub fn ledger(&self, name: &str, shreds: Vec<Shred>) -> PathBuf {
        let path = self.path(name);
        let (mut ledger, _) = Ledger::open(&path, Options::default()).expect("a ledger");
        ledger.insert(shreds, Source::Turbine, UnixMillis(1)).expect("inserted");
        path
    }

    pub fn shred_capture(&self, name: &str, shreds: &[Shred]) -> PathBuf {
        let mut bytes = Vec::new();
        for shred in shreds {
            bytes.extend((shred.payload().len() as u32).to_le_bytes());
            bytes.extend(&shred.payload()[..]);
        }
        self.file(name, &zstd::encode_all(&bytes[..], 1).expect("compressed"))
    }
}
