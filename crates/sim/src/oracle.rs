//! What must hold, whatever happens. Each finding names its oracle.

use {
    crate::{node::Life, world::Time},
    std::collections::{BTreeMap, BTreeSet},
    tandem_role::{
        keys::Keys,
        memory::Memory,
        records::{OwnerRecord, Record as _, WindowRecord},
    },
    tandem_types::{Hash, InstanceId, Pubkey, Slot, Term},
    tandem_wire::tower_file::SavedTowerFile,
    tandem_witness::{FindingKind, Judge, Record, RecordKind},
};

/// Something that must not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    pub oracle: &'static str,
    pub what: String,
}

/// By whom a vote was recorded, under which term, and as which record of all.
type Recording = (InstanceId, Term, u64);

pub struct Oracle {
    keys: Keys,
    pub found: Vec<Violation>,
    term: Option<(Term, InstanceId, bool)>,
    watermark: Option<Slot>,
    /// Whoever recorded a vote for this block under a live term, the term, and the place in the order of records.
    recorded: BTreeMap<(Slot, Hash), Vec<Recording>>,
    claimed_slots: BTreeMap<Slot, (InstanceId, Term)>,
    tower_revision: u64,
    /// The last vote of the tower in the store.
    tower_last: Option<Slot>,
    window_revision: u64,
    owner_revision: u64,
    /// What each machine released, by machine.
    released: Vec<Vec<Record>>,
    order: u64,
    /// Terms whose instance let go of the identity in the store; judged by the world, which knows the vaults.
    pub let_go: Vec<InstanceId>,
    /// The store was restored from a backup: what was in it is not there any more.
    pub restored: bool,
    pub slots_led: BTreeSet<Slot>,
}

