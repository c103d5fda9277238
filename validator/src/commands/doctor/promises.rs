//! What the store holds for the pair's identity.

use {
    super::{Finding, Patient},
    crate::{
        args::TowerPlaceArgs,
        commands::place::{Access, Place, address},
    },
    tandem_env::wall_clock,
    tandem_tower_storage::{StoreSnapshot, StoredTower},
    tandem_types::Pubkey,
};

/// The tower, if there is one that can be trusted.
pub fn look(patient: &Patient<'_>, identity: Pubkey, findings: &mut Vec<Finding>) -> Option<StoredTower> {
    let run = &patient.run;
    let args =
        TowerPlaceArgs { identity: None, genesis_hash: run.expected_genesis_hash.clone(), store: run.store.clone() };
    // What is wrong with the flag is said where the keys are looked at.
    let account = run.vote_account.as_deref().and_then(|text| address("--vote-account", text).ok());
    let opened = Place::of(&patient.ledger, &args, identity)
        .and_then(|place| place.open(Access::Look, account.unwrap_or_default()));
    let mut store = match opened {
        Ok(store) => store,
        Err(failure) => {
            let remedy = failure.remedy.unwrap_or_else(|| "see what is said of etcd above".to_owned());
            findings.push(Finding::fail("promises", "cannot be read", failure.what, remedy));
            return None;
        }
    };
    match store.read() {
        Ok(snapshot) => judge(snapshot, identity, findings),
        Err(error) => {
            let remedy = "validator tower verify says more; delete nothing in the store";
            findings.push(Finding::fail("promises", store.describe(), error, remedy));
            None
        }
    }
}

fn judge(snapshot: StoreSnapshot, identity: Pubkey, findings: &mut Vec<Finding>) -> Option<StoredTower> {
    match &snapshot.owner {
        None => findings.push(Finding::ok("owner", format!("nobody ever claimed {identity} in this store"))),
        Some(owner) => {
            let state = if owner.released { "released by" } else { "owned by" };
            let age_s = wall_clock().0.saturating_sub(owner.claimed_at.0) / 1_000;
            let fact = format!(
                "term {}, {state} {}, version {}, claimed {age_s} s ago",
                owner.term, owner.host, owner.version
            );
            let ours = env!("CARGO_PKG_VERSION");
            findings.push(if owner.version == ours {
                Finding::ok("owner", fact)
            } else {
                Finding::warn(
                    "owner",
                    fact,
                    format!("this machine's version is {ours}: fine during an upgrade, not for long"),
                    "upgrade the other machine, as the book's page on upgrading says",
                )
            });
        }
    }
    match &snapshot.tower {
        None => findings.push(Finding::warn(
            "tower",
            format!("none of {identity}"),
            "either it never voted through this store, or this is the wrong store or genesis",
            "if it has voted elsewhere: validator tower import tower-1_9-<identity>.bin",
        )),
        Some(tower) => findings.push(Finding::ok(
            "tower",
            format!(
                "last vote {:?}, root {:?}, signed by {}",
                tower.last_slot(),
                tower.tower().root,
                snapshot.signed_by.unwrap_or(identity)
            ),
        )),
    }
    snapshot.tower
}
