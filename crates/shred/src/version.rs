//! The number that keeps the shreds of two clusters, or of two sides of a hard fork, apart.

use {
    sha2::{Digest, Sha256},
    tandem_types::{Hash, Slot},
};

/// `hard_forks`: slot and how often it was registered, ascending (shred-version crate 3.0.1: compute_shred_version).
///
/// Slot 0 of a cluster is shredded with the version of its *last tick's hash* in place of the genesis hash.
pub fn shred_version(genesis_hash: &Hash, hard_forks: &[(Slot, u64)]) -> u16 {
    let hash = hard_forks.iter().fold(genesis_hash.to_bytes(), |hash, (slot, count)| {
        let mut hasher = Sha256::new();
        hasher.update(hash);
        hasher.update(slot.to_le_bytes());
        hasher.update(count.to_le_bytes());
        hasher.finalize().into()
    });
    let (words, _) = hash.as_chunks::<2>();
    let folded = words.iter().fold(0, |version, word| version ^ u16::from_be_bytes(*word));
    // Zero would look like "unknown".
    folded.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Agave's own cases.
    #[test]
    fn published_values() {
        let mut bytes = [0; 32];
        assert_eq!(shred_version(&Hash::new_from_array(bytes), &[]), 1);
        bytes[..4].copy_from_slice(&[0xa5, 0xa5, 0x5a, 0x5a]);
        assert_eq!(shred_version(&Hash::new_from_array(bytes), &[]), 0xffff);
        bytes[4..6].copy_from_slice(&[0xa5, 0xa5]);
        assert_eq!(shred_version(&Hash::new_from_array(bytes), &[]), 0x5a5b);
        assert_eq!(shred_version(&Hash::default(), &[(1, 1)]), 55_551);
        assert_eq!(shred_version(&Hash::default(), &[(1, 2)]), 46_353);
    }
}
