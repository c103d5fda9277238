use {
    super::*,
    crate::contact_info::Version,
    proptest::prelude::*,
    solana_message::{Message, VersionedMessage},
    tandem_types::{Keypair, Signer},
};

fn vote_transaction(payer: &Keypair, slot: Slot) -> VersionedTransaction {
    let sync = vote_tx::tower_sync(&[(slot, 1)], None, Hash::new_unique(), None, Hash::default());
    let instruction = vote_tx::tower_sync_instruction(&Pubkey::new_unique(), &payer.pubkey(), sync, None);
    let message = Message::new_with_blockhash(&[instruction], Some(&payer.pubkey()), &Hash::new_unique());
    VersionedTransaction::try_new(VersionedMessage::Legacy(message), &[payer]).unwrap()
}

/// One record of each kind.
pub(crate) fn samples(me: &Keypair) -> Vec<CrdsData> {
    let (from, wallclock) = (me.pubkey(), UnixMillis(1_000));
    let proof = crate::duplicate_shred::DuplicateProof { shred1: vec![1], shred2: vec![2] };
    let opaque = |body: Vec<u8>| Opaque { from, wallclock, body };
    let slots = EpochSlots { from, sets: vec![CompressedSlots::deflate(&[4, 5, 9]).unwrap()], wallclock };
    vec![
        CrdsData::Vote(3, Box::new(Vote::new(from, vote_transaction(me, 42), wallclock).unwrap())),
        CrdsData::LowestSlot(LowestSlot { from, lowest: 8, wallclock }),
        CrdsData::EpochSlots(2, slots),
        CrdsData::DuplicateShred(511, proof.chunks(from, wallclock, 77).remove(0)),
        CrdsData::SnapshotHashes(SnapshotHashes {
            from,
            full: (5, Hash::new_unique()),
            incremental: vec![(6, Hash::new_unique())],
            wallclock,
        }),
        CrdsData::ContactInfo(ContactInfo::new(from, 1_000_000, 3, Version::default())),
        CrdsData::RestartLastVotedForkSlots(opaque(
            [&[0u8; 4][..], &[2, 0, 0, 0, 0, 0, 0, 0, 5, 6], &[0; 42]].concat(),
        )),
        CrdsData::RestartLastVotedForkSlots(opaque(
            [&[1u8, 0, 0, 0, 1][..], &[1, 0, 0, 0, 0, 0, 0, 0, 0xff], &8u64.to_le_bytes(), &[0; 42]].concat(),
        )),
        CrdsData::RestartHeaviestFork(opaque(vec![0; 50])),
    ]
}

#[test]
fn every_kind_round_trips_and_verifies() {
    let me = Keypair::new();
    for data in samples(&me) {
        assert_eq!(CrdsData::decode(&data.encode()).as_ref(), Ok(&data));
        let value = CrdsValue::signed(data, |bytes| me.sign_message(bytes));
        assert!(value.verify());
        assert_eq!(value.origin(), me.pubkey());
        let mut input = Reader::new(value.bytes(), "value");
        let read = CrdsValue::read(&mut input).unwrap();
        assert_eq!(read, value);
        assert_eq!(input.finish(), Ok(()));
        assert_eq!(*read.hash(), Hash::new_from_array(Sha256::digest(value.bytes()).into()));
        let forged = CrdsValue::signed(read.data().clone(), |_| Signature::default());
        assert!(!forged.verify());
        assert_eq!(forged.label(), value.label());
    }
}

