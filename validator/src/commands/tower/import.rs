//! `validator tower import`: a claim, a record under its fence, a release. Never a plain write.

use {
    super::{FileTower, named_identity, read_file},
    crate::{
        args::TowerImportArgs,
        commands::place::{Access, Place, store_failure},
        exit::{Failure, Status},
    },
    serde_json::json,
    std::path::Path,
    tandem_env::wall_clock,
    tandem_role::records::Preference,
    tandem_tower_storage::{
        ClaimError, ClaimRequest, PromiseStore, RecordError, Relation, StoreSnapshot, StoredTower, relation,
    },
    tandem_types::{Pubkey, Term},
};

pub fn import(ledger: &Path, args: &TowerImportArgs) -> Result<(), Failure> {
    let file = read_file(&args.file, named_identity(&args.place)?)?;
    let place = Place::of(ledger, &args.place, file.identity)?;
    if let Some(other) = file.genesis_hash.filter(|found| *found != place.genesis_hash) {
        return Err(Failure::refused(format!(
            "{} is of the cluster with genesis {other}, this store's keys are for {}",
            args.file.display(),
            place.genesis_hash
        ))
        .remedy("name the ledger folder or the --genesis-hash of the cluster that the tower voted on"));
    }
    believable(&file, args)?;
    let mut store = place.open(Access::Write, file.vote_account.unwrap_or_default())?;
    let snapshot = store.read().map_err(|error| store_failure(&error))?;
    may_replace(snapshot.tower.as_ref(), &file, args)?;
    may_claim(&snapshot, args)?;
    let term = write(&mut store, &snapshot, &file)?;
    let last = file.tower.last_slot();
    if args.format.json() {
        println!("{}", json!({ "identity": file.identity.to_string(), "lastVote": last, "term": term.0 }));
    } else {
        let last = last.map_or("no vote".to_owned(), |slot| format!("last vote {slot}"));
        println!("Imported the tower of {} ({last}) under term {term}, and gave the identity back", file.identity);
    }
    Ok(())
}

/// The watermark is the one thing in a file that nobody has signed, and it never goes down again: one that is far off would end the identity's
/// blocks for as long as that.
fn believable(file: &FileTower, args: &TowerImportArgs) -> Result<(), Failure> {
    let newest = file.tower.last_slot().unwrap_or(0);
    let limit = newest.saturating_add(WATERMARK_AHEAD_MAX);
    let Some(watermark) = file.watermark.filter(|watermark| *watermark > limit) else { return Ok(()) };
    Err(Failure::refused(format!(
        "{} says that leader slot {watermark} was used, and its newest vote is for slot {newest}: no block of this identity up to that slot \
         would ever be made again",
        args.file.display()
    ))
    .remedy("take the file again from the node that wrote it (validator tower export --format json FILE); nothing was written"))
}

fn may_replace(stored: Option<&StoredTower>, file: &FileTower, args: &TowerImportArgs) -> Result<(), Failure> {
    let Some(stored) = stored else { return Ok(()) };
    let name = args.file.display();
    let (of_store, of_file) = (stored.last_slot(), file.tower.last_slot());
    match relation(stored.tower(), file.tower.tower()) {
        Relation::Newer => Ok(()),
        Relation::Same => Err(Failure::refused(format!("the store already has the tower of {name}: nothing to do"))),
        Relation::Older => {
            Err(Failure::refused(format!("{name} ends with slot {of_file:?}, the store's tower with {of_store:?}"))
                .remedy("an older tower would forget promises: keep the store's"))
        }
        Relation::Contradiction(why) => Err(Failure::refused(format!(
            "{name} and the store's tower cannot come from one voter: {why}"
        ))
        .remedy(
            "find out which machine voted what (validator tower diff) and wait until the lockouts of both have passed",
        )),
    }
}

fn may_claim(snapshot: &StoreSnapshot, args: &TowerImportArgs) -> Result<(), Failure> {
    match snapshot.owner.as_ref().filter(|owner| !owner.released) {
        Some(owner) if !args.take_from_owner => Err(Failure::refused(format!(
            "{} owns the identity (term {}): an import would fence it",
            owner.host, owner.term
        ))
        .remedy("stop that validator (validator exit), or, if it is dead, add --take-from-owner")),
        Some(_) | None => Ok(()),
    }
}

fn write(store: &mut PromiseStore, snapshot: &StoreSnapshot, file: &FileTower) -> Result<Term, Failure> {
    let request = ClaimRequest {
        owner_revision: snapshot.owner_revision,
        term_seen: snapshot.owner.as_ref().map_or(Term(0), |owner| owner.term),
        previous_host: snapshot.owner.as_ref().map(|owner| owner.host.clone()),
        host: "validator tower import".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        standby_identity: Pubkey::default().to_string(),
        preference: Preference::Secondary,
        slot_at_claim: file.tower.last_slot().unwrap_or(0),
        reason: format!("import of a tower that ends with slot {:?}", file.tower.last_slot()),
        claimed_at: wall_clock(),
        require_tower: false,
    };
    let claim = store.claim(request).map_err(claim_failure)?;
    // What the claim found is what counts: between the look and the claim somebody may have voted.
    let found = claim.tower.as_ref().map(|stored| relation(stored.tower(), file.tower.tower()));
    let imported = match found {
        None | Some(Relation::Newer) => store.import(file.tower.clone()),
        Some(Relation::Same | Relation::Older | Relation::Contradiction(_)) => Ok(false),
    };
    // The file's leader slots count as used here too: the watermark is raised as if each had been led.
    let known = claim.window.map_or(0, |window| window.watermark);
    let raised = match (&imported, file.watermark.filter(|watermark| *watermark > known)) {
        (Ok(true), Some(watermark)) => store.claim_leader_slot(watermark).map(drop),
        (Ok(_) | Err(_), _) => Ok(()),
    };
    let released = store.release(wall_clock());
    match raised.and(imported) {
        Ok(true) => released.map(|()| claim.term).map_err(|error| store_failure(&error)),
        Ok(false) => Err(Failure::new(Status::Fenced, "somebody voted while the import claimed: nothing was written")
            .remedy("stop every validator of this identity, and ask again")),
        Err(error) => Err(record_failure(&error)),
    }
}

/// A leader slot is claimed when it is due, by a node that votes: an hour of slots is far more than ever lies between the two.
const WATERMARK_AHEAD_MAX: u64 = 9_000;

fn claim_failure(error: ClaimError) -> Failure {
    let status = match &error {
        ClaimError::Refused(_) => Status::Fenced,
        ClaimError::Unavailable { .. } | ClaimError::Unresolved { .. } => Status::StoreLost,
        ClaimError::TowerMissing { .. } => Status::TowerMissing,
        ClaimError::Quarantined { .. } => Status::Refused,
    };
    Failure::caused(status, &error).remedy("see who owns it now with `validator tower show`, and ask again")
}

fn record_failure(error: &RecordError) -> Failure {
    let status = match error {
        RecordError::Fenced { .. } | RecordError::NotOwner { .. } => Status::Fenced,
        RecordError::StoreLost { .. } => Status::StoreLost,
        RecordError::Quarantined { .. }
        | RecordError::Violation(_)
        | RecordError::WrongIdentity { .. }
        | RecordError::WrongVoteAccount { .. }
        | RecordError::NoKey { .. }
        | RecordError::SlotNotAboveWatermark { .. } => Status::Refused,
    };
    Failure::caused(status, error).remedy("see what the store holds with `validator tower show`")
}
