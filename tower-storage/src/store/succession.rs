//! The vote account's last promises, under whatever identity they were made: found, waited for, and taken over by a claim.

use {
    super::{ClaimRequest, PromiseStore, StoreError, StoreView, claim_error},
    crate::{error::ClaimError, tower::StoredTower},
    tandem_role::{
        keys::Keys,
        kv::Revision,
        protocol::{Before, ReadAll, Succession, Versioned, WriteIntent},
        records::{IntentRecord, OwnerRecord},
    },
    tandem_types::{Pubkey, Term},
};

/// One look at the store, as far as a claim takes over from it.
#[derive(Clone)]
pub(super) struct Seen {
    view: StoreView,
    /// As [`super::StoreSnapshot::owner`].
    pub owner: Option<OwnerRecord>,
    /// It is the owner of the other identity.
    asks_speaker: bool,
    /// What binds the vote account.
    pub tower: Option<StoredTower>,
    pub signed_by: Option<Pubkey>,
    /// It lies under the other identity's key.
    is_inherited: bool,
}

impl Seen {
    /// The other identity that speaks for the vote account.
    pub fn speaker(&self) -> Option<Pubkey> {
        self.view.before.as_ref().map(|before| before.identity)
    }

    /// The same owners as in `earlier`, and another tower: whoever speaks for the account went on meanwhile.
    pub fn is_only_a_vote_later(&self, earlier: &Self) -> bool {
        let owners = |seen: &Self| {
            let before = seen.view.before.as_ref();
            let account = seen.view.account.as_ref().map(|account| account.mod_revision);
            (seen.view.owner_revision(), account, before.map(|before| (before.identity, owner_revision(before))))
        };
        let towers = |seen: &Self| {
            let revision = |tower: &Option<Versioned<Vec<u8>>>| tower.as_ref().map(|tower| tower.mod_revision);
            let before = seen.view.before.as_ref();
            let agave = before.and_then(|before| before.agave.as_ref()).map(|agave| revision(&agave.tower));
            (revision(&seen.view.tower), before.map(|before| revision(&before.tower)), agave)
        };
        self.view.before.is_some() && owners(self) == owners(earlier) && towers(self) != towers(earlier)
    }

    /// What a claim does about the vote account. `Err`: why it must not be made.
    pub fn succession(&self, keys: &Keys, identity: Pubkey) -> Result<Option<Succession>, String> {
        let Some((account, _)) = keys.account() else { return Ok(None) };
        let view = &self.view;
        let Some((tower, signed_by)) = self.tower.as_ref().zip(self.signed_by).filter(|_| self.is_inherited) else {
            return Ok(Some(Succession::own(view, identity, self.signed_by)));
        };
        let promised = view.owner.as_ref().filter(|owner| view.tower.is_some() && owner.value.moved_to.is_none());
        if let Some(other) = promised.and_then(|owner| owner.value.vote_account).filter(|other| other != account) {
            return Err(format!(
                "the tower of {identity} holds the promises of vote account {other}, and those of {account}, made by identity {}, would \
                 take its place; give {account} an identity of its own, or move {other} to another one first",
                self.speaker().unwrap_or_default()
            ));
        }
        Ok(Some(Succession::inherits(view, identity, tower.bytes().to_vec(), signed_by)))
    }
}

fn owner_revision(before: &Before) -> Revision {
    before.owner.as_ref().map_or(0, |owner| owner.mod_revision)
}

impl PromiseStore {
    /// Everything, with the records of the identity that the vote account's record names.
    pub(super) fn look_at_all(&mut self) -> Result<StoreView, StoreError> {
        loop {
            let view = self.drive(ReadAll::new(&self.keys)).map_err(|ended| self.store_error(ended))?;
            let account = view.owner.as_ref().and_then(|owner| owner.value.vote_account);
            if let Some(account) = account.filter(|_| std::mem::take(&mut self.finds_account)) {
                self.vote_account = account;
                self.keys = self.keys.clone().for_account(&account);
                continue;
            }
            if self.follow(&view) {
                return Ok(view);
            }
        }
    }

    /// Whether the view has the records of the identity that the vote account's record names; if not, the next one will.
    pub(super) fn follow(&mut self, view: &StoreView) -> bool {
        let named = view.account.as_ref().map(|account| account.value.identity).filter(|named| *named != self.identity);
        let looked_at = view.before.as_ref().map(|before| before.identity);
        self.keys = self.keys.clone().after(named);
        named == looked_at
    }

