//! The fields of the bank, and which account files belong to it (solana-runtime-4.2.2/src/serde_snapshot.rs): three
//! structures of bincode with fixed-size integers, one behind the other.
//!
//! Field names are agave's, so that the two can be held side by side. `unused…` are remains of older versions.

use {
    serde::{Deserialize, de::DeserializeOwned},
    solana_account::Account,
    solana_epoch_schedule::EpochSchedule,
    solana_fee_calculator::FeeRateGovernor,
    solana_hard_forks::HardForks,
    solana_inflation::Inflation,
    solana_stake_interface::{stake_history::StakeHistory, state::Delegation},
    std::{
        collections::{BTreeMap, HashMap},
        io::{self, BufRead},
    },
    tandem_accounts::LtHash,
    tandem_types::{Epoch, Hash, Pubkey, Slot, UnixTimestamp},
};

pub(crate) struct Manifest {
    pub(crate) bank: BankFields,
    /// Empty in archives of agave 4.4.0, which leaves the list out (solana-runtime-4.4.0/src/serde_snapshot.rs): then each file
    /// counts in full, and whether one is missing shows in the lattice hash.
    pub(crate) storages: BTreeMap<Slot, Vec<Storage>>,
    pub(crate) lamports_per_signature: u64,
    pub(crate) epoch_stakes: BTreeMap<Epoch, EpochStakesFields>,
    pub(crate) lt_hash: LtHash,
    pub(crate) block_id: Option<Hash>,
}

/// `DeserializableVersionedBank`.
#[derive(Deserialize)]
pub(crate) struct BankFields {
    pub(crate) blockhash_queue: BlockhashQueueFields,
    _unused_ancestors: HashMap<Slot, usize>,
    pub(crate) hash: Hash,
    pub(crate) parent_hash: Hash,
    pub(crate) parent_slot: Slot,
    pub(crate) hard_forks: HardForks,
    pub(crate) transaction_count: u64,
    pub(crate) tick_height: u64,
    pub(crate) signature_count: u64,
    pub(crate) capitalization: u64,
    pub(crate) max_tick_height: u64,
    pub(crate) hashes_per_tick: Option<u64>,
    pub(crate) ticks_per_slot: u64,
    _ns_per_slot: u128,
    pub(crate) genesis_creation_time: UnixTimestamp,
    _slots_per_year: f64,
    _accounts_data_len: u64,
    pub(crate) slot: Slot,
    _unused_epoch: Epoch,
    pub(crate) block_height: u64,
    pub(crate) leader_id: Pubkey,
    _unused_collector_fees: u64,
    _unused_fee_calculator: u64,
    pub(crate) fee_rate_governor: FeeRateGovernor,
    _unused_collected_rent: u64,
    _unused_rent_collector: UnusedRentCollector,
    pub(crate) epoch_schedule: EpochSchedule,
    pub(crate) inflation: Inflation,
    pub(crate) stakes: StakesFields<Delegation>,
    _unused_accounts: (Vec<Pubkey>, Vec<Pubkey>, Vec<(Pubkey, u64)>),
    unused_epoch_stakes: Vec<(Epoch, ())>,
    _is_delta: bool,
}

/// solana-accounts-db-4.2.2/src/blockhash_queue.rs.
#[derive(Deserialize)]
pub(crate) struct BlockhashQueueFields {
    pub(crate) last_hash_index: u64,
    pub(crate) last_hash: Option<Hash>,
    pub(crate) hashes: Vec<(Hash, HashInfo)>,
    _max_age: usize,
}

#[derive(Deserialize)]
pub(crate) struct HashInfo {
    pub(crate) lamports_per_signature: u64,
    pub(crate) hash_index: u64,
    _timestamp_ms: u64,
}

#[derive(Deserialize)]
struct UnusedRentCollector {
    _epoch: Epoch,
    _epoch_schedule: EpochSchedule,
    _slots_per_year: f64,
    /// Lamports per byte and year, exemption threshold, burn percent.
    _rent: (u64, f64, u8),
}

/// solana-runtime-4.2.2/src/stakes/serde_stakes.rs: `DeserializableStakes`.
#[derive(Deserialize)]
pub(crate) struct StakesFields<T> {
    /// Stake and account by vote account.
    pub(crate) vote_accounts: Vec<(Pubkey, (u64, Account))>,
    pub(crate) stake_delegations: Vec<(Pubkey, T)>,
    _unused: u64,
    pub(crate) epoch: Epoch,
    pub(crate) stake_history: StakeHistory,
}

/// solana-runtime-4.2.2/src/epoch_stakes.rs: `DeserializableVersionedEpochStakes`, its only variant. The delegations are of
/// another type there; both are written as nothing.
#[derive(Deserialize)]
enum VersionedEpochStakes {
    Current(EpochStakesFields),
}

