//! The judge. It takes everything a pair of machines released, or what others saw of it, and counts what must never be.
//!
//! I1: of each vote account, whoever signs for it, the votes taken in order of their promises are legal under the lockouts of those before.
//! A vote repeated for the same slot and hash (with a newer blockhash) is allowed.
//! I2: at most one block a slot.
//!
//! Release logs say where each promise stands, and are judged in that order (see `order.rs`); those of older versions do not, and are
//! judged in the order of release, by the machines' clocks, which the verdict then says. What was seen on the wire or in ledgers has no
//! order (gossip hands on what is old), so it is judged by slot: legal votes have rising slots, whoever reorders them on the way.

use {
    crate::{
        blocks::Blocks,
        log::{PromisedAt, Record, RecordKind},
        shred::ShredView,
        verdict::{Finding, FindingKind, Item, Place, Places, Verdict},
        vote::{Content, Transaction, Vote},
    },
    std::collections::{BTreeMap, HashMap, HashSet},
};

/// Collects from all sources, then judges them together.
#[derive(Default)]
pub struct Judge {
    /// None: whoever signed.
    identities: Vec<[u8; 32]>,
    pub(crate) places: Places,
    /// Of release logs, by vote account.
    released: BTreeMap<[u8; 32], Vec<Released>>,
    /// By vote account, from all sources.
    seen: HashMap<[u8; 32], BySlot>,
    /// Whether any source without an order of release was read.
    unordered: bool,
    blocks: Blocks,
    machines: usize,
    verdict: Verdict,
}

/// Each vote of an account once.
type BySlot = BTreeMap<u64, Vec<(Vote, Place)>>;

struct Released {
    unix_nanos: u64,
    promise: Option<PromisedAt>,
    place: Place,
    vote: Vote,
}

impl Judge {
    /// Judges only what `identity` signed.
    pub fn of_identity(identity: [u8; 32]) -> Self {
        Self::of_identities(vec![identity])
    }

    /// Judges only what one of these signed: a vote account may have changed its identity.
    pub fn of_identities(identities: Vec<[u8; 32]>) -> Self {
        Self { identities, ..Self::default() }
    }

    /// The release log of a machine of the pair; one call for each machine.
    pub fn add_machine(&mut self, records: Vec<Record>) {
        let name = format!("machine {}", self.machines);
        self.add_log(&name, records);
    }

    /// The release log of the machine called `name`.
    pub fn add_log(&mut self, name: &str, records: Vec<Record>) {
        let source = self.places.add(name, "record");
        let machine = self.machines;
        self.machines += 1;
        for (number, record) in (1..).zip(records) {
            let place = Place { source, number };
            match record.kind {
                RecordKind::Vote => match Vote::from_transaction(&record.bytes) {
                    None => self.verdict.unreadable += 1,
                    Some(vote) => {
                        if self.identities.is_empty() || signs(&record.bytes, &self.identities) {
                            self.verdict.votes_checked += 1;
                            self.see_vote(&vote, place);
                            let Record { unix_nanos, promise, .. } = record;
                            let of_account = self.released.entry(vote.vote_account).or_default();
                            of_account.push(Released { unix_nanos, promise, place, vote });
                        }
                    }
                },
                RecordKind::Shred => match ShredView::read(&record.bytes) {
                    None => self.verdict.unreadable += 1,
                    Some(shred) => self.add_shred(&shred, place, Some(machine)),
                },
            }
        }
    }

    /// A transaction seen on the wire or in a block. Only votes whose signatures hold are somebody's votes.
    pub(crate) fn see_transaction(&mut self, transaction: &Transaction<'_>, place: Place) {
        if transaction.content == Content::NoVote {
            return;
        }
        if !transaction.is_signed_by(&self.identities) {
            self.verdict.foreign += 1;
            return;
        }
        match &transaction.content {
            Content::NoVote => {}
            Content::StrangeVote => self.verdict.unreadable += 1,
            Content::Vote(vote) => {
                self.verdict.votes_checked += 1;
                self.unordered = true;
                self.see_vote(vote, place);
            }
        }
    }

    /// A shred seen on the wire or in a ledger.
    pub(crate) fn see_shred(&mut self, shred: &ShredView<'_>, place: Place) {
        self.add_shred(shred, place, None);
    }

    pub(crate) fn count_other(&mut self, change: impl FnOnce(&mut Verdict)) {
        change(&mut self.verdict);
    }

    fn add_shred(&mut self, shred: &ShredView<'_>, place: Place, machine: Option<usize>) {
        if self.blocks.add(shred, place, machine, &self.identities) {
            self.verdict.shreds_checked += 1;
        } else {
            self.verdict.foreign += 1;
        }
    }

    fn see_vote(&mut self, vote: &Vote, place: Place) {
        let same_slot = self.seen.entry(vote.vote_account).or_default().entry(vote.slot).or_default();
        if !same_slot.iter().any(|(known, _)| known == vote) {
            same_slot.push((vote.clone(), place));
        }
    }

    /// Votes and shreds taken in so far, repeated ones included.
    pub fn checked(&self) -> (u64, u64) {
        (self.verdict.votes_checked, self.verdict.shreds_checked)
    }

