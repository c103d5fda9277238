use {
    super::*,
    crate::{
        bloom::{Bloom, FilterPlan},
        contact_info::{ContactInfo, Version},
        crds::{CrdsData, LowestSlot},
    },
    proptest::prelude::*,
    rand::SeedableRng,
    tandem_types::{Keypair, Signer},
};

fn contact(me: &Keypair) -> Arc<CrdsValue> {
    let info = ContactInfo::new(me.pubkey(), 1_000_000, 3, Version::default());
    Arc::new(CrdsValue::signed(CrdsData::ContactInfo(info), |bytes| me.sign_message(bytes)))
}

fn lowest(me: &Keypair, lowest: u64) -> Arc<CrdsValue> {
    let data = CrdsData::LowestSlot(LowestSlot { from: me.pubkey(), lowest, wallclock: UnixMillis(1) });
    Arc::new(CrdsValue::signed(data, |bytes| me.sign_message(bytes)))
}

fn filter() -> CrdsFilter {
    let plan = FilterPlan::new(0, 150);
    let bloom = Bloom::random(plan.shape, &mut rand::rngs::StdRng::seed_from_u64(3));
    CrdsFilter { bloom, mask: CrdsFilter::mask_of(1, plan.mask_bits), mask_bits: plan.mask_bits }
}

fn samples(me: &Keypair) -> Vec<Protocol> {
    let sign = |bytes: &[u8]| me.sign_message(bytes);
    let ping = Ping::signed(me.pubkey(), [1; 32], sign);
    let prunes = vec![Pubkey::new_unique(); PRUNES_MAX];
    vec![
        Protocol::PullRequest(filter(), contact(me)),
        Protocol::PullResponse(me.pubkey(), vec![contact(me), lowest(me, 1)]),
        Protocol::PushMessage(me.pubkey(), vec![lowest(me, 2)]),
        Protocol::PruneMessage(PruneData::signed(me.pubkey(), prunes, Pubkey::new_unique(), UnixMillis(5), sign)),
        Protocol::PongMessage(Pong::answering(&ping, me.pubkey(), sign)),
        Protocol::PingMessage(ping),
    ]
}

#[test]
fn every_message_round_trips_in_one_packet() {
    for message in samples(&Keypair::new()) {
        let bytes = message.encode();
        assert!(bytes.len() <= PACKET_BYTES_MAX);
        assert_eq!(Protocol::decode(&bytes), Ok(message));
        let longer = [&bytes[..], &[0]].concat();
        assert!(Protocol::decode(&longer).is_err(), "every byte must be used");
        assert!(Protocol::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}

/// protocol.md 4.1, 4.5, 4.6, 4.7: tags and order of fields.
#[test]
fn layouts() {
    let me = Keypair::new_from_array([1; 32]);
    let key = me.pubkey().to_bytes();
    let ping = Ping::signed(me.pubkey(), [7; 32], |bytes| me.sign_message(bytes));
    let expected = [&[4, 0, 0, 0][..], &key, &[7; 32], ping.signature.as_ref()].concat();
    assert_eq!(Protocol::PingMessage(ping).encode(), expected);
    let bloom = Bloom::new(70, vec![2]);
    let pull = Protocol::PullRequest(CrdsFilter { bloom, mask: 3, mask_bits: 6 }, contact(&me));
    let mut expected = vec![0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]; // tag, keys
    expected.extend([1, 2, 0, 0, 0, 0, 0, 0, 0]); // blocks
    expected.extend([0; 16]);
    expected.extend([70, 0, 0, 0, 0, 0, 0, 0]); // bits
    expected.extend([0; 8]); // bits set
    expected.extend([3, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0]); // mask
    expected.extend(contact(&me).bytes());
    assert_eq!(pull.encode(), expected);
    let prune = PruneData::signed(
        me.pubkey(),
        vec![Pubkey::default()],
        Pubkey::new_from_array([2; 32]),
        UnixMillis(9),
        |bytes| {
            assert_eq!(
                bytes,
                [&key[..], &[1, 0, 0, 0, 0, 0, 0, 0], &[0; 32], &[2; 32], &[9, 0, 0, 0, 0, 0, 0, 0]].concat()
            );
            me.sign_message(bytes)
        },
    );
    let expected = [
        &[3, 0, 0, 0][..],
        &key,
        &key,
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[0; 32],
        prune.signature.as_ref(),
        &[2; 32],
        &[9, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(Protocol::PruneMessage(prune).encode(), expected);
}

#[test]
fn prunes_verify_with_and_without_domain() {
    let me = Keypair::new();
    let plain =
        PruneData::signed(me.pubkey(), vec![], Pubkey::default(), UnixMillis(1), |bytes| me.sign_message(bytes));
    assert!(plain.verify());
    let prefixed = PruneData { signature: me.sign_message(&plain.signable(true)), ..plain.clone() };
    assert!(prefixed.verify());
    assert!(!PruneData { wallclock: UnixMillis(2), ..plain }.verify());
}

#[test]
fn senders_must_agree_with_themselves() {
    let me = Keypair::new();
    let mut bytes = samples(&me).remove(3).encode();
    bytes[4] ^= 1;
    assert_eq!(Protocol::decode(&bytes), Err(Reject::Inconsistent("prune: sender")));
    let not_a_contact = Protocol::PullRequest(filter(), lowest(&me, 1)).encode();
    assert_eq!(Protocol::decode(&not_a_contact), Err(Reject::Inconsistent("pull request: caller")));
}

#[test]
fn values_are_packed_into_packets() {
    let me = Keypair::new();
    let values: Vec<_> = (0..40).map(|n| lowest(&me, n)).collect();
    let groups = split_values(values.clone());
    assert_eq!(groups.iter().flatten().cloned().collect::<Vec<_>>(), values);
    let sizes: Vec<_> =
        groups.into_iter().map(|group| Protocol::PushMessage(me.pubkey(), group).encode().len()).collect();
    assert!(sizes.iter().all(|size| *size <= PACKET_BYTES_MAX), "{sizes:?}");
    let (_, full) = sizes.split_last().unwrap();
    assert!(full.iter().all(|size| *size > PACKET_BYTES_MAX - values[0].bytes().len()), "{sizes:?}");
    assert!(split_values([]).is_empty());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(tag in 0u32..7, bytes in proptest::collection::vec(any::<u8>(), 0..1228)) {
        let _ = Protocol::decode(&[&tag.to_le_bytes()[..], &bytes].concat());
    }

    #[test]
    fn changed_bytes_never_panic(kind in 0usize..6, changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = samples(&Keypair::new_from_array([1; 32])).remove(kind).encode();
        for (at, byte) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(message) = Protocol::decode(&bytes) {
            prop_assert!(message.encode().len() <= bytes.len());
        }
    }
}
