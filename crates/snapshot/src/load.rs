//! From archives to a bank.

use {
    crate::{
        ArchiveName, Kind, Member, SnapshotError, account_file,
        archive::{Content, for_each_member},
        gather::Gathered,
        manifest::{BankFields, BlockhashQueueFields, Manifest, Storage},
        status_cache,
    },
    solana_account::AccountSharedData,
    solana_genesis_config::GenesisConfig,
    std::{
        collections::{BTreeMap, BTreeSet},
        fs, io,
        io::{BufRead, Read},
        path::{Path, PathBuf},
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
    },
    tandem_accounts::Accounts,
    tandem_bank::{Bank, BlockhashQueue, RestoredBank, RestoredEpochStakes, RestoredStakes, RestoredStatuses},
    tandem_types::{BlockId, Hash, Slot},
};

/// A full archive and, if there is one, the increment on top of it.
#[derive(Clone, Debug)]
pub struct Source {
    pub full: PathBuf,
    pub incremental: Option<PathBuf>,
}

/// Where loading is; given now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the archives read so far, and of both together.
    pub bytes: u64,
    pub bytes_total: u64,
    /// Accounts found so far; a deletion counts.
    pub accounts: u64,
}

pub struct Loaded {
    pub bank: Arc<Bank>,
    pub accounts: u64,
    /// Of the archives.
    pub bytes: u64,
}

/// Reads the archives and makes the bank they describe. Every check that agave makes is made (bank.rs: new_from_snapshot,
/// verify_snapshot_bank; snapshot_bank_utils.rs): `Bank::restore` says which.
pub fn load(
    source: &Source,
    genesis: &GenesisConfig,
    genesis_hash: Hash,
    mut progress: impl FnMut(Progress),
) -> Result<Loaded, SnapshotError> {
    let full_name = ArchiveName::of(&source.full)?;
    let names = match &source.incremental {
        None => (full_name, None),
        Some(path) => (full_name, Some(ArchiveName::of(path)?)),
    };
    check_pair(&source.full, names)?;

    let mut reading = Reading { gathered: Gathered::default(), meter: Meter::new(source, &mut progress)? };
    let mut archive = reading.archive(&source.full, full_name, None)?;
    if let (Some(path), Some(name)) = (&source.incremental, names.1) {
        archive = reading.archive(path, name, Some(full_name.slot))?;
    }
    let bytes = reading.meter.bytes_total;
    let (accounts, count) = into_accounts(reading.gathered);
    let named = names.1.unwrap_or(full_name).hash;
    let computed = archive.manifest.lt_hash.checksum();
    if computed != named {
        return Err(SnapshotError::NameHash { computed, named });
    }
    let bank = Bank::restore(genesis, genesis_hash, into_restored(archive), accounts)?;
    Ok(Loaded { bank, accounts: count, bytes })
}

fn check_pair(full_path: &Path, names: (ArchiveName, Option<ArchiveName>)) -> Result<(), SnapshotError> {
    let refused = |reason: &str| SnapshotError::Refused { path: full_path.to_owned(), reason: reason.to_owned() };
    match (names.0.kind, names.1.map(|name| name.kind)) {
        (Kind::Full, None) => Ok(()),
        (Kind::Full, Some(Kind::Incremental { base })) if base == names.0.slot => Ok(()),
        (Kind::Full, Some(Kind::Incremental { base })) => {
            Err(SnapshotError::WrongBase { wanted: base, found: names.0.slot })
        }
        (Kind::Full, Some(Kind::Full)) => Err(refused("two full snapshots do not go together")),
        (Kind::Incremental { .. }, _) => Err(refused("an incremental snapshot needs the full one it stands on")),
    }
}

struct Reading<'a> {
    gathered: Gathered,
    meter: Meter<'a>,
}

/// What an archive says besides its accounts.
struct ArchiveState {
    manifest: Manifest,
    statuses: RestoredStatuses,
}