    pub fn verdict(mut self) -> Verdict {
        let mut reported = HashSet::new();
        for released in self.released.values_mut() {
            if !order::by_promise(released) {
                self.verdict.ordered_by_clock += released.len() as u64;
            }
            let mut account = Account::default();
            for Released { place, vote, .. } in released.iter() {
                if let Some(finding) = account.judge(vote, *place, &self.places) {
                    reported.insert((vote.vote_account, vote.slot));
                    self.verdict.add(finding);
                }
            }
        }
        if self.unordered {
            for votes in self.seen.values() {
                let mut account = Account::default();
                for (vote, place) in votes.values().flatten() {
                    let finding = account.judge(vote, *place, &self.places);
                    if let Some(finding) = finding.filter(|_| reported.insert((vote.vote_account, vote.slot))) {
                        self.verdict.add(finding);
                    }
                }
            }
        }
        for finding in self.blocks.findings(&self.places) {
            self.verdict.add(finding);
        }
        self.verdict
    }
}

fn signs(transaction: &[u8], identities: &[[u8; 32]]) -> bool {
    Transaction::read(&mut crate::bytes::Reader(transaction))
        .is_some_and(|transaction| transaction.is_signed_by(identities))
}

/// A vote that was seen, as far as a later finding needs it.
#[derive(Clone, Copy)]
struct Cast {
    slot: u64,
    hash: [u8; 32],
    place: Place,
}

impl Cast {
    fn item(&self, places: &Places) -> Item {
        let hash = bs58::encode(self.hash).into_string();
        Item { what: format!("vote for slot {}, bank hash {hash}", self.slot), seen: places.name(self.place) }
    }
}

#[derive(Default)]
struct Account {
    votes: BTreeMap<u64, Cast>,
    /// slot -> highest slot to which any vote locked it, and that vote
    locked_until: BTreeMap<u64, (u64, Cast)>,
    last: Option<Cast>,
    root: Option<(u64, Cast)>,
}

impl Account {
    fn judge(&mut self, vote: &Vote, place: Place, places: &Places) -> Option<Finding> {
        let cast = Cast { slot: vote.slot, hash: vote.hash, place };
        let finding = |kind, earlier: Option<Cast>, reason: String| Finding {
            kind,
            account: bs58::encode(vote.vote_account).into_string(),
            slot: vote.slot,
            reason,
            items: earlier.iter().chain([&cast]).map(|cast| cast.item(places)).collect(),
        };
        match self.votes.get(&vote.slot) {
            Some(first) if first.hash != vote.hash => {
                let reason = format!("a second vote for slot {} with another hash", vote.slot);
                return Some(finding(FindingKind::ConflictingVotes, Some(*first), reason));
            }
            Some(_) if self.last.is_some_and(|last| last.slot == vote.slot) => return None,
            Some(_) | None => {}
        }
        let found = self.violation(vote).map(|(earlier, reason)| {
            let reason = format!("vote for slot {} {reason}", vote.slot);
            finding(FindingKind::LockoutViolation, earlier, reason)
        });
        self.votes.insert(vote.slot, cast);
        if self.last.is_none_or(|last| last.slot < vote.slot) {
            self.last = Some(cast);
        }
        if let Some(root) = vote.root
            && self.root.is_none_or(|(known, _)| known < root)
        {
            self.root = Some((root, cast));
        }
        for (voted, count) in &vote.lockouts {
            let until = voted.saturating_add(1u64.checked_shl(*count).unwrap_or(u64::MAX));
            let known = self.locked_until.entry(*voted).or_insert((until, cast));
            if known.0 < until {
                *known = (until, cast);
            }
        }
        // Locks that end before the root can forbid nothing any more, and a long capture has many.
        let root = self.root.map_or(0, |(root, _)| root);
        self.locked_until.retain(|slot, (until, _)| *slot > root || *until > root);
        found
    }

    /// The earlier vote that forbade this one, where there is one, and why.
    fn violation(&self, vote: &Vote) -> Option<(Option<Cast>, String)> {
        if !vote.lockouts.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1) {
            return Some((None, "carries a tower whose lockouts do not shrink towards its tip".into()));
        }
        if let Some(last) = self.last.filter(|last| vote.slot <= last.slot) {
            return Some((Some(last), format!("came after a vote for slot {}", last.slot)));
        }
        if let Some((root, cast)) = self.root.filter(|(root, _)| Some(*root) > vote.root) {
            let theirs = vote.root.map_or("none".to_owned(), |root| root.to_string());
            return Some((Some(cast), format!("has root {theirs}, after root {root}")));
        }
        // Every vote still locked at this slot must be part of the new tower, or rooted by it.
        self.locked_until
            .iter()
            .filter(|(_, (until, _))| *until >= vote.slot)
            .find(|(locked, _)| {
                vote.root.is_none_or(|root| **locked > root) && !vote.lockouts.iter().any(|(slot, _)| slot == *locked)
            })
            .map(|(locked, (until, cast))| (Some(*cast), format!("leaves slot {locked}, locked until {until}")))
    }
}

mod order;
#[cfg(test)]
mod tests;
