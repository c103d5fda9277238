//! The hash chain of entries: one step, and the check of many.

use {
    crate::entry::Entry,
    rayon::prelude::*,
    sha2::{Digest, Sha256, compress256, digest::generic_array::GenericArray},
    tandem_types::{Hash, VersionedTransaction},
};

/// What a set of transactions mixes into the chain: the merkle root over all their signatures, in order
/// (entry/src/entry.rs:hash_transactions, merkle-tree/src/merkle_tree.rs).
pub fn hash_transactions(transactions: &[VersionedTransaction]) -> Hash {
    let mut level: Vec<[u8; 32]> = transactions
        .iter()
        .flat_map(|transaction| &transaction.signatures)
        .map(|signature| sha256(&[&[0], signature.as_ref()]))
        .collect();
    if level.is_empty() {
        return Hash::default();
    }
    while level.len() > 1 {
        // An odd node is paired with itself.
        level = level
            .chunks(2)
            .map(|pair| sha256(&[&[1], &pair[0], pair.last().expect("invariant: chunks are never empty")]))
            .collect();
    }
    Hash::new_from_array(level[0])
}

/// The chain's value `num_hashes` after `start`; the last of them mixes the transactions in.
/// Nothing to hash and nothing to mix leaves the value unchanged.
pub fn next_hash(start: &Hash, num_hashes: u64, transactions: &[VersionedTransaction]) -> Hash {
    if num_hashes == 0 && transactions.is_empty() {
        return *start;
    }
    let mut hash = start.to_bytes();
    hash_times(&mut hash, num_hashes.saturating_sub(1));
    if transactions.is_empty() {
        hash_times(&mut hash, 1);
    } else {
        hash = sha256(&[&hash, hash_transactions(transactions).as_ref()]);
    }
    Hash::new_from_array(hash)
}

/// SHA-256 of SHA-256 of ... `count` times. This is where nearly all of PoH's time goes, so the one block that 32 bytes
/// and their padding fill is kept and only its first half rewritten.
pub(crate) fn hash_times(hash: &mut [u8; 32], count: u64) {
    let mut block = GenericArray::from(PADDED_HASH);
    for _ in 0..count {
        block[..32].copy_from_slice(hash);
        let mut state = SHA256_START;
        compress256(&mut state, std::slice::from_ref(&block));
        for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
    }
}

/// Whether every entry follows from the one before it. Entries are checked in parallel: each states its own result.
///
/// Check the ticks first (`TickVerifier`): they bound how much hashing a leader can make us do.
pub fn verify_chain(start: &Hash, entries: &[Entry]) -> bool {
    let hashes = entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.num_hashes));
    if hashes > HASHES_MAX {
        return false;
    }
    let follows = |index: usize| {
        let previous = if index == 0 { start } else { &entries[index - 1].hash };
        let entry = &entries[index];
        next_hash(previous, entry.num_hashes, &entry.transactions) == entry.hash
    };
    if hashes < PARALLEL_HASHES_MIN && entries.len() < PARALLEL_ENTRIES_MIN {
        (0..entries.len()).all(follows)
    } else {
        (0..entries.len()).into_par_iter().all(follows)
    }
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// FIPS 180-4: a one bit behind the message, and its length of 256 bits at the block's end.
const PADDED_HASH: [u8; 64] = {
    let mut block = [0; 64];
    block[32] = 0x80;
    block[62] = 1;
    block
};

/// FIPS 180-4 section 5.3.3.
const SHA256_START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A cluster without a hash count ("sleep") does not bound the hashes of an entry. No leader computes this many (minutes
/// of one core), so more of them are a lie that would only keep us busy.
const HASHES_MAX: u64 = 1 << 32;

/// Below these a hand-over to other threads costs more than it saves.
const PARALLEL_HASHES_MIN: u64 = 2_000;
const PARALLEL_ENTRIES_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::{entry::create_ticks, testing::transfer},
    };

    #[test]
    fn steps_by_hand() {
        let zero = Hash::default();
        let one = Hash::new_from_array(sha256(&[zero.as_ref()]));
        let two = Hash::new_from_array(sha256(&[one.as_ref()]));
        assert_eq!(next_hash(&zero, 0, &[]), zero);
        assert_eq!(next_hash(&zero, 1, &[]), one);
        assert_eq!(next_hash(&zero, 2, &[]), two);
        let transaction = transfer(1);
        let leaf = sha256(&[&[0], transaction.signatures[0].as_ref()]);
        let mixed = Hash::new_from_array(sha256(&[one.as_ref(), &leaf]));
        assert_eq!(next_hash(&zero, 2, std::slice::from_ref(&transaction)), mixed);
        assert_eq!(next_hash(&one, 0, &[transaction]), mixed, "a mix costs a hash even where none is counted");
    }

    #[test]
    fn three_signatures_pair_the_odd_one_with_itself() {
        let transactions = [transfer(1), transfer(2), transfer(3)];
        let leaf = |i: usize| sha256(&[&[0], transactions[i].signatures[0].as_ref()]);
        let left = sha256(&[&[1], &leaf(0), &leaf(1)]);
        let right = sha256(&[&[1], &leaf(2), &leaf(2)]);
        assert_eq!(hash_transactions(&transactions).to_bytes(), sha256(&[&[1], &left, &right]));
        assert_eq!(hash_transactions(&[]), Hash::default());
    }

    #[test]
    fn a_chain_holds_until_one_entry_is_touched() {
        let start = Hash::new_from_array([3; 32]);
        for hashes_per_tick in [0, 1, 10, 500] {
            let mut entries = create_ticks(20, hashes_per_tick, start);
            let last = entries[19].hash;
            entries.push(Entry::after(&last, 4, vec![transfer(1), transfer(2)]));
            assert!(verify_chain(&start, &entries));
            assert!(!verify_chain(&Hash::default(), &entries));
            for index in 0..entries.len() {
                let mut bad = entries.clone();
                bad[index].num_hashes += 1;
                // Nothing but a plain hash lies between 0 and 1 hashes; 1 and 2 differ as well.
                assert!(!verify_chain(&start, &bad), "entry {index}");
            }
            let mut swapped = entries.clone();
            swapped[20].transactions.swap(0, 1);
            assert!(!verify_chain(&start, &swapped));
        }
    }

    #[test]
    fn an_absurd_hash_count_is_refused_without_hashing() {
        let entry = Entry { num_hashes: u64::MAX, hash: Hash::default(), transactions: vec![] };
        assert!(!verify_chain(&Hash::default(), &[entry.clone(), entry]));
    }

    #[test]
    fn no_entries_follow_from_anything() {
        assert!(verify_chain(&Hash::default(), &[]));
    }
}
