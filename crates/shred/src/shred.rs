//! One validated shred and its bytes.

use {
    crate::{
        header::{Body, Reject, ShredHeader},
        id::{FecSetId, ShredId, ShredKind},
        layout::*,
        merkle,
    },
    bytes::Bytes,
    std::ops::Range,
    tandem_types::{Hash, Pubkey, Signature, Slot},
};

/// A shred whose fields obey every rule that needs no context and whose proof leads to `merkle_root`.
/// Whether the leader signed that root is `verify`'s matter. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Shred {
    payload: Bytes,
    header: ShredHeader,
    merkle_root: Hash,
}

impl Shred {
    /// Bytes beyond the shred's own length are cut off, as agave does (a repair nonce lies there).
    pub fn parse(packet: impl Into<Bytes>) -> Result<Self, Reject> {
        let mut payload: Bytes = packet.into();
        let header = ShredHeader::parse(&payload)?;
        let layout = header.layout;
        payload.truncate(layout.payload_bytes());
        let leaf = merkle::leaf(&payload, layout.proof_at());
        let proof = &payload[layout.proof_at()..layout.retransmitter_at()];
        let merkle_root = merkle::root_of(header.leaf(), leaf, proof).ok_or(Reject::Proof)?;
        Ok(Self { payload, header, merkle_root })
    }

    pub fn parse_slice(packet: &[u8]) -> Result<Self, Reject> {
        ShredHeader::parse(packet)?; // Copy nothing that is not a shred.
        Self::parse(Bytes::copy_from_slice(packet))
    }

    /// From parts that were made together: our own shreds and recovered ones.
    pub(crate) fn assemble(payload: Bytes, header: ShredHeader, merkle_root: Hash) -> Self {
        debug_assert_eq!(payload.len(), header.layout.payload_bytes());
        Self { payload, header, merkle_root }
    }

    pub fn header(&self) -> &ShredHeader {
        &self.header
    }

    pub fn slot(&self) -> Slot {
        self.header.slot
    }

    pub fn index(&self) -> u32 {
        self.header.index
    }

    pub fn version(&self) -> u16 {
        self.header.version
    }

    pub fn fec_set_index(&self) -> u32 {
        self.header.fec_set_index
    }

    pub fn kind(&self) -> ShredKind {
        self.header.kind()
    }

    pub fn is_data(&self) -> bool {
        self.kind() == ShredKind::Data
    }

    pub fn id(&self) -> ShredId {
        self.header.id()
    }

    pub fn fec_set(&self) -> FecSetId {
        self.header.fec_set()
    }

    /// Whether the shred has room for the signature of the node that sent it on.
    pub fn resigned(&self) -> bool {
        self.header.resigned()
    }

    /// Only data shreds know their parent.
    pub fn parent_slot(&self) -> Option<Slot> {
        self.header.parent_slot()
    }

    pub fn parent_offset(&self) -> Option<u16> {
        match self.header.body {
            Body::Data { parent_offset, .. } => Some(parent_offset),
            Body::Code { .. } => None,
        }
    }

    pub fn reference_tick(&self) -> Option<u8> {
        self.header.reference_tick()
    }

    pub fn data_complete(&self) -> bool {
        self.header.data_complete()
    }

    pub fn last_in_slot(&self) -> bool {
        self.header.last_in_slot()
    }

    /// The entry bytes it carries; none for a code shred.
    pub fn data(&self) -> &[u8] {
        match self.header.body {
            Body::Data { size, .. } => &self.payload[DATA_HEADERS_BYTES..usize::from(size)],
            Body::Code { .. } => &[],
        }
    }

    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// Root of this shred's own set.
    pub fn merkle_root(&self) -> Hash {
        self.merkle_root
    }

    /// Root of the set before it: of the same slot, or for the slot's first set of the parent's last (its block id).
    pub fn chained_root(&self) -> Hash {
        Hash::new_from_array(bytes_at(&self.payload, self.header.layout.chained_root_at()))
    }

    pub fn signature(&self) -> Signature {
        Signature::from(bytes_at::<SIGNATURE_BYTES>(&self.payload, 0))
    }

    /// Strict ed25519 of the leader over the merkle root.
    #[must_use]
    pub fn verify(&self, leader: &Pubkey) -> bool {
        self.signature().verify(leader.as_ref(), self.merkle_root.as_ref())
    }