#[derive(Deserialize)]
pub(crate) struct EpochStakesFields {
    pub(crate) stakes: StakesFields<solana_stake_interface::state::Stake>,
    pub(crate) total_stake: u64,
    _node_id_to_vote_accounts: Vec<(Pubkey, (Vec<Pubkey>, u64))>,
    pub(crate) epoch_authorized_voters: Vec<(Pubkey, Pubkey)>,
}

/// `AccountsDbFields`.
#[derive(Deserialize)]
struct AccountsFields {
    storages: Vec<(Slot, Vec<Storage>)>,
    _unused_write_version: u64,
    slot: Slot,
    _unused_bank_hash_info: UnusedBankHashInfo,
    _unused_historical_roots: Vec<Slot>,
    _unused_historical_roots_with_hash: Vec<(Slot, Hash)>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) id: u64,
    /// Bytes of the file that hold records.
    pub(crate) bytes: u64,
}

#[derive(Deserialize)]
struct UnusedBankHashInfo {
    _accounts_delta_hash: [u8; 32],
    _accounts_hash: [u8; 32],
    _stats: [u64; 5],
}

#[derive(Deserialize)]
struct UnusedIncrementalPersistence {
    _full_slot: u64,
    _full_hash: [u8; 32],
    _full_capitalization: u64,
    _incremental_hash: [u8; 32],
    _incremental_capitalization: u64,
}

impl Manifest {
    /// What counts of the file `accounts/SLOT.ID` of so many bytes; `None` if it does not belong to the bank.
    pub(crate) fn storage(&self, slot: Slot, id: u64, bytes: u64) -> Option<Storage> {
        if self.storages.is_empty() {
            return Some(Storage { id, bytes });
        }
        self.storages.get(&slot)?.iter().find(|storage| storage.id == id).copied()
    }

    /// Reads the member `snapshots/SLOT/SLOT`, of `bytes` bytes. No length in it can ask for more memory than that.
    pub(crate) fn read(mut file: impl BufRead, bytes: u64) -> io::Result<Self> {
        let file = &mut file;
        let bank: BankFields = decode(file, bytes)?;
        if !bank.unused_epoch_stakes.is_empty() {
            return Err(invalid("epoch stakes of a version before 4.2"));
        }
        let accounts: AccountsFields = decode(file, bytes)?;
        if accounts.slot != bank.slot {
            return Err(invalid("accounts of another slot than the bank"));
        }
        let lamports_per_signature = decode_or_default(file, bytes)?;
        let _persistence: Option<UnusedIncrementalPersistence> = decode_or_default(file, bytes)?;
        let _epoch_accounts_hash: Option<Hash> = decode_or_default(file, bytes)?;
        let epoch_stakes: Vec<(Epoch, VersionedEpochStakes)> = decode_or_default(file, bytes)?;
        let lt_hash = read_lt_hash(file)?;
        let block_id = decode_or_default(file, bytes)?;
        Ok(Self {
            storages: unique(accounts.storages, "a slot that is listed twice")?,
            epoch_stakes: unique(
                epoch_stakes.into_iter().map(|(epoch, VersionedEpochStakes::Current(stakes))| (epoch, stakes)),
                "stakes of an epoch that are there twice",
            )?,
            bank,
            lamports_per_signature,
            lt_hash,
            block_id,
        })
    }
}

fn unique<V>(entries: impl IntoIterator<Item = (u64, V)>, otherwise: &str) -> io::Result<BTreeMap<u64, V>> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        if map.insert(key, value).is_some() {
            return Err(invalid(otherwise));
        }
    }
    Ok(map)
}

fn decode<T: DeserializeOwned>(file: &mut impl BufRead, bytes_max: u64) -> io::Result<T> {
    use bincode::Options;
    bincode::options()
        .with_limit(bytes_max)
        .with_fixint_encoding()
        .allow_trailing_bytes()
        .deserialize_from(file)
        .map_err(|error| match *error {
            bincode::ErrorKind::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        })
}

/// Fields at the end were added by later versions; an older writer's file ends before them.
fn decode_or_default<T: DeserializeOwned + Default>(file: &mut impl BufRead, bytes_max: u64) -> io::Result<T> {
    if file.fill_buf()?.is_empty() { Ok(T::default()) } else { decode(file, bytes_max) }
}

/// An `Option` that must not be `None`.
fn read_lt_hash(file: &mut impl BufRead) -> io::Result<LtHash> {
    let mut tag = [0];
    file.read_exact(&mut tag)?;
    if tag != [1] {
        return Err(invalid("no lattice hash"));
    }
    let mut bytes = [0; LtHash::BYTES];
    file.read_exact(&mut bytes)?;
    Ok(LtHash::from_bytes(&bytes))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
