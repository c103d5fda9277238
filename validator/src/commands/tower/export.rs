//! `validator tower export`.

use {
    super::{Interchange, no_tower, read_store},
    crate::{
        args::{TowerExportArgs, TowerFormat},
        commands::place::{Place, address},
        exit::{Failure, Status},
    },
    std::path::Path,
    tandem_env::write_durably,
    tandem_tower_storage::StoreSnapshot,
    tandem_types::Pubkey,
    tandem_wire::tower_file,
};

pub fn export(ledger: &Path, args: &TowerExportArgs) -> Result<(), Failure> {
    let place = Place::new(ledger, &args.place)?;
    let vote_account = args.vote_account.as_deref().map(|text| address("--vote-account", text)).transpose()?;
    let snapshot = read_store(&place)?;
    signed_by(&snapshot, place.identity)?;
    let tower = snapshot.tower.ok_or_else(|| no_tower(&place))?;
    let watermark = snapshot.window.map(|window| window.watermark);
    let bytes = match args.format {
        TowerFormat::Bin => tower.bytes().to_vec(),
        TowerFormat::Json => {
            Interchange::of(&tower, &place.genesis_hash, &place.identity, vote_account, watermark).encode()
        }
    };
    let name = tower_file::file_name(&place.identity);
    let file = match (args.file.is_dir(), args.format) {
        (false, _) => args.file.clone(),
        (true, TowerFormat::Bin) => args.file.join(name),
        (true, TowerFormat::Json) => args.file.join(name).with_extension("json"),
    };
    if file.exists() && !args.force {
        return Err(Failure::refused(format!("{} is there already", file.display()))
            .remedy("write to another file, or overwrite it with --force"));
    }
    write_durably(&file, &bytes).map_err(|error| Failure::caused(Status::Failed, &error))?;
    let last = tower.last_slot().map_or("no vote".to_owned(), |slot| format!("last vote {slot}"));
    println!("Wrote {} ({last}, {} bytes)", file.display(), bytes.len());
    if snapshot.owner.is_some_and(|owner| !owner.released) {
        println!("The identity is owned, and its owner votes on: this file is behind as soon as it does.");
    }
    Ok(())
}

/// A file of this name with another identity's signature would be refused wherever it is brought.
fn signed_by(snapshot: &StoreSnapshot, identity: Pubkey) -> Result<(), Failure> {
    let Some(signer) = snapshot.signed_by.filter(|signer| *signer != identity) else { return Ok(()) };
    Err(Failure::refused(format!(
        "the newest tower of this vote account is signed by identity {signer}, not by {identity}"
    ))
    .remedy(format!("the vote account changed its identity: validator tower export --identity {signer}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tower_that_another_identity_signed_is_exported_as_that_ones() {
        let [own, other] = [1, 2].map(|byte| Pubkey::new_from_array([byte; 32]));
        let snapshot = |signed_by| StoreSnapshot {
            owner: None,
            owner_revision: 0,
            tower: None,
            signed_by,
            speaker: None,
            window: None,
            intent: None,
            revision: 1,
            store_id: 1,
            accepted: false,
        };
        assert!(signed_by(&snapshot(None), own).is_ok() && signed_by(&snapshot(Some(own)), own).is_ok());
        let failure = signed_by(&snapshot(Some(other)), own).expect_err("it is the other's");
        assert!(failure.what.contains("signed by identity") && failure.remedy.unwrap().contains(&other.to_string()));
    }
}
