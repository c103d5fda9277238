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
    tandem_wire::tower_file,
};

pub fn export(ledger: &Path, args: &TowerExportArgs) -> Result<(), Failure> {
    let place = Place::new(ledger, &args.place)?;
    let vote_account = args.vote_account.as_deref().map(|text| address("--vote-account", text)).transpose()?;
    let snapshot = read_store(&place)?;
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
