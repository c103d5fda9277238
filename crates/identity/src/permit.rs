//! Leave to sign for the identity, until it is taken back.

use {
    crate::refusal::Refusal,
    std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    tandem_types::{Term, mutant::mutant},
};

/// Counts how often the keys were unlocked and locked: odd is unlocked. A permit is good for one odd number only, so
/// that one store here makes every permit ever given worthless, wherever its copies are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<AtomicU64>);

impl Gate {
    pub fn unlock(&self, term: Term) -> Permit {
        self.lock();
        let epoch = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Permit { term, epoch, gate: self.clone() }
    }

    pub fn lock(&self) {
        // Only the role stage locks and unlocks, so nothing changes between the look and the step.
        if self.0.load(Ordering::SeqCst) % 2 == 1 && !mutant("vault: lock does not lock") {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub fn is_unlocked(&self) -> bool {
        self.0.load(Ordering::SeqCst) % 2 == 1
    }
}

/// Given by `Vault::unlock` when the role machine says so; worthless from the next `Vault::lock` on.
#[derive(Clone, Debug)]
pub struct Permit {
    term: Term,
    epoch: u64,
    gate: Gate,
}

impl Permit {
    pub fn term(&self) -> Term {
        self.term
    }

    pub fn valid(&self) -> bool {
        self.gate.0.load(Ordering::SeqCst) == self.epoch
    }

    /// Whether something promised under `promised` may be signed now.
    pub(crate) fn admits(&self, promised: Term) -> Result<(), Refusal> {
        if !self.valid() && !mutant("vault: a permit outlives the lock") {
            return Err(Refusal::Locked);
        }
        if promised != self.term {
            return Err(Refusal::OtherTerm { promised, permitted: self.term });
        }
        Ok(())
    }
}
