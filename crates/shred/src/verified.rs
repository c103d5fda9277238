//! 64 shreds share one signature: verify it once.

use {
    crate::shred::Shred,
    std::collections::HashSet,
    tandem_types::{Hash, Pubkey, Signature},
};

/// Remembers signatures that held, so that the other shreds of a set cost a look-up. Bounded: the older half is
/// forgotten when the newer half is full.
#[derive(Debug)]
pub struct VerifiedRoots {
    newer: HashSet<(Signature, Pubkey, Hash)>,
    older: HashSet<(Signature, Pubkey, Hash)>,
    half: usize,
}

impl VerifiedRoots {
    /// `capacity` sets; 128 bytes each.
    pub fn new(capacity: usize) -> Self {
        Self { newer: HashSet::new(), older: HashSet::new(), half: capacity.div_ceil(2).max(1) }
    }

    /// As `Shred::verify`. A signature that does not hold is never remembered, so an attacker cannot fill the memory
    /// without the leader's key.
    #[must_use]
    pub fn verify(&mut self, shred: &Shred, leader: &Pubkey) -> bool {
        let key = (shred.signature(), *leader, shred.merkle_root());
        if self.newer.contains(&key) {
            return true;
        }
        if !self.older.contains(&key) && !shred.verify(leader) {
            return false;
        }
        if self.newer.len() >= self.half {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key);
        true
    }
}

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::testing::{self, leader},
        tandem_types::Signer,
    };

    #[test]
    fn answers_as_verification_does_and_stays_small() {
        let mut roots = VerifiedRoots::new(4);
        for slot in 1..20 {
            let made = testing::make(slot, slot - 1, &[1; 10], false);
            for shred in made.data.iter().chain(&made.code) {
                assert!(roots.verify(shred, &leader().pubkey()));
                assert!(!roots.verify(shred, &Pubkey::default()));
            }
            let mut forged = made.data[0].payload().to_vec();
            forged[70] ^= 1;
            if let Ok(forged) = Shred::parse(forged) {
                assert!(!roots.verify(&forged, &leader().pubkey()), "right signature, other root");
            }
            assert!(roots.newer.len() + roots.older.len() <= 4);
        }
    }
}
