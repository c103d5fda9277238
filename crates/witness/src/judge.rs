//! The judge. It takes everything a pair of machines released and counts what must never be.
//!
//! I1: taken in order of release, each vote is legal under the lockouts of those before it. A vote repeated for the same slot
//! and hash (with a newer blockhash) is allowed.
//! I2: at most one block a slot.

use {
    crate::{
        log::{Record, RecordKind},
        shred::commitment,
        vote::Vote,
    },
    serde::Serialize,
    std::collections::{BTreeMap, HashMap},
};

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Verdict {
    pub votes_checked: u64,
    pub shreds_checked: u64,
    /// Two votes of one account for one slot with different bank hashes.
    pub conflicting_votes: u64,
    /// A vote released although an earlier vote forbade it.
    pub lockout_violations: u64,
    /// A slot for which two blocks were signed, or that two machines signed shreds of.
    pub duplicate_blocks: u64,
    /// Records that are neither a vote nor a shred this judge can read.
    pub unreadable: u64,
    /// One line for each finding, the first hundred.
    pub findings: Vec<String>,
}

impl Verdict {
    pub fn clean(&self) -> bool {
        self.conflicting_votes == 0
            && self.lockout_violations == 0
            && self.duplicate_blocks == 0
            && self.unreadable == 0
    }
}

/// Collects the records of all machines, then judges them together.
#[derive(Default)]
pub struct Judge {
    /// (time, machine, record)
    records: Vec<(u64, usize, Record)>,
    machines: usize,
}

impl Judge {
    /// One call for each machine.
    pub fn add_machine(&mut self, records: Vec<Record>) {
        let machine = self.machines;
        self.machines += 1;
        self.records.extend(records.into_iter().map(|record| (record.unix_nanos, machine, record)));
    }

    pub fn verdict(mut self) -> Verdict {
        // Stable: what one machine released at one instant stays in its order.
        self.records.sort_by_key(|(time, _, _)| *time);
        let mut verdict = Verdict::default();
        let mut accounts: HashMap<[u8; 32], Account> = HashMap::new();
        let mut blocks: BTreeMap<u64, Block> = BTreeMap::new();
        for (_, machine, record) in &self.records {
            match record.kind {
                RecordKind::Vote => match Vote::from_transaction(&record.bytes) {
                    None => verdict.unreadable += 1,
                    Some(vote) => {
                        verdict.votes_checked += 1;
                        accounts.entry(vote.vote_account).or_default().judge(vote, *machine, &mut verdict);
                    }
                },
                RecordKind::Shred => match commitment(&record.bytes) {
                    None => verdict.unreadable += 1,
                    Some(set) => {
                        verdict.shreds_checked += 1;
                        let block = blocks.entry(set.slot).or_default();
                        block.conflict |= *block.machine.get_or_insert(*machine) != *machine;
                        block.conflict |= *block.sets.entry(set.set).or_insert(set.signature) != set.signature;
                    }
                },
            }
        }
        for (slot, _) in blocks.iter().filter(|(_, block)| block.conflict) {
            verdict.duplicate_blocks += 1;
            note(&mut verdict, format!("slot {slot}: more than one block was signed"));
        }
        verdict
    }
}

#[derive(Default)]
struct Block {
    machine: Option<usize>,
    sets: HashMap<u32, [u8; 64]>,
    conflict: bool,
}

#[derive(Default)]
struct Account {
    hashes: BTreeMap<u64, [u8; 32]>,
    /// slot -> highest slot to which any released vote locked it
    locked_until: BTreeMap<u64, u64>,
    last_slot: Option<u64>,
    root: Option<u64>,
}

impl Account {
    fn judge(&mut self, vote: Vote, machine: usize, verdict: &mut Verdict) {
        let slot = vote.slot;
        match self.hashes.get(&slot) {
            Some(hash) if *hash != vote.hash => {
                verdict.conflicting_votes += 1;
                note(verdict, format!("machine {machine}: a second vote for slot {slot} with another hash"));
                return;
            }
            Some(_) if self.last_slot == Some(slot) => return,
            Some(_) | None => {}
        }
        if let Some(reason) = self.violation(&vote) {
            verdict.lockout_violations += 1;
            note(verdict, format!("machine {machine}: vote for slot {slot} {reason}"));
        }
        self.hashes.insert(slot, vote.hash);
        self.last_slot = self.last_slot.max(Some(slot));
        self.root = self.root.max(vote.root);
        for (voted, count) in &vote.lockouts {
            let until = voted.saturating_add(1u64.checked_shl(*count).unwrap_or(u64::MAX));
            let known = self.locked_until.entry(*voted).or_default();
            *known = (*known).max(until);
        }
    }

    fn violation(&self, vote: &Vote) -> Option<String> {
        if !vote.lockouts.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1) {
            return Some("carries a tower whose lockouts do not shrink towards its tip".into());
        }
        if let Some(last) = self.last_slot.filter(|last| vote.slot <= *last) {
            return Some(format!("came after a vote for slot {last}"));
        }
        if self.root > vote.root {
            return Some(format!("has root {:?}, after root {:?}", vote.root, self.root));
        }
        // Every vote still locked at this slot must be part of the new tower, or rooted by it.
        self.locked_until
            .iter()
            .filter(|(_, until)| **until >= vote.slot)
            .map(|(locked, until)| (*locked, *until))
            .find(|(locked, _)| {
                vote.root.is_none_or(|root| *locked > root) && !vote.lockouts.iter().any(|(slot, _)| slot == locked)
            })
            .map(|(locked, until)| format!("leaves slot {locked}, locked until {until}"))
    }
}

fn note(verdict: &mut Verdict, finding: String) {
    if verdict.findings.len() < 100 {
        verdict.findings.push(finding);
    }
}

#[cfg(test)]
mod tests;