impl Reading<'_> {
    /// `base`: the slot of the full snapshot under an incremental one, whose accounts are all later.
    fn archive(&mut self, path: &Path, name: ArchiveName, base: Option<Slot>) -> Result<ArchiveState, SnapshotError> {
        let refused = |reason: String| SnapshotError::Refused { path: path.to_owned(), reason };
        let mut version_seen = false;
        let mut manifest = None;
        let mut statuses = None;
        let mut files = BTreeSet::new();
        let mut conflict = None;
        let bytes_read = self.meter.bytes_read.clone();
        for_each_member(path, bytes_read, |content, bytes, file| {
            match content {
                Content::Folder => {}
                Content::Version => {
                    check_version(file).map_err(|error| (Member::Version, error))?;
                    version_seen = true;
                }
                Content::BankFields { slot } => {
                    let read = Manifest::read(file, bytes).map_err(|error| (Member::BankFields, error))?;
                    if slot != name.slot || read.bank.slot != slot || manifest.is_some() {
                        return Err((Member::BankFields, invalid("fields of another slot than the name's")));
                    }
                    manifest = Some(read);
                }
                Content::StatusCache => {
                    let read = status_cache::read(file).map_err(|error| (Member::StatusCache, error))?;
                    if statuses.replace(read).is_some() {
                        return Err((Member::StatusCache, invalid("it is there twice")));
                    }
                }
                Content::Accounts { slot, id } => {
                    let member = Member::Accounts { slot, id };
                    let listed = manifest.as_ref().map(|manifest: &Manifest| manifest.storage(slot, id, bytes));
                    let storage = listed
                        .flatten()
                        .ok_or_else(|| (member.clone(), invalid("the fields of the bank do not list the file")))?;
                    if !files.insert((slot, id)) {
                        return Err((member, invalid("the file is there twice")));
                    }
                    if slot > name.slot || base.is_some_and(|base| slot <= base) {
                        return Err((member, invalid("a slot that this snapshot cannot hold")));
                    }
                    if storage.bytes > bytes {
                        return Err((member, io::ErrorKind::UnexpectedEof.into()));
                    }
                    self.accounts(storage, slot, file, &mut conflict).map_err(|error| (member, error))?;
                }
            }
            self.meter.report(self.gathered.len());
            Ok(())
        })
        .map_err(|error| conflict.take().unwrap_or(error))?;
        if !version_seen {
            return Err(refused("it has no version".into()));
        }
        let manifest = manifest.ok_or_else(|| refused("it has no fields of a bank".into()))?;
        let statuses = statuses.ok_or_else(|| refused("it has no status cache".into()))?;
        let missing = manifest
            .storages
            .iter()
            .flat_map(|(slot, storages)| storages.iter().map(|storage| (*slot, storage.id)))
            .find(|file| base.is_none_or(|base| file.0 > base) && !files.contains(file));
        match missing {
            Some((slot, id)) => Err(refused(format!("the file accounts/{slot}.{id} is missing"))),
            None => Ok(ArchiveState { manifest, statuses }),
        }
    }

    fn accounts(
        &mut self,
        storage: Storage,
        slot: Slot,
        file: &mut dyn BufRead,
        conflict: &mut Option<SnapshotError>,
    ) -> io::Result<()> {
        let Storage { id, bytes } = storage;
        account_file::read(file.take(bytes), |key, account: AccountSharedData| {
            let added = self.gathered.add(slot, id, key, account);
            self.meter.report_now_and_then(self.gathered.len());
            added.map_err(|error| {
                *conflict = Some(error);
                invalid("an account twice")
            })
        })
    }
}

fn check_version(file: &mut dyn BufRead) -> io::Result<()> {
    let mut version = String::new();
    file.take(VERSION_BYTES_MAX).read_to_string(&mut version)?;
    if version.trim() == VERSION { Ok(()) } else { Err(invalid(&format!("version {version:?} instead of {VERSION}"))) }
}

fn into_accounts(gathered: Gathered) -> (Accounts, u64) {
    let accounts = Accounts::new();
    let mut count = 0;
    for (key, version) in gathered.into_living() {
        accounts.rooted().apply(version.slot, key, version.account);
        count += 1;
    }
    (accounts, count)
}

