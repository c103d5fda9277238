//! What this machine has seen of a store, to be kept beside the ledger. A store that shows less was restored, replaced, or is another
//! one (I6), also to a process that has never seen it before.
//!
//! The numbers are lower bounds: to lose the newest of them makes us less suspicious, never wrong, so they need not be durable
//! with each vote. A quarantine must be: it ends by a person's word, not by a restart.

use {
    serde::{Deserialize, Serialize},
    tandem_role::kv::Revision,
    tandem_types::{Slot, Term},
};

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Known {
    pub store_id: Option<u64>,
    pub revision: Revision,
    #[serde(default)]
    pub term: Term,
    pub newest_vote: Option<Slot>,
    pub highest_watermark: Option<Slot>,
    /// Why nothing is signed on the store's word.
    #[serde(default)]
    pub quarantine: Option<String>,
    /// A person has said that the chain has passed the lockouts of every vote the store may have lost: without a tower,
    /// the chain's may be taken.
    #[serde(default)]
    pub accepted: Option<Slot>,
}

impl Known {
    /// What stays true when the promises are kept somewhere else: the votes that were cast, and the slots that were led.
    pub fn of_another_store(&self) -> Self {
        let Self { newest_vote, highest_watermark, .. } = *self;
        Self { newest_vote, highest_watermark, ..Self::default() }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: numbers and a text always encode")
    }

    /// `Err`: why these bytes are not what `encode` gave.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_found_again() {
        let known = Known {
            store_id: Some(u64::MAX),
            revision: 7,
            term: Term(4),
            newest_vote: Some(3),
            highest_watermark: None,
            quarantine: Some("restored".into()),
            accepted: Some(9),
        };
        assert_eq!(Known::decode(&known.encode()), Ok(known.clone()));
        let elsewhere = known.of_another_store();
        assert_eq!((elsewhere.newest_vote, elsewhere.store_id, elsewhere.term), (Some(3), None, Term(0)));
        assert!(Known::decode(b"{").is_err() && Known::decode(b"{}").is_err() && Known::decode(b"").is_err());
    }
}
