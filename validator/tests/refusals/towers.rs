//! Tower files as agave leaves them.

use {
    super::*,
    tandem_identity::read_keypair_file,
    tandem_types::{Hash, Signer},
    tandem_wire::tower_file::{LastUpdate, LastVote, SavedTower, SavedTowerFile},
};

#[test]
fn a_tower_whose_first_vote_is_its_root_verifies_and_imports() {
    let place = Place::new();
    let key = read_keypair_file(&place.path("i.json")).unwrap();
    let write = |votes: &[(u64, u32)], root| {
        let update = LastUpdate { lockouts: votes.to_vec(), root: Some(root), hash: Hash::default(), timestamp: None };
        let last = LastVote::VoteStateUpdate(update);
        let tower = SavedTower::new(key.pubkey(), votes.iter().copied().collect(), Some(root), last);
        let file = SavedTowerFile::signed(tower, |bytes| key.sign_message(bytes));
        fs::write(place.path("tower.bin"), file.encode()).unwrap();
    };
    let run = |line: &str| place.command(line).output().unwrap();
    let text = |output: &Output| String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();

    write(&[(900, 3), (901, 2), (902, 1)], 901);
    for command in ["tower verify @tower.bin", "tower import @tower.bin"] {
        let output = run(&format!("-l @ledger {command} -i @i.json"));
        assert!(!output.status.success() && text(&output).contains("900"), "{command}: {}", text(&output));
    }
    write(&[(900, 3), (901, 2), (902, 1)], 900);
    for command in ["tower verify @tower.bin", "tower import @tower.bin"] {
        let output = run(&format!("-l @ledger {command} -i @i.json"));
        assert_eq!(output.status.code(), Some(0), "{command}: {}", text(&output));
    }
    let shown: serde_json::Value =
        serde_json::from_slice(&run("-l @ledger tower show -i @i.json --output json").stdout).unwrap();
    assert_eq!(shown["tower"]["lastVote"], serde_json::json!(902), "{shown}");
    assert_eq!(shown["tower"]["root"], serde_json::json!(900), "{shown}");
}
