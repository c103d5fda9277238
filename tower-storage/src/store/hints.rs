//! The promise store's hints: beats, looks at the owner, hold, and the rehearsal's end. None of them decides who may sign.

use {
    super::{Ended, PromiseStore, Tenure},
    crate::error::StoreError,
    std::time::Duration,
    tandem_role::{
        hints::{BeatRecord, HoldRecord, NoteRecord, PresenceRecord},
        keys::Keys,
        kv::Kv,
        protocol::{
            Announce, Beat, DropTower, Fault, Fence, Forget, InFlight, Knowledge, Operation, Pulse, ReadNotes,
            ReadPulse, SetHold, Step, describe_owner,
        },
    },
    tandem_types::{InstanceId, Pubkey, Slot, Term, UnixMillis},
};

/// Beats for one term of ours, from any thread: the record of a vote must not wait for a beat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beater {
    keys: Keys,
    fence: Fence,
}

/// What an owner says of itself with each beat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignOfLife {
    /// Changes each time, so that a watch sees it.
    pub beat: u64,
    pub tip: Slot,
    pub may_vote: bool,
    /// Blocks become final where it is.
    pub finalizes: bool,
}

/// Why a beat was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Skipped {
    /// Somebody else owns the identity.
    Fenced { by: String },
    /// The next one comes soon.
    NoAnswer { reason: String },
}

impl Beater {
    pub(super) fn of(keys: &Keys, tenure: &Tenure) -> Self {
        Self { keys: keys.clone(), fence: tenure.held.fence }
    }

    pub fn term(&self) -> Term {
        self.fence.term
    }

    /// Tried once.
    pub fn beat(&self, kv: &mut dyn Kv, deadline: Duration, sign: SignOfLife, at: UnixMillis) -> Result<(), Skipped> {
        let SignOfLife { beat, tip, may_vote, finalizes } = sign;
        let record = BeatRecord { term: self.fence.term, beat, tip, may_vote, finalizes, at };
        once(kv, Beat::new(&self.keys, self.fence, &record), deadline).map_err(|skipped| match skipped {
            Once::Fault(Fault::Fenced { owner }) => Skipped::Fenced { by: describe_owner(owner.as_deref()) },
            Once::Fault(fault @ Fault::Quarantined(_)) => Skipped::NoAnswer { reason: fault.to_string() },
            Once::NoAnswer(reason) => Skipped::NoAnswer { reason },
        })
    }
}

/// "I am here", of a machine that owns nothing. Tried once; `false` when it was not taken.
pub fn announce(
    kv: &mut dyn Kv,
    keys: &Keys,
    instance: InstanceId,
    presence: &PresenceRecord,
    deadline: Duration,
) -> bool {
    once(kv, Announce::new(keys, instance, presence), deadline).is_ok()
}

/// One look at the owner, tried once. For a standby's watchdog; it holds no knowledge to compare with, and decides
/// nothing that a claim would not check again.
pub fn look(kv: &mut dyn Kv, keys: &Keys, deadline: Duration) -> Option<Pulse> {
    once(kv, ReadPulse::new(keys), deadline).ok()
}

enum Once {
    Fault(Fault),
    NoAnswer(String),
}

fn once<O: Operation>(kv: &mut dyn Kv, operation: O, deadline: Duration) -> Result<O::Output, Once> {
    let mut flight = InFlight::new(operation);
    let answer = kv.txn(flight.txn(), deadline);
    match flight.handle(&mut Knowledge::default(), answer) {
        Ok(Step::Done(output)) => Ok(output),
        Ok(Step::Again(source)) => Err(Once::NoAnswer(source.to_string())),
        Err(fault) => Err(Once::Fault(fault)),
    }
}

impl PromiseStore {
    /// Works on shadow keys under a shadow identity instead: `failover rehearse`. Only before anything was read.
    pub fn rehearsal(mut self, shadow: Pubkey) -> Self {
        self.keys = self.keys.rehearsal_of(&shadow);
        self.identity = shadow;
        self
    }

    /// Deletes what the rehearsal wrote.
    pub fn forget_rehearsal(&mut self, last_term: Term) -> Result<(), StoreError> {
        let forget = Forget::new(&self.keys, last_term);
        self.answered(forget)
    }

    pub fn pulse(&mut self) -> Result<Pulse, StoreError> {
        let read = ReadPulse::new(&self.keys);
        self.answered(read)
    }

    /// The audit entries that are no changes of owner, oldest first.
    pub fn notes(&mut self) -> Result<Vec<NoteRecord>, StoreError> {
        let read = ReadNotes::new(&self.keys);
        self.answered(read)
    }

    /// Forbids automatic failover, or allows it again. Answers what the store holds then.
    pub fn set_hold(&mut self, wish: HoldRecord) -> Result<HoldRecord, StoreError> {
        loop {
            let before = self.pulse()?.hold;
            let count = before.as_ref().map_or(0, |hold| hold.value.count) + 1;
            let hold = HoldRecord { count, ..wish.clone() };
            let set = SetHold::new(&self.keys, before.map_or(0, |hold| hold.mod_revision), &hold);
            if self.answered(set)? {
                return Ok(hold);
            }
        }
    }

    /// Forgets the stored tower, with an audit entry: the next owner takes the chain's and waits. For `failover recover`,
    /// after the lockouts of every vote that may be missing have passed. `false`: somebody wrote meanwhile.
    pub fn drop_tower(&mut self, note: &NoteRecord) -> Result<bool, StoreError> {
        // The tower that binds us may lie with another identity, which spoke for the vote account before us.
        let keys = self.keys.before().map_or(&self.keys, |(_, keys)| keys).clone();
        let pulse = self.answered(ReadPulse::new(&keys))?;
        let owner = pulse.owner.map_or(0, |owner| owner.mod_revision);
        self.answered(DropTower::new(&keys, owner, pulse.tower_revision, note))
    }

    fn answered<O: Operation>(&mut self, operation: O) -> Result<O::Output, StoreError> {
        self.drive(operation).map_err(|ended: Ended| self.store_error(ended))
    }
}
