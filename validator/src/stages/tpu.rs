//! The TPU stage: transactions as they came over QUIC, and votes over UDP, become verified transactions for the producer; votes
//! also go to the voter.

use {
    super::observe::{note_own_vote, seen_vote},
    crate::{
        exit::Failure,
        stage::{Progress, Stage},
        topology::{Shared, VerifiedTransaction, VoteInput},
    },
    rayon::prelude::*,
    solana_transaction::versioned::TransactionVersion,
    std::{
        collections::HashSet,
        hash::{BuildHasher, RandomState},
    },
    tandem_bank::Bank,
    tandem_entry::{TransactionRules, check_transaction, verify_signatures},
    tandem_env::Rx,
    tandem_net::{Packet, TpuPacket},
    tandem_rpc::ChainEvent,
    tandem_types::{PACKET_BYTES_MAX, Tick, VersionedTransaction},
};

pub struct TpuStage {
    shared: Shared,
    transactions: Rx<TpuPacket>,
    votes: Rx<Packet>,
    seen: Seen,
}

impl TpuStage {
    pub fn new(shared: Shared, transactions: Rx<TpuPacket>, votes: Rx<Packet>) -> Self {
        Self { shared, transactions, votes, seen: Seen::new(SEEN_MAX) }
    }

    fn take_transactions(&mut self, bank: &Bank) -> bool {
        let packets: Vec<TpuPacket> = std::iter::from_fn(|| self.transactions.pop()).take(BATCH_MAX).collect();
        let fresh: Vec<_> = packets.iter().filter(|packet| self.seen.is_new(&packet.bytes)).collect();
        let rules = bank.transaction_rules();
        let verified: Vec<_> = fresh.par_iter().filter_map(|packet| open_transaction(&packet.bytes, rules)).collect();
        self.count("tpu", packets.len(), fresh.len(), verified.len());
        self.hand_on(bank, verified);
        !packets.is_empty()
    }

    fn take_votes(&mut self, bank: &Bank) -> bool {
        let packets: Vec<Packet> = std::iter::from_fn(|| self.votes.pop()).take(BATCH_MAX).collect();
        let fresh: Vec<_> = packets.iter().filter(|packet| self.seen.is_new(&packet.bytes)).collect();
        let rules = bank.transaction_rules();
        let verified: Vec<_> = fresh
            .par_iter()
            .filter(|packet| packet.bytes.len() <= PACKET_BYTES_MAX)
            .filter_map(|packet| open_transaction_if(&packet.bytes, rules, is_simple_vote))
            .collect();
        self.count("vote_port", packets.len(), fresh.len(), verified.len());
        self.hand_on(bank, verified);
        !packets.is_empty()
    }

    fn hand_on(&self, bank: &Bank, verified: Vec<VerifiedTransaction>) {
        let views = &self.shared.views;
        let votes = verified.iter().filter(|verified| verified.is_vote);
        let seen: Vec<_> = votes
            .filter_map(|vote| {
                let seen = seen_vote(bank, &vote.transaction)?;
                note_own_vote(&self.shared, &seen, &vote.transaction);
                Some(seen)
            })
            .collect();
        views.saw_votes(self.shared.clock.now(), bank, &seen);
        if !seen.is_empty() {
            self.shared.writers.vote.offer(VoteInput::SeenVotes(seen));
        }
        let is_heard = views.events.receiver_count() > 0;
        for transaction in verified {
            if is_heard && !transaction.is_vote {
                // Subscribers may be slow or gone; nobody waits for them.
                let _ = views.events.send(ChainEvent::Received(transaction.transaction.signatures[0]));
            }
            self.shared.writers.transactions.offer(transaction);
        }
    }

    fn count(&self, port: &'static str, received: usize, fresh: usize, verified: usize) {
        let counters = &self.shared.views.counters;
        let (all, repeated, refused) = match port {
            "tpu" => ("tpu_received", "tpu_repeated", "tpu_refused"),
            _vote_port => ("vote_port_received", "vote_port_repeated", "vote_port_refused"),
        };
        counters.add(all, received as u64);
        counters.add(repeated, (received - fresh) as u64);
        counters.add(refused, (fresh - verified) as u64);
    }
}

