//! Votes and blocks from promise to signature, and everything that must not be signed.

use {
    super::*,
    solana_vote_interface::instruction::VoteInstruction,
    std::{
        collections::BTreeMap,
        sync::{Arc, Mutex},
        time::Duration,
    },
    tandem_role::{
        kv::{Kv, KvError, Txn, TxnReply},
        memory::Memory,
        records::Preference,
    },
    tandem_tower_storage::{
        ClaimRequest, LeaderSlotClaim, Limits, Opening, PromiseStore, Promised, SystemPace, Tower, TowerSigner,
        VoteDecision, VoteKind,
    },
    tandem_types::{Hash, InstanceId, Keypair, Pubkey, Signer, Slot, Term, UnixMillis, VersionedTransaction},
};

struct Store(Arc<Mutex<Memory>>);

impl Kv for Store {
    fn txn(&mut self, txn: &Txn, _: Duration) -> Result<TxnReply, KvError> {
        Ok(self.0.lock().unwrap().apply(txn))
    }

    fn describe(&self) -> String {
        "test".into()
    }
}

fn key(seed: u8) -> Keypair {
    Keypair::new_from_array([seed; 32])
}

const IDENTITY: u8 = 1;
const VOTER: u8 = 2;
const STANDBY: u8 = 3;

fn vault() -> Vault {
    let vault = Vault::new(key(STANDBY));
    vault.hold_identity(key(IDENTITY));
    vault.add_voter(key(VOTER));
    vault
}

/// A store that this identity owns under `term`.
fn store(term: u64) -> PromiseStore {
    let opening = Opening {
        genesis_hash: Hash::default(),
        identity: key(IDENTITY).pubkey(),
        vote_account: key(9).pubkey(),
        instance: InstanceId([0; 16]),
        limits: Limits { call_deadline: Duration::from_secs(1), write_timeout: Duration::from_secs(1) },
    };
    let memory = Memory { store_id: 1, revision: 1, entries: BTreeMap::new() };
    let kv = Box::new(Store(Arc::new(Mutex::new(memory))));
    let mut store = PromiseStore::open(kv, Box::new(SystemPace::start()), opening);
    for _ in 0..term {
        let snapshot = store.read().unwrap();
        let request = ClaimRequest {
            owner_revision: snapshot.owner_revision,
            term_seen: snapshot.owner.map_or(Term(0), |owner| owner.term),
            previous_host: None,
            host: String::new(),
            version: String::new(),
            standby_identity: String::new(),
            preference: Preference::Primary,
            slot_at_claim: 0,
            reason: String::new(),
            claimed_at: UnixMillis(0),
            require_tower: false,
        };
        store.claim(request).unwrap();
    }
    assert_eq!(store.term(), Some(Term(term)));
    store
}

fn promised(store: &mut PromiseStore, slot: Slot, switch: bool) -> Promised {
    let decision = VoteDecision {
        identity: key(IDENTITY).pubkey(),
        vote_account: key(9).pubkey(),
        kind: VoteKind::Vote,
        slot,
        hash: Hash::new_from_array([7; 32]),
        block_id: Hash::new_from_array([8; 32]),
        tower: Tower { votes: vec![(slot, 1)], root: None },
        timestamp: Some(1_700_000_000),
        recent_blockhash: Hash::new_from_array([6; 32]),
        switch,
    };
    store.record(decision, &vault()).unwrap()
}

fn claimed(store: &mut PromiseStore, slot: Slot) -> LeaderSlotClaim {
    store.claim_leader_slot(slot).unwrap()
}

