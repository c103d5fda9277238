//! `validator tower verify`.

use {
    super::{FileTower, named_identity, read_file},
    crate::{
        args::TowerVerifyArgs,
        commands::{
            finding::{self, Finding},
            on_chain::{self, OnChain},
            place::{Access, Place, address},
        },
        exit::Failure,
    },
    std::path::Path,
    tandem_tower_storage::StoredTower,
    tandem_types::Pubkey,
};

pub fn verify(ledger: &Path, args: &TowerVerifyArgs) -> Result<(), Failure> {
    let vote_account = args.vote_account.as_deref().map(|text| address("--vote-account", text)).transpose()?;
    let mut findings = Vec::new();
    // Decoding is the check of signature, identity, form and lockouts.
    let found = match &args.file {
        Some(path) => match read_file(path, named_identity(&args.place)?) {
            Ok(FileTower { identity, tower, .. }) => Some((identity, tower)),
            Err(failure) => {
                let remedy = failure.remedy.unwrap_or_else(|| "take it again from the machine that wrote it".into());
                findings.push(Finding::fail("tower", path.display(), failure.what, remedy));
                None
            }
        },
        None => stored(ledger, args, &mut findings)?,
    };
    if let Some((identity, tower)) = found {
        let votes = tower.tower().votes.len();
        findings.push(Finding::ok(
            "tower",
            format!(
                "{votes} votes, last {:?}, root {:?}: signed by {identity}, lockouts in order",
                tower.last_slot(),
                tower.tower().root
            ),
        ));
        if let Some(finding) = against_the_chain(ledger, args, vote_account, &identity, &tower) {
            findings.push(finding);
        }
    }
    finding::report(&findings, args.format.json())
}

fn stored(
    ledger: &Path,
    args: &TowerVerifyArgs,
    findings: &mut Vec<Finding>,
) -> Result<Option<(Pubkey, StoredTower)>, Failure> {
    let place = Place::new(ledger, &args.place)?;
    let mut store = place.open(Access::Look, Pubkey::default())?;
    match store.read() {
        Ok(snapshot) => match snapshot.tower {
            Some(tower) => return Ok(Some((snapshot.signed_by.unwrap_or(place.identity), tower))),
            None => findings.push(Finding::fail(
                "tower",
                "none",
                format!("the store has no tower of {}", place.identity),
                "check --identity, --genesis-hash and the store's flags",
            )),
        },
        Err(error) => {
            let remedy = "validator tower diff store FILE, with the last tower you exported; do not delete anything";
            findings.push(Finding::fail("tower", store.describe(), error, remedy));
        }
    }
    Ok(None)
}

/// None: nobody was named to ask, and no validator runs here.
fn against_the_chain(
    ledger: &Path,
    args: &TowerVerifyArgs,
    vote_account: Option<Pubkey>,
    identity: &Pubkey,
    tower: &StoredTower,
) -> Option<Finding> {
    let asked = args.url.is_some() || args.vote_account.is_some();
    match on_chain::ask(ledger, args.url.as_deref(), vote_account, Some(identity)) {
        Ok(state) => Some(freshness(&state, tower)),
        Err(failure) if asked => Some(Finding::warn(
            "chain",
            "not compared",
            failure.what,
            failure.remedy.unwrap_or_else(|| "name a node with --url http://HOST:8899".into()),
        )),
        Err(_) => None,
    }
}

/// A tower that ends before what the chain has seen of it was lost, restored, or is not the one that voted.
pub fn freshness(state: &OnChain, tower: &StoredTower) -> Finding {
    let (ours, chain) = (tower.last_slot(), state.last_vote);
    let fact =
        format!("vote account {} last voted {chain:?} on chain, the tower ends with {ours:?}", state.vote_account);
    if chain > ours {
        let remedy = "do not vote with it: put the newer tower back, or wait until its lockouts have passed on chain";
        return Finding::fail("chain", fact, "the tower is older than the votes it made", remedy);
    }
    Finding::ok("chain", fact)
}