fn into_restored(archive: ArchiveState) -> RestoredBank {
    let ArchiveState {
        manifest: Manifest { bank, lamports_per_signature, epoch_stakes, lt_hash, block_id, .. },
        statuses,
    } = archive;
    let BankFields { fee_rate_governor: mut fees, stakes, .. } = bank;
    fees.lamports_per_signature = lamports_per_signature;
    RestoredBank {
        slot: bank.slot,
        hash: bank.hash,
        parent_slot: bank.parent_slot,
        parent_hash: bank.parent_hash,
        block_id: block_id.map(BlockId),
        block_height: bank.block_height,
        leader: bank.leader_id,
        tick_height: bank.tick_height,
        max_tick_height: bank.max_tick_height,
        hashes_per_tick: bank.hashes_per_tick,
        ticks_per_slot: bank.ticks_per_slot,
        transaction_count: bank.transaction_count,
        signature_count: bank.signature_count,
        capitalization: bank.capitalization,
        genesis_creation_time: bank.genesis_creation_time,
        hard_forks: bank.hard_forks,
        fees,
        epoch_schedule: bank.epoch_schedule,
        inflation: bank.inflation,
        blockhashes: blockhashes(bank.blockhash_queue),
        stakes: RestoredStakes {
            epoch: stakes.epoch,
            history: stakes.stake_history,
            vote_stakes: stakes
                .vote_accounts
                .into_iter()
                .map(|(key, (stake, account))| (key, (stake, account.into())))
                .collect(),
            delegations: stakes.stake_delegations.into_iter().collect(),
        },
        epoch_stakes: epoch_stakes
            .into_iter()
            .map(|(epoch, entry)| {
                let vote_accounts = entry.stakes.vote_accounts.into_iter();
                let restored = RestoredEpochStakes {
                    vote_accounts: vote_accounts.map(|(key, (stake, account))| (key, stake, account.into())).collect(),
                    total_stake: entry.total_stake,
                    authorized_voters: entry.epoch_authorized_voters.into_iter().collect(),
                };
                (epoch, restored)
            })
            .collect::<BTreeMap<_, _>>(),
        lt_hash,
        statuses,
    }
}

fn blockhashes(queue: BlockhashQueueFields) -> BlockhashQueue {
    BlockhashQueue::restored(
        queue.last_hash_index,
        queue.last_hash.unwrap_or_default(),
        queue.hashes.into_iter().map(|(hash, info)| (hash, info.hash_index, info.lamports_per_signature)),
    )
}

struct Meter<'a> {
    bytes_read: Arc<AtomicU64>,
    bytes_total: u64,
    calls: u32,
    progress: &'a mut dyn FnMut(Progress),
}

impl<'a> Meter<'a> {
    fn new(source: &Source, progress: &'a mut dyn FnMut(Progress)) -> Result<Self, SnapshotError> {
        let size = |path: &PathBuf| {
            fs::metadata(path)
                .map(|file| file.len())
                .map_err(|source| SnapshotError::Read { path: path.clone(), source })
        };
        let bytes_total = size(&source.full)? + source.incremental.as_ref().map_or(Ok(0), size)?;
        Ok(Self { bytes_read: Arc::default(), bytes_total, calls: 0, progress })
    }

    fn report(&mut self, accounts: usize) {
        let bytes = self.bytes_read.load(Relaxed);
        (self.progress)(Progress { bytes, bytes_total: self.bytes_total, accounts: accounts as u64 });
    }

    /// For every account: too often to look at more than a counter.
    fn report_now_and_then(&mut self, accounts: usize) {
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(ACCOUNTS_PER_REPORT) {
            self.report(accounts);
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// snapshot_version.rs.
const VERSION: &str = "1.2.0";
const VERSION_BYTES_MAX: u64 = 8;
const ACCOUNTS_PER_REPORT: u32 = 1 << 16;
