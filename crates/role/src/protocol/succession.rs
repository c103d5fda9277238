//! One vote account, and the identities that have spoken for it. `vote-update-validator` gives a vote account to another identity; the
//! promises stay the account's. So a claim under the new identity takes over from the old one, in its one transaction:
//!
//! ```text
//!   compare   owner, account == what was read;  of the identity that spoke: owner, tower == what was read
//!   write     owner, account, log;  tower := what was read of the other;  of the other: owner(moved to us), log
//! ```
//!
//! That the other's owner record is written too fences those of its machines that do not know of accounts (the first version), fences its
//! leader slots, and tells its watch at once. That its tower is compared, and written under our own key, leaves no moment in which the
//! account's last tower could be anywhere but under the key of the identity that speaks for it.
//!
//! An identity may have left the account for another one: then its owner record names that one. Its tower still has everything it ever
//! voted for ours, and more; it is taken, and its owner left alone.

use {
    super::{Fault, Reads, StoreView, Versioned, get, raw, record, revision_of, unchanged},
    crate::{
        agave_keys::{AgaveView, instance_value, true_owner},
        keys::Keys,
        kv::{Compare, Op, Revision},
        records::{ACCOUNT_SHAPE, AccountRecord, LogRecord, OwnerRecord, Record},
    },
    tandem_types::{Pubkey, Term},
};

/// The records of the identity that speaks for the vote account instead of the one the keys are for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Before {
    pub identity: Pubkey,
    pub owner: Option<Versioned<OwnerRecord>>,
    pub tower: Option<Versioned<Vec<u8>>>,
    pub agave: Option<AgaveView>,
    /// Its owner votes for another account by now.
    pub elsewhere: bool,
}

/// What [`Before::read`] reads.
pub(super) fn reads(before: &Keys) -> Vec<Op> {
    let mut reads = vec![get(before.owner()), get(before.tower())];
    if let Some(agave) = before.agave() {
        reads.extend([get(agave.instance.clone()), get(agave.tower.clone())]);
    }
    reads
}

impl Before {
    pub(super) fn read(
        identity: Pubkey,
        account: Pubkey,
        mirrored: bool,
        reads: &mut Reads<'_>,
    ) -> Result<Self, Fault> {
        let (owner, tower) = (record::<OwnerRecord>(reads.next()?)?, raw(reads.next()?)?);
        let agave = if mirrored { Some(reads.agave()?) } else { None };
        let owner = true_owner(owner, agave.as_ref());
        let elsewhere = owner.as_ref().and_then(|owner| owner.value.vote_account).is_some_and(|other| other != account);
        Ok(Self { identity, owner, tower, agave, elsewhere })
    }

    /// Who has to let go of the account, or has.
    pub fn speaker(&self) -> Option<&OwnerRecord> {
        self.owner.as_ref().map(|owner| &owner.value).filter(|_| !self.elsewhere)
    }

    /// The tower that an agave node may have written under it.
    pub fn agave_tower(&self) -> Option<&Versioned<Vec<u8>>> {
        self.agave.as_ref()?.tower.as_ref()
    }

    fn compares(&self, keys: &Keys) -> Vec<Compare> {
        if self.elsewhere {
            return Vec::new();
        }
        let mut compares = vec![
            unchanged(keys.owner(), revision_of(self.owner.as_ref())),
            unchanged(keys.tower(), revision_of(self.tower.as_ref())),
        ];
        if let (Some(agave), Some(view)) = (keys.agave(), &self.agave) {
            compares.push(unchanged(agave.instance.clone(), revision_of(view.instance.as_ref())));
            compares.push(unchanged(agave.tower.clone(), revision_of(view.tower.as_ref())));
        }
        compares
    }

