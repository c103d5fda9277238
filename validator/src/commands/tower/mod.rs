//! `validator tower`: what the promise store holds for an identity, in and out of it, checked and compared.

mod diff;
mod export;
mod import;
mod interchange;
mod show;
mod verify;

pub use verify::freshness;

use {
    super::place::{Access, Place, store_failure},
    crate::{
        args::{TowerCommand, TowerPlaceArgs},
        exit::{Failure, Status},
    },
    interchange::Interchange,
    std::{fs, path::Path},
    tandem_tower_storage::StoredTower,
    tandem_types::{Hash, Pubkey, Slot},
    tandem_wire::tower_file::{self, SavedTowerFile},
};

pub fn tower(ledger: &Path, command: &TowerCommand) -> Result<(), Failure> {
    match command {
        TowerCommand::Show(args) => show::show(ledger, args),
        TowerCommand::Export(args) => export::export(ledger, args),
        TowerCommand::Import(args) => import::import(ledger, args),
        TowerCommand::Verify(args) => verify::verify(ledger, args),
        TowerCommand::Diff(args) => diff::diff(ledger, args),
    }
}

/// A tower out of a file, signature and form checked.
struct FileTower {
    identity: Pubkey,
    tower: StoredTower,
    /// Only interchange files say these.
    genesis_hash: Option<Hash>,
    vote_account: Option<Pubkey>,
    watermark: Option<Slot>,
}

/// Reads a file of either kind. `identity`: whose it must be; left out, it is whose it says it is.
fn read_file(path: &Path, identity: Option<Pubkey>) -> Result<FileTower, Failure> {
    let path = match identity.filter(|_| path.is_dir()) {
        Some(identity) => path.join(tower_file::file_name(&identity)),
        None => path.to_path_buf(),
    };
    let refused = |reason: String| Failure::refused(format!("{}: {reason}", path.display()));
    let size = fs::metadata(&path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?.len();
    if size > FILE_BYTES_MAX {
        return Err(refused(format!("{size} bytes are more than any tower has")));
    }
    let bytes = fs::read(&path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return Interchange::read(&bytes, identity).map_err(|reason| {
            refused(reason).remedy("take it from the node that wrote it: validator tower export --format json FILE")
        });
    }
    let identity = match identity {
        Some(identity) => identity,
        None => {
            let file = SavedTowerFile::decode(&bytes).map_err(|reject| refused(format!("not a tower ({reject:?})")))?;
            file.tower.node_pubkey
        }
    };
    let tower = StoredTower::decode(bytes, &identity).map_err(|error| {
        refused(error.to_string()).remedy("copy it again from the machine that wrote it, or name the right --identity")
    })?;
    Ok(FileTower { identity, tower, genesis_hash: None, vote_account: None, watermark: None })
}

/// The store's tower and watermark.
fn read_store(place: &Place) -> Result<tandem_tower_storage::StoreSnapshot, Failure> {
    place.open(Access::Look, Pubkey::default())?.read().map_err(|error| store_failure(&error))
}

fn no_tower(place: &Place) -> Failure {
    Failure::new(Status::TowerMissing, format!("the store has no tower of {}", place.identity))
        .remedy("check --identity, --genesis-hash and the store's flags; an identity that never voted has none")
}

/// The identity named by the flags, when one is.
fn named_identity(place: &TowerPlaceArgs) -> Result<Option<Pubkey>, Failure> {
    place.identity.as_deref().map(|text| super::place::address("--identity", text)).transpose()
}

/// A tower of 31 votes has 2.6 kB; its interchange file three times that.
const FILE_BYTES_MAX: u64 = 1 << 20;