    /// The look that the claimant goes by. Nothing: somebody has claimed since, and it does not know.
    pub(super) fn seen_by(&mut self, request: &ClaimRequest) -> Result<Option<Seen>, ClaimError> {
        if self.seen.is_none() {
            self.read().map_err(claim_error)?;
        }
        let term = |seen: &Seen| seen.owner.as_ref().map_or(Term(0), |owner| owner.term);
        // Of our own identity's owner the transaction decides.
        Ok(self.seen.clone().filter(|seen| seen.speaker().is_none() || term(seen) == request.term_seen))
    }

    pub(super) fn wish(&self, owner_revision: Revision, intent: IntentRecord) -> WriteIntent {
        let speaker = self.seen.as_ref().filter(|seen| seen.asks_speaker).and_then(|seen| seen.view.before.as_ref());
        match speaker {
            Some(before) => {
                let reason = format!("{}, as {}, which the vote account names now", intent.reason, self.identity);
                let intent = IntentRecord { reason, ..intent };
                WriteIntent::to_speaker(&self.keys, owner_revision, self::owner_revision(before), intent)
            }
            None => WriteIntent::new(&self.keys, owner_revision, intent),
        }
    }

    /// Reads a view for a claim: whose turn it is, and what binds.
    pub(super) fn seen_in(&self, view: &StoreView) -> Result<Seen, String> {
        let account = view.account.as_ref().map(|account| &account.value);
        let signers = |identity: Pubkey| {
            let inherited = account.filter(|account| account.identity == identity).and_then(|account| account.tower_of);
            (identity, inherited)
        };
        let agave = view.agave.as_ref().and_then(|agave| agave.tower.as_ref());
        let mut bound = match &view.before {
            Some(before) => newest(before.tower.as_ref(), before.agave_tower(), signers(before.identity))?,
            None => None,
        };
        let is_inherited = bound.is_some();
        if bound.is_none() {
            bound = newest(view.tower.as_ref(), agave, signers(self.identity))?;
        }
        let (tower, signed_by) = bound.unzip();
        let (owner, asks_speaker) = asked(view);
        Ok(Seen { view: view.clone(), owner, asks_speaker, tower, signed_by, is_inherited })
    }
}

/// Who has to let go. Our own identity's owner first; then whoever speaks for the vote account under another identity.
fn asked(view: &StoreView) -> (Option<OwnerRecord>, bool) {
    let own = view.owner.as_ref().map(|owner| &owner.value);
    let speaker = view.before.as_ref().and_then(|before| Some((before.identity, before.speaker()?)));
    match (own.filter(|own| !own.released), speaker) {
        (None, Some((identity, speaker))) => (Some(OwnerRecord { moved_to: Some(identity), ..speaker.clone() }), true),
        (Some(_), _) | (None, None) => (own.cloned(), false),
    }
}

/// Of the tower under an identity's key, and the one under agave's key for it, the one that was voted last, and who signed it.
fn newest(
    tower: Option<&Versioned<Vec<u8>>>,
    agave: Option<&Versioned<Vec<u8>>>,
    signers: (Pubkey, Option<Pubkey>),
) -> Result<Option<(StoredTower, Pubkey)>, String> {
    let tower = tower.map(|tower| decode(tower, signers)).transpose()?;
    let Some(agave) = agave else { return Ok(tower) };
    let agave = decode(agave, signers).map_err(|error| format!("agave's key {}/tower: {error}", signers.0))?;
    // Whoever voted last, voted on top of the other's tower: the claim of either brings the other's up.
    Ok(Some(tower.filter(|(tower, _)| tower.last_slot() >= agave.0.last_slot()).unwrap_or(agave)))
}

/// By the identity itself, or by the one that its claim took the tower over from.
fn decode(
    tower: &Versioned<Vec<u8>>,
    (identity, inherited): (Pubkey, Option<Pubkey>),
) -> Result<(StoredTower, Pubkey), String> {
    match (StoredTower::decode(tower.value.clone(), &identity), inherited) {
        (Ok(tower), _) => Ok((tower, identity)),
        (Err(error), None) => Err(error.to_string()),
        (Err(_), Some(signer)) => StoredTower::decode(tower.value.clone(), &signer)
            .map(|tower| (tower, signer))
            .map_err(|error| error.to_string()),
    }
}