/// protocol.md 4.2: tags, retired fields, and where the wall clock stands.
#[test]
fn layouts() {
    let from = Pubkey::new_from_array([9; 32]);
    let wallclock = UnixMillis(0x0807_0605);
    let clock = [5, 6, 7, 8, 0, 0, 0, 0];
    let lowest = CrdsData::LowestSlot(LowestSlot { from, lowest: 3, wallclock });
    let expected = [&[2, 0, 0, 0, 0][..], &[9; 32], &[0; 8], &[3, 0, 0, 0, 0, 0, 0, 0], &[0; 16], &clock].concat();
    assert_eq!(lowest.encode(), expected);
    let set = CompressedSlots::Uncompressed { first_slot: 2, num: 1, bits: vec![1] };
    let slots = CrdsData::EpochSlots(7, EpochSlots { from, sets: vec![set], wallclock });
    let mut expected = [&[5, 0, 0, 0, 7][..], &[9; 32], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
    expected.extend([1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]); // tag, first slot, num
    expected.extend([1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0]); // blocks, bits
    expected.extend(clock);
    assert_eq!(slots.encode(), expected);
    let hash = Hash::new_from_array([4; 32]);
    let snapshots = CrdsData::SnapshotHashes(SnapshotHashes { from, full: (1, hash), incremental: vec![], wallclock });
    let expected = [&[10, 0, 0, 0][..], &[9; 32], &[1, 0, 0, 0, 0, 0, 0, 0], &[4; 32], &[0; 8], &clock].concat();
    assert_eq!(snapshots.encode(), expected);
}

#[test]
fn retired_kinds_are_refused() {
    for tag in [0u32, 3, 4, 6, 7, 8] {
        let bytes = [&tag.to_le_bytes()[..], &[0; 200]].concat();
        assert_eq!(CrdsData::decode(&bytes), Err(Reject::Deprecated("gossip record")));
    }
    assert_eq!(CrdsData::decode(&14u32.to_le_bytes()), Err(Reject::Tag("gossip record", 14)));
}

#[test]
fn bounds() {
    let from = Pubkey::new_unique();
    let lowest =
        |lowest, wallclock| CrdsData::LowestSlot(LowestSlot { from, lowest, wallclock: UnixMillis(wallclock) });
    assert!(CrdsData::decode(&lowest(1, WALLCLOCK_MAX - 1).encode()).is_ok());
    assert!(CrdsData::decode(&lowest(1, WALLCLOCK_MAX).encode()).is_err());
    assert!(CrdsData::decode(&lowest(SLOT_MAX, 1).encode()).is_err());
    let mut retired_root = lowest(1, 1).encode();
    retired_root[37] = 1;
    assert_eq!(CrdsData::decode(&retired_root), Err(Reject::Deprecated("lowest slot: retired field")));
    let slots = |index| CrdsData::EpochSlots(index, EpochSlots { from, sets: vec![], wallclock: UnixMillis(1) });
    assert!(CrdsData::decode(&slots(254).encode()).is_ok());
    assert!(CrdsData::decode(&slots(255).encode()).is_err());
    let me = Keypair::new();
    let vote =
        |index| CrdsData::Vote(index, Box::new(Vote::new(from, vote_transaction(&me, 1), UnixMillis(1)).unwrap()));
    assert!(CrdsData::decode(&vote(31).encode()).is_ok());
    assert!(CrdsData::decode(&vote(32).encode()).is_err());
    let old = SnapshotHashes {
        from,
        full: (5, Hash::default()),
        incremental: vec![(5, Hash::default())],
        wallclock: UnixMillis(1),
    };
    assert!(CrdsData::decode(&CrdsData::SnapshotHashes(old).encode()).is_err(), "an increment on nothing newer");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(tag in 0u32..16, bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
        let _ = CrdsData::decode(&[&tag.to_le_bytes()[..], &bytes].concat());
    }

    /// What is accepted after a change still writes what was read: nothing is normalized on the way.
    #[test]
    fn changed_records_never_panic(kind in 0usize..9, changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..5)) {
        let mut bytes = samples(&Keypair::new_from_array([1; 32])).remove(kind).encode();
        for (at, byte) in changes {
            let at = 4 + usize::from(at) % (bytes.len() - 4);
            bytes[at] = byte;
        }
        if let Ok(data) = CrdsData::decode(&bytes) {
            let again = CrdsData::decode(&data.encode());
            prop_assert_eq!(again, Ok(data));
        }
    }
}
