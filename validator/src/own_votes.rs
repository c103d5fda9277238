//! Which votes of our vote account are ours: the last ones this process released, by signature. Any other that is rightly signed was
//! cast by somebody else with our keys (a twin), or by an owner before us; the role machine knows the difference.

use {
    std::{
        collections::VecDeque,
        sync::{Mutex, PoisonError},
    },
    tandem_types::{Signature, Slot},
};

#[derive(Default)]
pub struct OwnVotes {
    released: Mutex<VecDeque<(Slot, Signature)>>,
}

impl OwnVotes {
    /// To be called before the vote goes anywhere, so that it is never met before it is known.
    pub fn releases(&self, slot: Slot, signature: Signature) {
        let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        if released.len() >= KEPT_MAX {
            released.pop_front();
        }
        released.push_back((slot, signature));
    }

    /// A vote of our vote account that this process did not release. What is older than all we remember is not judged.
    pub fn is_foreign(&self, slot: Slot, signature: &Signature) -> bool {
        let released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        let is_forgotten = released.len() >= KEPT_MAX && released.front().is_some_and(|(oldest, _)| slot <= *oldest);
        !is_forgotten && !released.iter().rev().any(|(_, known)| known == signature)
    }
}

/// Minutes of votes; what comes later than that comes from nowhere.
const KEPT_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(number: u64) -> Signature {
        let mut bytes = [7; 64];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Signature::from(bytes)
    }

    #[test]
    fn what_was_released_here_is_ours_and_nothing_else() {
        let votes = OwnVotes::default();
        assert!(votes.is_foreign(5, &signature(5)), "nothing was released yet");
        votes.releases(5, signature(5));
        assert!(!votes.is_foreign(5, &signature(5)));
        assert!(votes.is_foreign(5, &signature(6)), "the same slot, voted for by another");
        // A refreshed vote is another transaction for the same slot.
        votes.releases(5, signature(6));
        assert!(!votes.is_foreign(5, &signature(6)) && !votes.is_foreign(5, &signature(5)));
    }

    #[test]
    fn memory_is_bounded_and_what_was_forgotten_is_not_judged() {
        let votes = OwnVotes::default();
        (0..3_000).for_each(|slot| votes.releases(slot, signature(slot)));
        assert_eq!(votes.released.lock().expect("not poisoned").len(), KEPT_MAX);
        assert!(!votes.is_foreign(2_999, &signature(2_999)));
        assert!(!votes.is_foreign(3, &signature(3)), "ours, long ago");
        assert!(votes.is_foreign(2_999, &signature(9_999)) && votes.is_foreign(3_500, &signature(3_500)));
    }
}