#[test]
fn a_promised_vote_becomes_agaves_transaction() {
    let vault = vault();
    let permit = vault.unlock(Term(1));
    let (identity, voter) = (key(IDENTITY).pubkey(), key(VOTER).pubkey());
    for (slot, switch, authorized) in [(5, false, voter), (50, true, voter), (500, false, identity)] {
        let mut store = store(1);
        let vote = vault.sign_vote(promised(&mut store, slot, switch), &permit, &authorized).unwrap();
        assert_eq!((vote.slot(), vote.term()), (slot, Term(1)));
        let transaction: VersionedTransaction = bincode::deserialize(&vote.bytes()).unwrap();
        assert_eq!(&transaction, vote.transaction());
        assert!(transaction.verify_with_results().iter().all(|good| *good), "every signature is good");
        assert_eq!(transaction.signatures.len(), if authorized == identity { 1 } else { 2 });
        let message = &transaction.message;
        assert_eq!(message.static_account_keys()[0], identity, "the identity pays");
        assert_eq!(*message.recent_blockhash(), Hash::new_from_array([6; 32]));
        assert!(matches!(message, solana_message::VersionedMessage::Legacy(_)));
        let [instruction] = message.instructions() else { panic!("one instruction") };
        let accounts: Vec<_> =
            instruction.accounts.iter().map(|index| message.static_account_keys()[usize::from(*index)]).collect();
        assert_eq!(accounts, [key(9).pubkey(), authorized]);
        let sync = match bincode::deserialize(&instruction.data).unwrap() {
            VoteInstruction::TowerSync(sync) if !switch => sync,
            VoteInstruction::TowerSyncSwitch(sync, proof) if switch && proof == Hash::default() => sync,
            other => panic!("{other:?}"),
        };
        assert_eq!(sync.last_voted_slot(), Some(slot));
        assert_eq!(
            (sync.hash, sync.block_id, sync.timestamp),
            (Hash::new_from_array([7; 32]), Hash::new_from_array([8; 32]), Some(1_700_000_000))
        );
    }
}

#[test]
fn a_lock_ends_every_permit_at_once() {
    let vault = vault();
    let voter = key(VOTER).pubkey();
    let permit = vault.unlock(Term(1));
    let copy = permit.clone();
    let mut store = store(1);
    let mut block = vault.block_signer(claimed(&mut store, 4), &permit).unwrap();
    assert!(block.sign_shred_root(0, &Hash::default()).is_ok());
    assert!(permit.valid() && vault.is_unlocked());

    vault.lock();
    assert!(!permit.valid() && !copy.valid() && !vault.is_unlocked());
    assert_eq!(vault.sign_vote(promised(&mut store, 5, false), &copy, &voter), Err(Refusal::Locked));
    assert_eq!(block.sign_shred_root(32, &Hash::default()), Err(Refusal::Locked));
    assert_eq!(vault.block_signer(claimed(&mut store, 8), &permit).err(), Some(Refusal::Locked));

    // A new term, a new permit; the old ones stay dead.
    let second = vault.unlock(Term(2));
    assert!(second.valid() && !permit.valid());
    assert_eq!(block.sign_shred_root(32, &Hash::default()), Err(Refusal::Locked));
    let third = vault.unlock(Term(3));
    assert!(third.valid() && !second.valid());
    vault.lock();
    vault.lock();
    assert!(!third.valid() && !vault.is_unlocked(), "locking twice does not unlock");
}

#[test]
fn a_promise_of_another_term_is_not_signed() {
    let vault = vault();
    let permit = vault.unlock(Term(2));
    let refusal = Refusal::OtherTerm { promised: Term(1), permitted: Term(2) };
    let mut old = store(1);
    assert_eq!(vault.sign_vote(promised(&mut old, 5, false), &permit, &key(VOTER).pubkey()), Err(refusal));
    assert_eq!(vault.block_signer(claimed(&mut old, 5), &permit).err(), Some(refusal));
    let mut new = store(2);
    assert!(vault.sign_vote(promised(&mut new, 5, false), &permit, &key(VOTER).pubkey()).is_ok());
}

#[test]
fn without_the_key_nothing_is_signed() {
    let mut store = store(1);
    let without = Vault::new(key(STANDBY));
    let permit = without.unlock(Term(1));
    let (identity, voter) = (key(IDENTITY).pubkey(), key(VOTER).pubkey());
    let refused = without.sign_vote(promised(&mut store, 5, false), &permit, &voter);
    assert_eq!(refused, Err(Refusal::NoIdentityKey(identity)));
    assert_eq!(without.block_signer(claimed(&mut store, 5), &permit).err(), Some(Refusal::NoIdentityKey(identity)));
    assert_eq!(without.speak_as_identity(&identity), Err(Refusal::NoIdentityKey(identity)));
    assert_eq!(without.sign_tower(identity.as_ref()), None);

    let vault = vault();
    let permit = vault.unlock(Term(1));
    vault.remove_voters();
    let refused = vault.sign_vote(promised(&mut store, 50, false), &permit, &voter);
    assert_eq!(refused, Err(Refusal::NoVoterKey(voter)));
    assert!(!vault.holds_voter(&voter) && vault.holds_voter(&identity));
    vault.add_voter(key(VOTER));
    vault.add_voter(key(VOTER));
    assert_eq!(vault.voters(), [voter]);
    // Taking in the same key again disturbs nothing; another identity's key ends the permit.
    vault.hold_identity(key(IDENTITY));
    assert!(permit.valid());
    vault.hold_identity(key(77));
    assert!(!permit.valid());
}

