//! The merkle tree over the 64 shreds of a set; its root is what the leader signs (ledger/src/shred/merkle_tree.rs).

use {
    crate::layout::{PROOF_LEN, PROOF_NODE_BYTES, SHREDS_PER_SET, SIGNATURE_BYTES},
    sha2::{Digest, Sha256},
    tandem_types::Hash,
};

/// A node; parents and proofs use its first 20 bytes, only the root matters in full.
pub(crate) type Node = [u8; 32];

/// A leaf in the making, fed with everything up to the chained root. The chained root is the last thing in a leaf and
/// the last thing to be known, so sets can be hashed this far in parallel.
pub(crate) fn start_leaf(payload: &[u8], chained_root_at: usize) -> Sha256 {
    Sha256::new().chain_update(LEAF_PREFIX).chain_update(&payload[SIGNATURE_BYTES..chained_root_at])
}

pub(crate) fn finish_leaf(leaf: Sha256, chained_root: &[u8]) -> Node {
    leaf.chain_update(chained_root).finalize().into()
}

pub(crate) fn leaf(payload: &[u8], proof_at: usize) -> Node {
    Sha256::new().chain_update(LEAF_PREFIX).chain_update(&payload[SIGNATURE_BYTES..proof_at]).finalize().into()
}

/// The root the proof leads to; `None` if it is too short for the leaf's place.
pub(crate) fn root_of(index: usize, leaf: Node, proof: &[u8]) -> Option<Hash> {
    let (siblings, rest) = proof.as_chunks::<PROOF_NODE_BYTES>();
    debug_assert!(rest.is_empty());
    let mut index = index;
    let mut node = leaf;
    for sibling in siblings {
        node = if index.is_multiple_of(2) { join(&node, sibling) } else { join(sibling, &node) };
        index /= 2;
    }
    (index == 0).then(|| Hash::new_from_array(node))
}

/// The whole tree of a set.
pub(crate) struct Tree {
    /// Leaves, then each level up to the root.
    nodes: Vec<Node>,
}

impl Tree {
    pub fn new(leaves: impl Iterator<Item = Node>) -> Self {
        let mut nodes = Vec::with_capacity(2 * SHREDS_PER_SET - 1);
        nodes.extend(leaves);
        assert_eq!(nodes.len(), SHREDS_PER_SET, "every set has 64 leaves");
        // Node pairs in order: the parents of level k follow it directly, so the pair to join next is always 2i, 2i+1.
        for i in 0..SHREDS_PER_SET - 1 {
            nodes.push(join(&nodes[2 * i], &nodes[2 * i + 1]));
        }
        Self { nodes }
    }

    pub fn root(&self) -> Hash {
        Hash::new_from_array(*self.nodes.last().expect("invariant: a tree has 127 nodes"))
    }

    pub fn write_proof(&self, leaf: usize, proof: &mut [u8]) {
        let mut index = leaf;
        let mut level = 0;
        let mut width = SHREDS_PER_SET;
        let (siblings, _) = proof.as_chunks_mut::<PROOF_NODE_BYTES>();
        debug_assert_eq!(siblings.len(), usize::from(PROOF_LEN));
        for sibling in siblings {
            sibling.copy_from_slice(&self.nodes[level + (index ^ 1)][..PROOF_NODE_BYTES]);
            level += width;
            width /= 2;
            index /= 2;
        }
    }
}

fn join(left: &[u8], right: &[u8]) -> Node {
    Sha256::new()
        .chain_update(NODE_PREFIX)
        .chain_update(&left[..PROOF_NODE_BYTES])
        .chain_update(&right[..PROOF_NODE_BYTES])
        .finalize()
        .into()
}

/// The first byte keeps a leaf from being passed off as a node.
const LEAF_PREFIX: &[u8] = b"\x00SOLANA_MERKLE_SHREDS_LEAF";
const NODE_PREFIX: &[u8] = b"\x01SOLANA_MERKLE_SHREDS_NODE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_proves_its_own_place_only() {
        let leaves: Vec<Node> = (0..64u8).map(|i| Sha256::digest([i]).into()).collect();
        let tree = Tree::new(leaves.iter().copied());
        for index in 0..64 {
            let mut proof = [0; 120];
            tree.write_proof(index, &mut proof);
            for other in 0..64 {
                let root = root_of(other, leaves[index], &proof);
                assert_eq!(root == Some(tree.root()), other == index);
            }
            assert_eq!(root_of(64, leaves[index], &proof), None);
            assert_ne!(root_of(index, leaves[(index + 1) % 64], &proof), Some(tree.root()));
        }
    }

    #[test]
    fn two_level_root_by_hand() {
        let (a, b) = ([1; 32], [2; 32]);
        let mut bytes = b"\x01SOLANA_MERKLE_SHREDS_NODE".to_vec();
        bytes.extend([1; 20]);
        bytes.extend([2; 20]);
        let expected = Hash::new_from_array(Sha256::digest(&bytes).into());
        assert_eq!(root_of(0, a, &[2; 20]), Some(expected));
        assert_eq!(root_of(1, b, &[1; 20]), Some(expected));
        assert_eq!(root_of(2, b, &[1; 20]), None);
    }
}