    fn writes(&self, keys: &Keys, identity: Pubkey, owner: &OwnerRecord, log: &LogRecord) -> Vec<Op> {
        if self.elsewhere {
            return Vec::new();
        }
        let moved = OwnerRecord { released: true, lease: None, moved_to: Some(identity), ..owner.clone() };
        let log = LogRecord {
            reason: format!("{}; the vote account's identity is {identity} now", log.reason),
            ..log.clone()
        };
        let mut writes = vec![
            Op::Put { key: keys.owner(), value: moved.encode() },
            Op::Put { key: keys.log(owner.term), value: log.encode() },
        ];
        if let Some(agave) = keys.agave() {
            writes.push(Op::Put { key: agave.instance.clone(), value: instance_value(&owner.instance) });
        }
        writes
    }
}

/// What a claim does about the vote account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Succession {
    /// Whose claim it is.
    pub identity: Pubkey,
    account: Revision,
    /// The greatest term of any record in it: the claim's is greater.
    pub(super) term_seen: Term,
    tower: Inherited,
    before: Option<Before>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Inherited {
    /// The tower under our own key stays, whoever signed it.
    Own { signed_by: Option<Pubkey> },
    /// This one takes its place.
    Other { tower: Vec<u8>, signed_by: Pubkey, replaces: Revision },
}

impl Succession {
    /// A claim of `identity` after `view`. `signed_by`: who signed the tower under its own key, if that is not itself.
    pub fn own(view: &StoreView, identity: Pubkey, signed_by: Option<Pubkey>) -> Self {
        Self::new(view, identity, Inherited::Own { signed_by })
    }

    /// The same, with the tower that binds the account: another identity's.
    pub fn inherits(view: &StoreView, identity: Pubkey, tower: Vec<u8>, signed_by: Pubkey) -> Self {
        let replaces = revision_of(view.tower.as_ref());
        Self::new(view, identity, Inherited::Other { tower, signed_by, replaces })
    }

    fn new(view: &StoreView, identity: Pubkey, tower: Inherited) -> Self {
        let spoke = view.account.as_ref().map_or(Term(0), |account| account.value.term);
        let owned =
            view.before.as_ref().and_then(|before| before.owner.as_ref()).map_or(Term(0), |owner| owner.value.term);
        let term_seen = view.term().max(spoke).max(owned);
        Self { identity, account: revision_of(view.account.as_ref()), term_seen, tower, before: view.before.clone() }
    }

    pub(super) fn compares(&self, keys: &Keys) -> Vec<Compare> {
        let Some((_, account)) = keys.account() else { return Vec::new() };
        let mut compares = vec![unchanged(account, self.account)];
        if let Inherited::Other { replaces, .. } = &self.tower {
            compares.push(unchanged(keys.tower(), *replaces));
        }
        if let (Some(before), Some((_, keys))) = (&self.before, keys.before()) {
            compares.extend(before.compares(keys));
        }
        compares
    }

    /// In front of the claim's reads, which find the tower that is put here.
    pub(super) fn writes(&self, keys: &Keys, owner: &OwnerRecord, log: &LogRecord) -> Vec<Op> {
        let Some((_, account)) = keys.account() else { return Vec::new() };
        let mut writes = vec![Op::Put { key: account, value: self.record(owner).encode() }];
        if let Inherited::Other { tower, .. } = &self.tower {
            writes.push(Op::Put { key: keys.tower(), value: tower.clone() });
            if let Some(agave) = keys.agave() {
                writes.push(Op::Put { key: agave.tower.clone(), value: tower.clone() });
            }
        }
        if let (Some(before), Some((_, keys))) = (&self.before, keys.before()) {
            writes.extend(before.writes(keys, self.identity, owner, log));
        }
        writes
    }

    pub(super) fn record(&self, owner: &OwnerRecord) -> AccountRecord {
        let tower_of = match &self.tower {
            Inherited::Own { signed_by } => *signed_by,
            Inherited::Other { signed_by, .. } => Some(*signed_by),
        };
        let tower_of = tower_of.filter(|signer| *signer != self.identity);
        let (identity, term, instance, nonce) = (self.identity, owner.term, owner.instance, owner.nonce);
        AccountRecord { shape: ACCOUNT_SHAPE, identity, term, instance, nonce, tower_of }
    }
}
