//! What a real agave 4.2.2 sent: read, verified, and written again byte for byte.

use {
    crate::{
        crds::{CrdsData, CrdsValue},
        gossip::Protocol,
        tower_file::{LastVote, SavedTowerFile},
    },
    std::sync::Arc,
    tandem_types::Pubkey,
};

const IDENTITY: Pubkey = Pubkey::from_str_const("A1EaFjrNqRhwZLc5ZhNBef5KnExLewaCZPMBzY6adZb9");

macro_rules! captured {
    ($name:literal) => {
        include_bytes!(concat!("../testdata/agave-4.2.2/", $name, ".bin")).as_slice()
    };
}

fn values(bytes: &[u8]) -> Vec<Arc<CrdsValue>> {
    let message = Protocol::decode(bytes).unwrap();
    assert_eq!(message.encode(), bytes);
    let values = match message {
        Protocol::PullRequest(filter, caller) => {
            assert!(filter.mask_bits >= 6 && filter.prefix_range().contains(&filter.mask));
            vec![caller]
        }
        Protocol::PullResponse(from, values) | Protocol::PushMessage(from, values) => {
            assert_eq!(from, IDENTITY);
            values
        }
        other => panic!("no values in {other:?}"),
    };
    for value in &values {
        assert!(value.verify());
        assert_eq!(value.origin(), IDENTITY);
        assert_eq!(value.data().encode(), value.bytes()[64..], "each field is written as agave writes it");
    }
    values
}

#[test]
fn contact_infos() {
    let values = values(captured!("pull_request"));
    let info = values[0].contact_info().unwrap();
    assert_eq!((info.version.to_string(), info.version.client), ("4.2.2".to_string(), 3));
    assert_eq!((info.shred_version, info.gossip()), (13_857, Some("127.0.0.1:9301".parse().unwrap())));
    assert!(info.is_full_peer());
}

#[test]
fn records_of_a_voting_node() {
    let values: Vec<_> = [
        captured!("pull_response-contactinfo-vote5"),
        captured!("pull_response-lowestslot"),
        captured!("push-contactinfo-epochslots0"),
        captured!("push-vote0"),
    ]
    .into_iter()
    .flat_map(values)
    .collect();
    let (mut votes, mut slots, mut lowest) = (0, 0, 0);
    for value in &values {
        match value.data() {
            CrdsData::Vote(_, vote) => {
                votes += 1;
                let parsed = &vote.parsed;
                assert_eq!(parsed.authorized_voter, IDENTITY);
                assert!(parsed.lockouts.is_sorted() && parsed.lockouts.len() > 20 && parsed.block_id.is_some());
                assert!(vote.transaction.verify_with_results().into_iter().all(|good| good));
            }
            CrdsData::EpochSlots(_, epoch_slots) => slots += epoch_slots.slots(0).len(),
            CrdsData::LowestSlot(_) => lowest += 1,
            _ => (),
        }
    }
    assert_eq!((votes, lowest), (2, 1));
    assert!(slots > 20, "{slots} slots");
}

#[test]
fn ping_and_pong() {
    let (ping, pong) = (captured!("ping"), captured!("pong"));
    match (Protocol::decode(ping).unwrap(), Protocol::decode(pong).unwrap()) {
        (Protocol::PingMessage(read_ping), Protocol::PongMessage(read_pong)) => {
            assert!(read_ping.verify() && read_pong.verify());
            assert_eq!(Protocol::PingMessage(read_ping).encode(), ping);
            assert_eq!(Protocol::PongMessage(read_pong).encode(), pong);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn tower_file() {
    let bytes = captured!("tower-1_9");
    let file = SavedTowerFile::decode(bytes).unwrap();
    assert_eq!(file.verify(&IDENTITY), Ok(()));
    assert_eq!(file.tower.signable_bytes(), bytes[76..], "every field is written as agave writes it");
    assert_eq!(file.encode(), bytes);
    let votes = &file.tower.vote_state.votes;
    assert_eq!(file.tower.last_vote.last_slot(), votes.back().map(|(slot, _)| *slot));
    assert!(matches!(file.tower.last_vote, LastVote::TowerSync { .. }));
    assert!(file.tower.vote_state.root.is_some_and(|root| root < votes[0].0));
}
