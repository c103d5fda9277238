//! What the judge says: counts, and for each finding the two items that contradict each other and where they were seen.

use {serde::Serialize, std::fmt};

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
    /// Votes and log records that this judge cannot read.
    pub unreadable: u64,
    /// Votes and shreds of others, or whose signatures do not hold.
    pub foreign: u64,
    /// Votes of release logs that had to be ordered by the machines' clocks: some of their account do not say where their promise stands,
    /// as older versions wrote them.
    pub ordered_by_clock: u64,
    /// Of what was seen on the way: datagrams and packets that hold neither (QUIC, TCP, pings), gossip of an unknown kind,
    /// places of a ledger that do not hold, entry batches with a hole.
    pub passed_over: u64,
    /// The first hundred.
    pub findings: Vec<Finding>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    ConflictingVotes,
    LockoutViolation,
    DuplicateBlock,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// The vote account, in base58; empty for a block.
    pub account: String,
    pub slot: u64,
    pub reason: String,
    /// The earlier (where there is one) and the later.
    pub items: Vec<Item>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Item {
    pub what: String,
    /// The file, and where in it.
    pub seen: String,
}

impl Verdict {
    pub fn clean(&self) -> bool {
        self.violations() == 0 && self.unreadable == 0
    }

    /// Of the invariants: what must never be.
    pub fn violations(&self) -> u64 {
        self.conflicting_votes + self.lockout_violations + self.duplicate_blocks
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        match finding.kind {
            FindingKind::ConflictingVotes => self.conflicting_votes += 1,
            FindingKind::LockoutViolation => self.lockout_violations += 1,
            FindingKind::DuplicateBlock => self.duplicate_blocks += 1,
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if !self.account.is_empty() {
            write!(f, " (vote account {})", self.account)?;
        }
        self.items.iter().try_for_each(|item| write!(f, "; {}, seen in {}", item.what, item.seen))
    }
}

/// Where something was seen: a source, and a number in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub source: usize,
    pub number: u64,
}

/// Names of the sources, and what their numbers count.
#[derive(Default)]
pub struct Places(Vec<(String, &'static str)>);

impl Places {
    pub fn add(&mut self, name: &str, unit: &'static str) -> usize {
        self.0.push((name.to_owned(), unit));
        self.0.len() - 1
    }

    pub fn name(&self, place: Place) -> String {
        let (name, unit) = &self.0[place.source];
        format!("{name}, {unit} {}", place.number)
    }
}

const FINDINGS_MAX: usize = 100;