impl Stage for TpuStage {
    fn step(&mut self, _now: Tick) -> Result<Progress, Failure> {
        let bank = self.shared.views.chain.load().processed.clone();
        // Votes first: the chain lives by them.
        let votes = self.take_votes(&bank);
        let transactions = self.take_transactions(&bank);
        Ok(if votes || transactions { Progress::Busy } else { Progress::Idle(None) })
    }
}

/// From wire bytes to a transaction that is well formed and signed.
pub fn open_transaction(bytes: &[u8], rules: TransactionRules) -> Option<VerifiedTransaction> {
    open_transaction_if(bytes, rules, |_| true)
}

fn open_transaction_if(
    bytes: &[u8],
    rules: TransactionRules,
    wanted: impl Fn(&VersionedTransaction) -> bool,
) -> Option<VerifiedTransaction> {
    let transaction: VersionedTransaction = wincode::deserialize_exact(bytes).ok()?;
    check_transaction(&transaction, rules).ok()?;
    if !wanted(&transaction) {
        return None;
    }
    let message_hash = verify_signatures(&transaction).ok()?;
    let is_vote = is_simple_vote(&transaction);
    Some(VerifiedTransaction { transaction, message_hash, is_vote })
}

/// One or two signatures, a legacy message, one instruction, of the vote program (perf/src/sigverify.rs, v4.2).
pub fn is_simple_vote(transaction: &VersionedTransaction) -> bool {
    let message = &transaction.message;
    let is_legacy = transaction.version() == TransactionVersion::LEGACY;
    let [instruction] = message.instructions() else { return false };
    let program = message.static_account_keys().get(usize::from(instruction.program_id_index));
    is_legacy && transaction.signatures.len() <= 2 && program == Some(&solana_vote_interface::program::ID)
}

/// Which packets came before, by a hash that nobody outside can foresee. Bounded: the older half is forgotten when the newer
/// is full.
struct Seen {
    hasher: RandomState,
    newer: HashSet<u64>,
    older: HashSet<u64>,
    half: usize,
}

impl Seen {
    fn new(capacity: usize) -> Self {
        Self { hasher: RandomState::new(), newer: HashSet::new(), older: HashSet::new(), half: capacity / 2 }
    }

