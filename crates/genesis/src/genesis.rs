//! A genesis as read from a file or made here, with its name: the hash.

use {
    crate::{archive, error::GenesisError, slot_zero::SlotZero},
    sha2::{Digest, Sha256},
    solana_genesis_config::GenesisConfig,
    std::{
        fmt,
        fs::{self, File},
        io::{self, Read, Write},
        path::Path,
    },
    tandem_shred::shred_version,
    tandem_types::{EpochSchedule, Hash},
};

/// A cluster's configuration and accounts at slot 0.
#[derive(Clone, PartialEq)]
pub struct Genesis {
    pub config: GenesisConfig,
    pub hash: Hash,
    /// Of a cluster that had no hard fork yet.
    pub shred_version: u16,
}

impl Genesis {
    /// Names `config`. Refuses what no bank could be made of.
    pub fn new(mut config: GenesisConfig) -> Result<Self, GenesisError> {
        check_usable(&config)?;
        // This field is in no file, so every node that reads one starts with zero; bank 0 depends on it.
        config.fee_rate_governor.lamports_per_signature = 0;
        let hash = Hash::new_from_array(Sha256::digest(encode(&config)?).into());
        Ok(Self { config, hash, shred_version: shred_version(&hash, &[]) })
    }

    /// Content of a genesis.bin. As agave does, the hash is that of the configuration: bytes after it do not count.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GenesisError> {
        Self::new(bincode::deserialize(bytes).map_err(GenesisError::Decode)?)
    }

    /// From a genesis.bin, a genesis.tar.bz2, or a folder that has one of them (the former is preferred, as it is what the
    /// node itself unpacked or was given).
    pub fn load(path: &Path) -> Result<Self, GenesisError> {
        if path.is_dir() {
            let candidates = [path.join(GENESIS_FILE), path.join(ARCHIVE_FILE)];
            let found = candidates.iter().find(|candidate| candidate.exists());
            return Self::load(found.ok_or_else(|| GenesisError::Missing { folder: path.to_owned() })?);
        }
        let read = |source| GenesisError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(read)?;
        let mut start = [0; ARCHIVE_MAGIC.len()];
        let is_archive = file.read_exact(&mut start).is_ok() && start == *ARCHIVE_MAGIC;
        let file = File::open(path).map_err(read)?;
        let bytes = if is_archive {
            archive::read(path, file, GENESIS_BYTES_MAX)?
        } else {
            read_at_most(file, GENESIS_BYTES_MAX)
                .map_err(read)?
                .ok_or_else(|| GenesisError::TooLarge { path: path.to_owned(), max: GENESIS_BYTES_MAX })?
        };
        let unusable = |source| GenesisError::InFile { path: path.to_owned(), source: Box::new(source) };
        Self::from_bytes(&bytes).map_err(unusable)
    }

    /// The operator said which cluster this must be.
    pub fn check_hash(&self, expected: &Hash) -> Result<(), GenesisError> {
        if self.hash == *expected {
            return Ok(());
        }
        Err(GenesisError::WrongHash { expected: *expected, found: self.hash })
    }

    /// Content of genesis.bin.
    pub fn encode(&self) -> Result<Vec<u8>, GenesisError> {
        encode(&self.config)
    }

    /// Writes genesis.bin and genesis.tar.bz2 (what nodes download) into `ledger`, which is made if need be.
    pub fn write(&self, ledger: &Path) -> Result<(), GenesisError> {
        let bytes = self.encode()?;
        let path = ledger.join(GENESIS_FILE);
        let write = |source| GenesisError::Write { path: path.clone(), source };
        fs::create_dir_all(ledger).map_err(write)?;
        replace(&path, |file| file.write_all(&bytes)).map_err(write)?;
        let path = ledger.join(ARCHIVE_FILE);
        replace(&path, |file| archive::write(file, &bytes)).map_err(|source| GenesisError::Write { path, source })
    }

    /// The first slot's entries, shreds and block id. Hashes `ticks_per_slot * hashes_per_tick` times: call it once.
    pub fn slot_zero(&self) -> SlotZero {
        SlotZero::new(self)
    }

    pub fn epoch_schedule(&self) -> &EpochSchedule {
        &self.config.epoch_schedule
    }
}

/// The accounts of a genesis would fill screens.
impl fmt::Debug for Genesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Genesis {{ hash: {}, accounts: {} }}", self.hash, self.config.accounts.len())
    }
}

pub(crate) fn read_at_most(reader: impl Read, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(max + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

fn encode(config: &GenesisConfig) -> Result<Vec<u8>, GenesisError> {
    bincode::serialize(config).map_err(GenesisError::Decode)
}

/// What would otherwise be a panic, a division by zero or an endless slot later.
fn check_usable(config: &GenesisConfig) -> Result<(), GenesisError> {
    let GenesisConfig { ticks_per_slot, epoch_schedule, poh_config, .. } = config;
    let refuse = |reason| Err(GenesisError::Unusable(reason));
    if !(1..=TICKS_PER_SLOT_MAX).contains(ticks_per_slot) {
        return refuse("ticks per slot must be between 1 and 65,536");
    }
    if epoch_schedule.slots_per_epoch < SLOTS_PER_EPOCH_MIN {
        return refuse("an epoch must have at least 32 slots");
    }
    if poh_config.target_tick_duration.is_zero() {
        return refuse("the tick duration is zero");
    }
    if poh_config.hashes_per_tick.is_some_and(|hashes| !(2..=HASHES_PER_TICK_MAX).contains(&hashes)) {
        return refuse("hashes per tick must be absent or between 2 and 10,000,000");
    }
    Ok(())
}

/// A crash leaves the old file or the new one, never half of one.
fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    write(&mut file)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

pub const GENESIS_FILE: &str = "genesis.bin";
pub const ARCHIVE_FILE: &str = "genesis.tar.bz2";
/// A generous bound on what a download can make us unpack; the largest real one has some megabytes.
pub const GENESIS_BYTES_MAX: u64 = 1 << 30;
const ARCHIVE_MAGIC: &[u8; 3] = b"BZh";
const TICKS_PER_SLOT_MAX: u64 = 1 << 16;
/// solana-epoch-schedule: MINIMUM_SLOTS_PER_EPOCH.
const SLOTS_PER_EPOCH_MIN: u64 = 32;
const HASHES_PER_TICK_MAX: u64 = 10_000_000;

#[cfg(test)]
mod tests;