impl Oracle {
    pub fn new(genesis: &Hash, identity: &Pubkey, machines: usize) -> Self {
        Self {
            keys: Keys::new(genesis, identity),
            found: Vec::new(),
            term: None,
            watermark: None,
            recorded: BTreeMap::new(),
            claimed_slots: BTreeMap::new(),
            tower_revision: 0,
            tower_last: None,
            window_revision: 0,
            owner_revision: 0,
            released: vec![Vec::new(); machines],
            order: 0,
            let_go: Vec::new(),
            restored: false,
            slots_led: BTreeSet::new(),
        }
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub fn violate(&mut self, oracle: &'static str, what: String) {
        // A backup that lost votes and terms cannot be mended by those it lies to: what is promised then is that no
        // process acts on less than it has seen (I6), and that it asks for a person. See the page on what this shows.
        if self.restored && STORE_BOUND.contains(&oracle) {
            return;
        }
        self.found.push(Violation { oracle, what });
    }

    /// The store was changed by a process: I3, W, and who recorded what.
    pub fn stored(&mut self, memory: &Memory, writer: Option<InstanceId>) {
        let entry = |key: String| memory.entries.get(&key).map(|(value, at)| (value.as_slice(), *at));
        if let Some((bytes, at)) = entry(self.keys.owner()).filter(|(_, at)| *at != self.owner_revision) {
            self.owner_revision = at;
            match OwnerRecord::decode(bytes) {
                Err(error) => self.violate("I3", format!("unreadable owner: {error}")),
                Ok(owner) => self.owner_written(&owner),
            }
        }
        if let Some((bytes, at)) = entry(self.keys.window()).filter(|(_, at)| *at != self.window_revision) {
            self.window_revision = at;
            match WindowRecord::decode(bytes) {
                Err(error) => self.violate("W", format!("unreadable window: {error}")),
                Ok(window) => {
                    if self.watermark.is_some_and(|known| window.watermark <= known) {
                        let known = self.watermark;
                        self.violate("W", format!("W went from {known:?} to {}", window.watermark));
                    }
                    self.watermark = Some(window.watermark);
                    self.written_by("window", writer);
                    if let Some((term, instance, false)) = self.term {
                        self.claimed_slots.insert(window.watermark, (instance, term));
                    }
                }
            }
        }
        if let Some((bytes, at)) = entry(self.keys.tower()).filter(|(_, at)| *at != self.tower_revision) {
            self.tower_revision = at;
            match SavedTowerFile::decode(bytes) {
                Err(error) => self.violate("recorded", format!("unreadable tower: {error:?}")),
                Ok(file) => {
                    self.written_by("tower", writer);
                    let last = &file.tower.last_vote;
                    if last.last_slot() < self.tower_last {
                        let (from, to) = (self.tower_last, last.last_slot());
                        self.violate("I6", format!("the tower in the store went back from {from:?} to {to:?}"));
                    }
                    self.tower_last = last.last_slot();
                    let block = (last.last_slot().unwrap_or(0), last.hash());
                    if let Some((term, instance, false)) = self.term {
                        self.order += 1;
                        self.recorded.entry(block).or_default().push((instance, term, self.order));
                    }
                }
            }
        }
    }

    /// "One term, one owner; every write compares it."
    fn written_by(&mut self, what: &str, writer: Option<InstanceId>) {
        let owner = self.term.filter(|(_, _, released)| !released).map(|(_, instance, _)| instance);
        if owner != writer {
            self.violate("I3", format!("the {what} was written by {writer:?}, and the owner is {:?}", self.term));
        }
    }

    fn owner_written(&mut self, owner: &OwnerRecord) {
        let now = (owner.term, owner.instance, owner.released);
        match self.term {
            Some((term, instance, released)) => {
                let same = term == owner.term && instance == owner.instance && (!released || owner.released);
                if !same && owner.term <= term {
                    self.violate("I3", format!("the owner went from {:?} to {now:?}", self.term));
                }
            }
            None if owner.term == Term(0) => self.violate("I3", "a claim for term 0".into()),
            None => {}
        }
        if owner.released {
            self.let_go.push(owner.instance);
        }
        self.term = Some(now);
    }

    /// After a restore the store's own history begins anew; what was released before stays released.
    pub fn forget_store(&mut self, memory: &Memory) {
        self.restored = true;
        (self.term, self.watermark, self.tower_last) = (None, None, None);
        (self.tower_revision, self.window_revision, self.owner_revision) = (0, 0, 0);
        let value = |key: String| memory.entries.get(&key);
        if let Some((bytes, at)) = value(self.keys.owner())
            && let Ok(owner) = OwnerRecord::decode(bytes)
        {
            self.term = Some((owner.term, owner.instance, owner.released));
            self.owner_revision = *at;
        }
        let revision = |key: String| memory.entries.get(&key).map_or(0, |(_, at)| *at);
        self.tower_revision = revision(self.keys.tower());
        self.window_revision = revision(self.keys.window());
    }

    pub fn vote_released(&mut self, machine: usize, life: &Life, slot: Slot, hash: Hash, term: Term, bytes: Vec<u8>) {
        let recorders = self.recorded.get(&(slot, hash)).into_iter().flatten().rev();
        let mut own = recorders.filter(|(instance, then, _)| (*instance, *then) == (life.instance, term));
        let Some((_, _, order)) = own.next().copied() else {
            let what = format!("node {machine} released a vote for {slot} that it had not recorded under {term}");
            return self.violate("recorded", what);
        };
        // A process may be stopped between its record and its send, for as long as anyone likes; so may a packet in the
        // network. Such a vote comes late, and is legal where it was promised: that order is judged.
        self.released[machine].push(Record { kind: RecordKind::Vote, unix_nanos: order, promise: None, bytes });
    }

    pub fn shred_released(&mut self, machine: usize, life: &Life, slot: Slot, term: Term, bytes: Vec<u8>) {
        if self.claimed_slots.get(&slot) != Some(&(life.instance, term)) {
            let what = format!("node {machine} signed a block for {slot} without its claim under {term}");
            self.violate("recorded", what);
        }
        self.slots_led.insert(slot);
        self.order += 1;
        self.released[machine].push(Record { kind: RecordKind::Shred, unix_nanos: self.order, promise: None, bytes });
    }

    /// Who owns the identity by the store's word.
    pub fn owner(&self) -> Option<InstanceId> {
        self.term.filter(|(_, _, released)| !released).map(|(_, instance, _)| instance)
    }

    pub fn released_votes(&self) -> usize {
        self.released.iter().flatten().filter(|record| record.kind == RecordKind::Vote).count()
    }

    /// I1 and I2, by the witness, which shares no code with what made the votes.
    pub fn judge(&mut self, _now: Time) {
        let mut judge = Judge::default();
        for machine in std::mem::take(&mut self.released) {
            judge.add_machine(machine);
        }
        let verdict = judge.verdict();
        let first = || verdict.findings.first().map(ToString::to_string).unwrap_or_default();
        if verdict.conflicting_votes + verdict.lockout_violations > 0 {
            self.violate("I1", first());
        }
        if verdict.duplicate_blocks > 0 {
            let finding = verdict.findings.iter().find(|finding| finding.kind == FindingKind::DuplicateBlock);
            self.violate("I2", finding.map(ToString::to_string).unwrap_or_default());
        }
        if verdict.unreadable > 0 {
            self.violate("I1", "a release that the witness cannot read".into());
        }
    }
}

/// Oracles that judge several machines by one store's history.
const STORE_BOUND: [&str; 5] = ["I1", "I2", "I3", "W", "recorded"];
