//! The two writes an owner makes while it is active: a vote's tower, and the watermark of leader slots.

use {
    super::{
        Fault, Fence, Held, Operation, Quarantine, Shape, get, get_all, insist_on_own, owned, still_own, unchanged,
        view_of,
    },
    crate::{
        hints::BeatRecord,
        keys::Keys,
        kv::{Op, Revision, Txn, TxnReply},
        records::{Nonce, Record, WindowRecord},
    },
    tandem_types::{Slot, mutant::mutant},
};

/// Writes a tower. Its output is the revision the next one must compare.
#[derive(Clone, Debug)]
pub struct RecordVote {
    txn: Txn,
    shape: Shape,
    fence: Fence,
    before: Revision,
    tower: Vec<u8>,
}

impl RecordVote {
    pub fn new(keys: &Keys, held: &Held, tower: Vec<u8>) -> Self {
        let mut compares = owned(keys, &held.fence);
        // Owner and vote account: a claim writes both, so either alone still refuses what is older.
        if mutant("vote: the owner is not compared") {
            compares.clear();
        }
        compares.push(unchanged(keys.tower(), held.tower_revision));
        if mutant("vote: the tower is not compared") {
            compares.pop();
        }
        if mutant("vote: nothing is compared") {
            compares.clear();
        }
        let mut then = vec![Op::Put { key: keys.tower(), value: tower.clone() }, get(keys.owner())];
        if let Some(agave) = keys.agave() {
            then.push(Op::Put { key: agave.tower.clone(), value: tower.clone() });
        }
        let txn = Txn { compares, then, otherwise: get_all(keys) };
        Self { txn, shape: Shape::of(keys), fence: held.fence, before: held.tower_revision, tower }
    }
}

impl Operation for RecordVote {
    type Output = Revision;

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, reply: &TxnReply) -> Result<Revision, Fault> {
        if reply.succeeded {
            let [_, owner, ..] = reply.reads.as_slice() else {
                return Err(Quarantine::MalformedReply("a vote reads the owner").into());
            };
            insist_on_own(&self.fence, owner)?;
            return Ok(reply.revision);
        }
        let view = view_of(self.shape, reply)?;
        if mutant("vote: a refused record is taken for done") {
            return Ok(view.tower.map_or(0, |tower| tower.mod_revision));
        }
        still_own(&self.fence, &view)?;
        match view.tower {
            Some(tower) if tower.mod_revision > self.before && tower.value == self.tower => Ok(tower.mod_revision),
            // We own the identity, so nobody but us may write the tower, and these bytes are not what we wrote.
            Some(tower) => Err(Quarantine::ForeignWrite { key: "tower", revision: tower.mod_revision }.into()),
            None => Err(Quarantine::ForeignWrite { key: "tower", revision: view.revision }.into()),
        }
    }
}

/// Moves the watermark up to a slot. Its output is the revision the next move must compare.
#[derive(Clone, Debug)]
pub struct ClaimLeaderSlot {
    txn: Txn,
    shape: Shape,
    fence: Fence,
    before: Revision,
    window: WindowRecord,
}

impl ClaimLeaderSlot {
    /// None if `slot` is not above the watermark: W never goes down, and no slot is claimed twice.
    pub fn new(keys: &Keys, held: &Held, slot: Slot, nonce: Nonce) -> Option<Self> {
        if held.watermark.is_some_and(|watermark| slot <= watermark) && !mutant("slot: W may go down") {
            return None;
        }
        let window = WindowRecord { term: held.fence.term, watermark: slot, nonce };
        let mut compares = owned(keys, &held.fence);
        // Owner and vote account: a claim writes both, so either alone still refuses what is older.
        if mutant("slot: the owner is not compared") {
            compares.clear();
        }
        compares.push(unchanged(keys.window(), held.window_revision));
        if mutant("slot: the window is not compared") {
            compares.pop();
        }
        let txn = Txn {
            compares,
            then: vec![Op::Put { key: keys.window(), value: window.encode() }, get(keys.owner())],
            otherwise: get_all(keys),
        };
        Some(Self { txn, shape: Shape::of(keys), fence: held.fence, before: held.window_revision, window })
    }
}

impl Operation for ClaimLeaderSlot {
    type Output = Revision;

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, reply: &TxnReply) -> Result<Revision, Fault> {
        if reply.succeeded {
            let [_, owner] = reply.reads.as_slice() else {
                return Err(Quarantine::MalformedReply("a leader slot reads the owner").into());
            };
            insist_on_own(&self.fence, owner)?;
            return Ok(reply.revision);
        }
        let view = view_of(self.shape, reply)?;
        if mutant("slot: a refused claim of a slot is taken for done") {
            return Ok(view.window.map_or(0, |window| window.mod_revision));
        }
        still_own(&self.fence, &view)?;
        match view.window {
            Some(window) if window.mod_revision > self.before && window.value == self.window => Ok(window.mod_revision),
            Some(window) => Err(Quarantine::ForeignWrite { key: "window", revision: window.mod_revision }.into()),
            None => Err(Quarantine::ForeignWrite { key: "window", revision: view.revision }.into()),
        }
    }
}

/// The owner's sign of life, for standbys with automatic failover. Bound to a lease and to nothing else: it says that
/// somebody is there, never who may sign. It does find out early that we were fenced.
#[derive(Clone, Debug)]
pub struct Beat {
    txn: Txn,
    shape: Shape,
    fence: Fence,
}

impl Beat {
    /// The beat's number changes each time, so that a watch sees it.
    pub fn new(keys: &Keys, fence: Fence, beat: &BeatRecord) -> Self {
        let value = beat.encode();
        let txn = Txn {
            compares: owned(keys, &fence),
            then: vec![Op::PutLeased { key: keys.alive(), value }],
            otherwise: get_all(keys),
        };
        Self { txn, shape: Shape::of(keys), fence }
    }
}

impl Operation for Beat {
    type Output = ();

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, reply: &TxnReply) -> Result<(), Fault> {
        if reply.succeeded {
            return Ok(());
        }
        still_own(&self.fence, &view_of(self.shape, reply)?)
    }
}