    /// The signature, over the same root, of the node that sent the shred on.
    pub fn retransmitter_signature(&self) -> Option<Signature> {
        self.retransmitter_range().map(|range| Signature::from(bytes_at::<SIGNATURE_BYTES>(&self.payload, range.start)))
    }

    #[must_use]
    pub fn verify_retransmitter(&self, node: &Pubkey) -> bool {
        self.retransmitter_signature()
            .is_some_and(|signature| signature.verify(node.as_ref(), self.merkle_root.as_ref()))
    }

    /// Puts our signature of the merkle root where the sender's was. False: this shred has no room for one.
    pub fn resign(&mut self, signature: &Signature) -> bool {
        let Some(range) = self.retransmitter_range() else { return false };
        // No copy is made where these bytes are not shared.
        let mut payload = Vec::from(std::mem::take(&mut self.payload));
        payload[range].copy_from_slice(signature.as_ref());
        self.payload = payload.into();
        true
    }

    /// Two shreds of one name that differ: the leader made two versions of its block. The retransmitter's signature
    /// is not the leader's doing and does not count.
    pub fn conflicts_with(&self, other: &Shred) -> bool {
        let own = |shred: &Shred| match shred.retransmitter_range() {
            Some(range) => shred.payload.slice(..range.start),
            None => shred.payload.clone(),
        };
        self.id() == other.id() && own(self) != own(other)
    }

    fn retransmitter_range(&self) -> Option<Range<usize>> {
        let layout = self.header.layout;
        layout.resigned.then(|| layout.retransmitter_at()..layout.retransmitter_at() + SIGNATURE_BYTES)
    }
}

impl std::fmt::Debug for Shred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shred").field("header", &self.header).field("merkle_root", &self.merkle_root).finish()
    }
}

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::testing::{self, leader},
        tandem_types::{Keypair, Signer},
    };

    #[test]
    fn any_changed_byte_of_the_leaf_or_proof_breaks_the_signature() {
        let made = testing::make(9, 8, &[3; 2000], false);
        for shred in [&made.data[1], &made.code[30]] {
            assert!(shred.verify(&leader().pubkey()));
            assert!(!shred.verify(&Pubkey::default()));
            for at in 0..shred.payload().len() {
                let mut payload = shred.payload().to_vec();
                payload[at] ^= 0x10;
                let accepted = Shred::parse(payload).is_ok_and(|shred| shred.verify(&leader().pubkey()));
                assert!(!accepted, "byte {at}");
            }
        }
    }

    #[test]
    fn a_nonce_behind_the_shred_is_cut_off() {
        let made = testing::make(9, 8, &[3; 20], false);
        let mut packet = made.data[0].payload().to_vec();
        packet.extend([1, 2, 3, 4]);
        assert_eq!(Shred::parse_slice(&packet).as_ref(), Ok(&made.data[0]));
    }

    #[test]
    fn resigning_changes_nothing_the_leader_signed() {
        let node = Keypair::new_from_array([77; 32]);
        let mut made = testing::make(9, 8, &[3; 20], true);
        let mut shred = made.data.swap_remove(0);
        let before = shred.clone();
        assert_eq!(shred.retransmitter_signature(), Some(Signature::default()));
        assert!(!shred.verify_retransmitter(&node.pubkey()));
        assert!(shred.resign(&node.sign_message(shred.merkle_root().as_ref())));
        assert!(shred.verify_retransmitter(&node.pubkey()));
        assert!(shred.verify(&leader().pubkey()));
        assert_eq!(Shred::parse(shred.payload().clone()).as_ref(), Ok(&shred));
        assert!(!shred.conflicts_with(&before));

        let mut plain = testing::make(9, 8, &[3; 20], false).data.swap_remove(0);
        assert!(!plain.resign(&Signature::default()));
        assert_eq!(plain.retransmitter_signature(), None);
        assert!(plain.conflicts_with(&before));
    }

    #[test]
    fn one_name_two_contents_is_a_conflict() {
        let one = testing::make(9, 8, &[3; 20], false);
        let two = testing::make(9, 8, &[4; 20], false);
        assert!(one.data[0].conflicts_with(&two.data[0]));
        assert!(!one.data[0].conflicts_with(&one.data[0].clone()));
        assert!(!one.data[0].conflicts_with(&two.data[1]));
        assert!(!one.data[0].conflicts_with(&two.code[0]));
    }
}
