//! Puts duplicate-block proofs together from their chunks.

use {
    std::collections::BTreeMap,
    tandem_types::{Pubkey, Slot},
    tandem_wire::duplicate_shred::{DuplicateProof, DuplicateShred},
};

#[derive(Default)]
pub struct Proofs {
    partial: BTreeMap<(Pubkey, Slot), Partial>,
}

struct Partial {
    num_chunks: u8,
    chunks: BTreeMap<u8, Vec<u8>>,
    done: bool,
}

impl Proofs {
    /// The proof, once its last chunk is here. Each origin proves each slot once.
    pub fn add(&mut self, chunk: &DuplicateShred) -> Option<DuplicateProof> {
        if chunk.num_chunks == 0 || chunk.num_chunks > CHUNKS_MAX {
            return None;
        }
        self.make_room(chunk.from, chunk.slot);
        let fresh = || Partial { num_chunks: chunk.num_chunks, chunks: BTreeMap::new(), done: false };
        let partial = self.partial.entry((chunk.from, chunk.slot)).or_insert_with(fresh);
        if partial.done || partial.num_chunks != chunk.num_chunks {
            return None;
        }
        partial.chunks.insert(chunk.chunk_index, chunk.chunk.clone());
        if partial.chunks.len() < usize::from(partial.num_chunks) {
            return None;
        }
        partial.done = true;
        let chunks = std::mem::take(&mut partial.chunks);
        DuplicateProof::join(chunk.num_chunks, &chunks).ok()
    }

    /// An origin's lowest slot goes first; if all origins are few, whoever has the lowest slot of all.
    fn make_room(&mut self, from: Pubkey, slot: Slot) {
        if self.partial.contains_key(&(from, slot)) {
            return;
        }
        let own = (from, Slot::MIN)..=(from, Slot::MAX);
        let victim = if self.partial.range(own.clone()).count() >= SLOTS_PER_ORIGIN_MAX {
            self.partial.range(own).next().map(|(key, _)| *key)
        } else if self.partial.len() >= SLOTS_MAX {
            self.partial.keys().min_by_key(|(_, slot)| *slot).copied()
        } else {
            None
        };
        victim.map(|victim| self.partial.remove(&victim));
    }
}

/// Two shreds of one packet each are three chunks; agave's handler takes as few (duplicate_shred_handler.rs).
const CHUNKS_MAX: u8 = 4;
const SLOTS_PER_ORIGIN_MAX: usize = 8;
const SLOTS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use {super::*, tandem_types::UnixMillis};

    fn chunks(from: Pubkey, slot: Slot) -> Vec<DuplicateShred> {
        DuplicateProof { shred1: vec![1; 1203], shred2: vec![2; 1203] }.chunks(from, UnixMillis(1), slot)
    }

    #[test]
    fn complete_once_in_any_order() {
        let mut proofs = Proofs::default();
        let chunks = chunks(Pubkey::new_unique(), 7);
        assert_eq!(proofs.add(&chunks[2]), None);
        assert_eq!(proofs.add(&chunks[0]), None);
        assert_eq!(proofs.add(&chunks[0]), None);
        assert_eq!(proofs.add(&chunks[1]).map(|proof| proof.shred2.len()), Some(1203));
        assert_eq!(proofs.add(&chunks[1]), None, "told once");
    }

    #[test]
    fn bounded() {
        let mut proofs = Proofs::default();
        let spammer = Pubkey::new_unique();
        for slot in 0..100 {
            proofs.add(&chunks(spammer, slot)[0]);
        }
        assert_eq!(proofs.partial.len(), SLOTS_PER_ORIGIN_MAX);
        for slot in 0..2_000 {
            proofs.add(&chunks(Pubkey::new_unique(), slot)[0]);
        }
        assert_eq!(proofs.partial.len(), SLOTS_MAX);
    }
}