    /// Whole packets are compared: the same signature under other bytes must not keep a good transaction out.
    fn is_new(&mut self, bytes: &[u8]) -> bool {
        let hash = self.hasher.hash_one(bytes);
        if self.older.contains(&hash) || self.newer.contains(&hash) {
            return false;
        }
        if self.newer.len() >= self.half {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(hash)
    }
}

const BATCH_MAX: usize = 512;
const SEEN_MAX: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::{
            stages::testing::{VOTE, leader, settle, world},
            topology::{Readers, RoleInput},
        },
        solana_transaction::Transaction,
        tandem_role::event::Event,
        tandem_types::{Hash, Keypair, Signer},
        tandem_wire::vote_tx,
    };

    fn vote(payer: &Keypair, voter: &Keypair, slot: u64) -> VersionedTransaction {
        let sync = vote_tx::tower_sync(&[(slot, 1)], None, Hash::new_from_array([7; 32]), None, Hash::default());
        let instruction = vote_tx::tower_sync_instruction(&VOTE, &voter.pubkey(), sync, None);
        let keys = if payer.pubkey() == voter.pubkey() { vec![payer] } else { vec![payer, voter] };
        Transaction::new_signed_with_payer(&[instruction], Some(&payer.pubkey()), &keys, Hash::default()).into()
    }

    fn transfer() -> VersionedTransaction {
        let to = tandem_types::Pubkey::new_from_array([5; 32]);
        solana_system_transaction::transfer(&leader(), &to, 1, Hash::default()).into()
    }

    #[test]
    fn the_vote_port_takes_votes_and_the_voter_hears_of_those_that_count() {
        let (world, readers, _ledger) = world();
        let Readers { tpu_packets, vote_packets, transactions, vote: voter, .. } = readers;
        let mut stage = TpuStage::new(world.shared.clone(), tpu_packets, vote_packets);
        let stranger = Keypair::new_from_array([77; 32]);
        let mut forged = vote(&leader(), &leader(), 3);
        forged.signatures[0] = Default::default();
        // The authorized voter's vote, paid by whomever; one of nobody's; a forged one; no vote at all; the first again.
        let sent = [
            vote(&stranger, &leader(), 2),
            vote(&stranger, &stranger, 4),
            forged,
            transfer(),
            vote(&stranger, &leader(), 2),
        ];
        for transaction in &sent {
            let bytes = wincode::serialize(transaction).expect("bytes");
            world.shared.writers.vote_packets.offer(Packet { from: ([127, 0, 0, 1], 9).into(), bytes });
        }
        settle(&mut stage);
        let Some(VoteInput::SeenVotes(seen)) = voter.pop() else { panic!("no vote was seen") };
        assert_eq!(seen.iter().map(|(account, block)| (*account, block.slot)).collect::<Vec<_>>(), [(VOTE, 2)]);
        let taken: Vec<_> = std::iter::from_fn(|| transactions.pop()).collect();
        assert_eq!(taken.len(), 2, "whether it may vote is the vote program's matter");
        assert!(taken.iter().all(|taken| taken.is_vote));
        assert_eq!(world.count("vote_port_repeated"), 1);
        assert_eq!(world.count("vote_port_refused"), 2);
        assert_eq!(world.shared.views.cluster_tip.load(std::sync::atomic::Ordering::Relaxed), 2);
    }

    #[test]
    fn an_owner_is_told_of_votes_that_it_did_not_release() {
        let (world, readers, _ledger) = world();
        let Readers { tpu_packets, vote_packets, role, .. } = readers;
        let mut stage = TpuStage::new(world.shared.clone(), tpu_packets, vote_packets);
        let views = &world.shared.views;
        let mut arrives = |transaction: &VersionedTransaction| {
            let bytes = wincode::serialize(transaction).expect("bytes");
            world.shared.writers.vote_packets.offer(Packet { from: ([127, 0, 0, 1], 9).into(), bytes });
            settle(&mut stage);
            match role.pop() {
                Some(RoleInput::Event(Event::VoteElsewhere { slot, voter_stopped: false })) => Some(slot),
                Some(_) => panic!("nothing else is told"),
                None => None,
            }
        };
        let stranger = Keypair::new_from_array([77; 32]);
        assert_eq!(arrives(&vote(&leader(), &leader(), 2)), None, "a standby sees the owner's votes all the time");
        views.vault.hold_identity(leader());
        views.vault.unlock(tandem_types::Term(1));
        let ours = vote(&leader(), &leader(), 3);
        views.own_votes.releases(3, ours.signatures[0]);
        assert_eq!(arrives(&ours), None);
        // The twin's vote for a slot that we voted for as well, signed with the same keys.
        assert_eq!(arrives(&vote(&stranger, &leader(), 3)), Some(3));
        assert_eq!(arrives(&vote(&stranger, &stranger, 4)), None, "nobody who may vote for us");
        assert_eq!(world.count("own_votes_elsewhere"), 1);
    }

    #[test]
    fn bytes_behind_a_transaction_and_bad_signatures_are_refused() {
        let (world, _, _) = world();
        let rules = world.root.transaction_rules();
        let mut bytes = wincode::serialize(&transfer()).expect("bytes");
        let opened = open_transaction(&bytes, rules).expect("a good one");
        assert!(!opened.is_vote && opened.transaction == transfer());
        bytes.push(0);
        assert!(open_transaction(&bytes, rules).is_none());
        bytes.pop();
        bytes[10] ^= 1;
        assert!(open_transaction(&bytes, rules).is_none());
        assert!(open_transaction(&[], rules).is_none());
    }

    #[test]
    fn what_was_seen_is_bounded() {
        let mut seen = Seen::new(8);
        for n in 0u32..100 {
            assert!(seen.is_new(&n.to_le_bytes()) && !seen.is_new(&n.to_le_bytes()));
            assert!(seen.newer.len() + seen.older.len() <= 8);
        }
    }
}