#[test]
fn one_root_for_each_set_of_a_slot() {
    let vault = vault();
    let permit = vault.unlock(Term(1));
    let mut store = store(1);
    let mut block = vault.block_signer(claimed(&mut store, 4), &permit).unwrap();
    let root = Hash::new_from_array([5; 32]);
    let signature = block.sign_shred_root(0, &root).unwrap();
    assert!(signature.verify(key(IDENTITY).pubkey().as_ref(), root.as_ref()));
    assert!(block.sign_shred_root(32, &root).is_ok());
    for set in [0, 32] {
        let refused = block.sign_shred_root(set, &Hash::default());
        assert_eq!(refused, Err(Refusal::SetSignedBefore { slot: 4, set, next: 33 }));
    }
    assert!(block.sign_shred_root(64, &root).is_ok());
}

#[test]
fn the_node_speaks_under_one_name_at_a_time() {
    let vault = vault();
    let (identity, standby) = (key(IDENTITY).pubkey(), key(STANDBY).pubkey());
    let message = [11, 0, 0, 0, 1, 2, 3];
    assert_eq!(vault.node().pubkey(), standby);
    vault.speak_as_identity(&identity).unwrap();
    assert_eq!(vault.node().pubkey(), identity);
    assert!(vault.node().sign(&message).unwrap().verify(identity.as_ref(), &message));
    vault.speak_as_standby();
    assert!(vault.node().sign(&message).unwrap().verify(standby.as_ref(), &message));
    let other = vault.stand_by_as(key(44));
    assert_eq!((vault.node().pubkey(), vault.standby()), (other, other));
    assert!(!vault.is_unlocked(), "speaking is not signing");
}

#[test]
fn nothing_but_node_messages_is_signed_in_the_nodes_name() {
    let vault = vault();
    let node = vault.node();
    let own = node.pubkey();
    let permit = vault.unlock(Term(1));
    let vote = vault.sign_vote(promised(&mut store(1), 5, false), &permit, &key(VOTER).pubkey()).unwrap();
    let vote_message = vote.transaction().message.serialize();
    let own_vote = {
        let vote = vault.sign_vote(promised(&mut store(1), 5, false), &permit, &key(IDENTITY).pubkey()).unwrap();
        vote.transaction().message.serialize()
    };
    let prune = |name: &Pubkey, count: u64| {
        let mut bytes = name.to_bytes().to_vec();
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.resize(bytes.len() + 2 * 32 + 32 + 8, 1);
        bytes
    };
    let tls = [&[b' '; 64][..], b"TLS 1.3, client CertificateVerify\0", &[1; 32]].concat();
    for good in [vec![11, 0, 0, 0, 9], vec![8, 0, 0, 0, 9, 9], prune(&own, 2), vec![5; 32], tls] {
        assert!(node.sign(&good).is_ok(), "{good:?}");
    }
    let other = Pubkey::new_from_array([4; 32]);
    let versioned = vec![0x80, 1, 0, 1, 3];
    for bad in [
        vote_message,
        own_vote,
        versioned,
        prune(&other, 2),
        prune(&own, 1),
        prune(&own, u64::MAX),
        vec![],
        vec![11, 0, 0, 0],
        vec![16, 0, 0, 0, 1],
        vec![b' '; 100],
        vec![1; 31],
    ] {
        assert_eq!(node.sign(&bad), Err(Refusal::NotANodeMessage), "{bad:?}");
    }
    // Nor is anything but a tower signed as a tower.
    assert_eq!(vault.sign_tower(&[1; 200]), None);
    assert!(vault.sign_tower(&[key(IDENTITY).pubkey().to_bytes().to_vec(), vec![0; 9]].concat()).is_some());
}

#[test]
fn no_secret_is_printed() {
    let vault = vault();
    let permit = vault.unlock(Term(1));
    let block = vault.block_signer(claimed(&mut store(1), 4), &permit).unwrap();
    let printed = format!("{vault:?} {permit:?} {block:?} {:?}", vault.node());
    assert!(printed.contains(&key(IDENTITY).pubkey().to_string()));
    for seed in [IDENTITY, VOTER, STANDBY] {
        assert!(!printed.contains(&format!("{:?}", [seed; 4])[1..10]), "{printed}");
    }
}
