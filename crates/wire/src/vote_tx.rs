//! Vote transactions: making the instruction, and reading what others vote.

use {
    crate::{
        Reject,
        codec::{Reader, Writer},
    },
    bincode::Options,
    solana_instruction::Instruction,
    solana_message::{Message, MessageHeader, VersionedMessage, compiled_instruction::CompiledInstruction},
    solana_vote_interface::{
        instruction::{self, VoteInstruction},
        state::{Lockout, TowerSync, VoteStateUpdate},
    },
    tandem_types::{Hash, PACKET_BYTES_MAX, Pubkey, Slot, UnixTimestamp, VersionedTransaction},
};

/// A vote transaction, whatever form its instruction has. Signatures and authority are not checked here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParsedVote {
    pub vote_account: Pubkey,
    /// The account that has to sign as voter, as the transaction names it.
    pub authorized_voter: Pubkey,
    pub form: VoteForm,
    /// Slots ascending, each with its confirmation count.
    pub lockouts: Vec<(Slot, u32)>,
    pub root: Option<Slot>,
    /// Bank hash of the last slot.
    pub hash: Hash,
    pub timestamp: Option<UnixTimestamp>,
    /// Block id of the last slot; only tower syncs carry one.
    pub block_id: Option<Hash>,
    /// Whether the vote claims a switch of forks.
    pub switch: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VoteForm {
    TowerSync,
    /// Retired on chain; agave still gossips what it can parse.
    Legacy,
}

impl ParsedVote {
    /// The first instruction must be a vote (vote_parser.rs:parse_vote_transaction).
    pub fn of(transaction: &VersionedTransaction) -> Result<Self, Reject> {
        let keys = transaction.message.static_account_keys();
        let first = transaction.message.instructions().first().ok_or(Reject::NotAVote)?;
        let program = keys.get(usize::from(first.program_id_index)).ok_or(Reject::NotAVote)?;
        if *program != solana_vote_interface::program::ID {
            return Err(Reject::NotAVote);
        }
        let account = |at: usize| first.accounts.get(at).and_then(|index| keys.get(usize::from(*index))).copied();
        let vote_account = account(0).ok_or(Reject::NotAVote)?;
        let (vote, voter_at) = VoteParts::of_instruction(&first.data)?;
        let authorized_voter = account(voter_at).or_else(|| keys.first().copied()).ok_or(Reject::NotAVote)?;
        let VoteParts { form, lockouts, root, hash, timestamp, block_id, switch } = vote;
        Ok(Self { vote_account, authorized_voter, form, lockouts, root, hash, timestamp, block_id, switch })
    }

    pub fn last_slot(&self) -> Option<Slot> {
        self.lockouts.last().map(|(slot, _)| *slot)
    }
}

/// The vote instruction of our own voter. With `switch_proof` it claims a fork switch.
pub fn tower_sync_instruction(
    vote_account: &Pubkey,
    authorized_voter: &Pubkey,
    tower_sync: TowerSync,
    switch_proof: Option<Hash>,
) -> Instruction {
    match switch_proof {
        None => instruction::tower_sync(vote_account, authorized_voter, tower_sync),
        Some(proof) => instruction::tower_sync_switch(vote_account, authorized_voter, tower_sync, proof),
    }
}

/// A tower sync from plain numbers; lockouts ascending.
pub fn tower_sync(
    lockouts: &[(Slot, u32)],
    root: Option<Slot>,
    hash: Hash,
    timestamp: Option<UnixTimestamp>,
    block_id: Hash,
) -> TowerSync {
    let lockout = |(slot, count): &(Slot, u32)| Lockout::new_with_confirmation_count(*slot, *count);
    TowerSync { lockouts: lockouts.iter().map(lockout).collect(), root, hash, timestamp, block_id }
}

struct VoteParts {
    form: VoteForm,
    lockouts: Vec<(Slot, u32)>,
    root: Option<Slot>,
    hash: Hash,
    timestamp: Option<UnixTimestamp>,
    block_id: Option<Hash>,
    switch: bool,
}

impl VoteParts {
    /// Also the place of the voter among the instruction's accounts: `Vote` has two sysvars before it.
    fn of_instruction(data: &[u8]) -> Result<(Self, usize), Reject> {
        // Trailing bytes are allowed, as in agave's limited_deserialize.
        let options =
            bincode::options().with_limit(PACKET_BYTES_MAX as u64).with_fixint_encoding().allow_trailing_bytes();
        match options.deserialize(data).map_err(|_| Reject::NotAVote)? {
            VoteInstruction::Vote(vote) => Ok((Self::of_slots(vote, false), 3)),
            VoteInstruction::VoteSwitch(vote, _) => Ok((Self::of_slots(vote, true), 3)),
            VoteInstruction::UpdateVoteState(update) | VoteInstruction::CompactUpdateVoteState(update) => {
                Ok((Self::of_update(update, false), 1))
            }
            VoteInstruction::UpdateVoteStateSwitch(update, _)
            | VoteInstruction::CompactUpdateVoteStateSwitch(update, _) => Ok((Self::of_update(update, true), 1)),
            VoteInstruction::TowerSync(sync) => Ok((Self::of_tower_sync(sync, false), 1)),
            VoteInstruction::TowerSyncSwitch(sync, _) => Ok((Self::of_tower_sync(sync, true), 1)),
            _ => Err(Reject::NotAVote),
        }
    }

    /// A stack of bare slots: each has as many confirmations as there are votes from it on.
    fn of_slots(vote: solana_vote_interface::state::Vote, switch: bool) -> Self {
        let count = vote.slots.len();
        let lockouts = vote.slots.iter().enumerate().map(|(at, slot)| (*slot, (count - at) as u32)).collect();
        let (hash, timestamp) = (vote.hash, vote.timestamp);
        Self { form: VoteForm::Legacy, lockouts, root: None, hash, timestamp, block_id: None, switch }
    }

    fn of_update(update: VoteStateUpdate, switch: bool) -> Self {
        Self {
            form: VoteForm::Legacy,
            lockouts: plain(update.lockouts.iter()),
            root: update.root,
            hash: update.hash,
            timestamp: update.timestamp,
            block_id: None,
            switch,
        }
    }

    fn of_tower_sync(sync: TowerSync, switch: bool) -> Self {
        Self {
            form: VoteForm::TowerSync,
            lockouts: plain(sync.lockouts.iter()),
            root: sync.root,
            hash: sync.hash,
            timestamp: sync.timestamp,
            block_id: Some(sync.block_id),
            switch,
        }
    }
}

fn plain<'a>(lockouts: impl Iterator<Item = &'a Lockout>) -> Vec<(Slot, u32)> {
    lockouts.map(|lockout| (lockout.slot(), lockout.confirmation_count())).collect()
}

pub(crate) fn is_legacy(transaction: &VersionedTransaction) -> bool {
    matches!(transaction.message, VersionedMessage::Legacy(_))
}

/// A legacy transaction, sanitized. Gossip carries no other (crds_data.rs:Vote holds a `Transaction`).
pub(crate) fn read_legacy(input: &mut Reader) -> Result<VersionedTransaction, Reject> {
    let signatures = (0..input.short_count(64)?).map(|_| input.signature()).collect::<Result<_, _>>()?;
    let [num_required_signatures, num_readonly_signed_accounts, num_readonly_unsigned_accounts] = input.array()?;
    let header =
        MessageHeader { num_required_signatures, num_readonly_signed_accounts, num_readonly_unsigned_accounts };
    let account_keys = (0..input.short_count(32)?).map(|_| input.pubkey()).collect::<Result<_, _>>()?;
    let recent_blockhash = input.hash()?;
    let instructions = (0..input.short_count(3)?).map(|_| read_instruction(input)).collect::<Result<_, _>>()?;
    let message = VersionedMessage::Legacy(Message { header, account_keys, recent_blockhash, instructions });
    let transaction = VersionedTransaction { signatures, message };
    transaction.sanitize().map_err(|_| Reject::Inconsistent("transaction"))?;
    Ok(transaction)
}

pub(crate) fn write_legacy(transaction: &VersionedTransaction, out: &mut Writer) {
    let VersionedMessage::Legacy(message) = &transaction.message else {
        panic!("invariant: only legacy transactions are put in gossip records (Vote::new)");
    };
    out.short_count(transaction.signatures.len());
    transaction.signatures.iter().for_each(|signature| _ = out.bytes(signature.as_ref()));
    let header = &message.header;
    out.u8(header.num_required_signatures).u8(header.num_readonly_signed_accounts);
    out.u8(header.num_readonly_unsigned_accounts).short_count(message.account_keys.len());
    message.account_keys.iter().for_each(|key| _ = out.bytes(key.as_ref()));
    out.bytes(message.recent_blockhash.as_ref()).short_count(message.instructions.len());
    for instruction in &message.instructions {
        out.u8(instruction.program_id_index).short_count(instruction.accounts.len()).bytes(&instruction.accounts);
        out.short_count(instruction.data.len()).bytes(&instruction.data);
    }
}

fn read_instruction(input: &mut Reader) -> Result<CompiledInstruction, Reject> {
    let program_id_index = input.u8()?;
    let mut bytes = || {
        let count = input.short_count(1)?;
        input.take(count).map(<[u8]>::to_vec)
    };
    Ok(CompiledInstruction { program_id_index, accounts: bytes()?, data: bytes()? })
}

#[cfg(test)]
mod tests {
    use {
        super::*,
        proptest::prelude::*,
        tandem_types::{Keypair, Signer},
    };

    fn transaction(instruction: Instruction, payer: &Keypair) -> VersionedTransaction {
        let message = Message::new_with_blockhash(&[instruction], Some(&payer.pubkey()), &Hash::new_unique());
        VersionedTransaction::try_new(VersionedMessage::Legacy(message), &[payer]).unwrap()
    }

    fn sample(switch: Option<Hash>) -> (VersionedTransaction, Pubkey, Keypair) {
        let (payer, vote_account) = (Keypair::new(), Pubkey::new_unique());
        let sync = tower_sync(&[(5, 3), (7, 2), (8, 1)], Some(4), Hash::new_unique(), Some(99), Hash::new_unique());
        let instruction = tower_sync_instruction(&vote_account, &payer.pubkey(), sync, switch);
        (transaction(instruction, &payer), vote_account, payer)
    }

    #[test]
    fn tower_syncs_are_read() {
        for switch in [None, Some(Hash::default())] {
            let (transaction, vote_account, payer) = sample(switch);
            let vote = ParsedVote::of(&transaction).unwrap();
            assert_eq!((vote.vote_account, vote.authorized_voter), (vote_account, payer.pubkey()));
            assert_eq!(vote.lockouts, [(5, 3), (7, 2), (8, 1)]);
            assert_eq!((vote.root, vote.timestamp, vote.switch), (Some(4), Some(99), switch.is_some()));
            assert_eq!((vote.form, vote.last_slot()), (VoteForm::TowerSync, Some(8)));
            assert!(vote.block_id.is_some());
        }
    }

    /// protocol.md 7.5: tag 14, root, short_vec of offsets, hash, timestamp, block id.
    #[test]
    fn instruction_layout() {
        let sync =
            tower_sync(&[(300, 2), (500, 1)], None, Hash::new_from_array([1; 32]), None, Hash::new_from_array([2; 32]));
        let instruction = tower_sync_instruction(&Pubkey::new_unique(), &Pubkey::new_unique(), sync, None);
        let mut expected = vec![14, 0, 0, 0];
        expected.extend([0xff; 8]);
        expected.extend([2, 0xac, 2, 2, 0xc8, 1, 1]);
        expected.extend([1; 32]);
        expected.push(0);
        expected.extend([2; 32]);
        assert_eq!(instruction.data, expected);
        assert_eq!(instruction.accounts.len(), 2);
    }

    #[test]
    fn retired_forms_are_read() {
        let (payer, vote_account) = (Keypair::new(), Pubkey::new_unique());
        let vote = solana_vote_interface::state::Vote::new(vec![1, 2, 5], Hash::new_unique());
        let parsed =
            ParsedVote::of(&transaction(instruction::vote(&vote_account, &payer.pubkey(), vote), &payer)).unwrap();
        assert_eq!(parsed.lockouts, [(1, 3), (2, 2), (5, 1)]);
        assert_eq!((parsed.form, parsed.block_id, parsed.authorized_voter), (VoteForm::Legacy, None, payer.pubkey()));
    }

    #[test]
    fn other_transactions_are_not_votes() {
        let (payer, vote_account) = (Keypair::new(), Pubkey::new_unique());
        let withdraw = instruction::withdraw(&vote_account, &payer.pubkey(), 1, &payer.pubkey());
        assert_eq!(ParsedVote::of(&transaction(withdraw, &payer)), Err(Reject::NotAVote));
        let mut foreign = sample(None).0;
        let VersionedMessage::Legacy(message) = &mut foreign.message else { unreachable!() };
        let program = usize::from(message.instructions[0].program_id_index);
        message.account_keys[program] = Pubkey::new_unique();
        assert_eq!(ParsedVote::of(&foreign), Err(Reject::NotAVote));
    }

    /// Our own reading and writing of legacy transactions agree with the SDK's.
    #[test]
    fn bytes_are_the_sdks() {
        let (transaction, _, _) = sample(None);
        let mut out = Writer::default();
        write_legacy(&transaction, &mut out);
        assert_eq!(out.0, bincode::serialize(&transaction).unwrap());
        assert_eq!(read_legacy(&mut Reader::new(&out.0, "vote")), Ok(transaction));
    }

    #[test]
    fn unsound_transactions_are_refused() {
        let (mut transaction, _, _) = sample(None);
        let VersionedMessage::Legacy(message) = &mut transaction.message else { unreachable!() };
        message.instructions[0].accounts[0] = 200;
        let mut out = Writer::default();
        write_legacy(&transaction, &mut out);
        assert_eq!(read_legacy(&mut Reader::new(&out.0, "vote")), Err(Reject::Inconsistent("transaction")));
    }

    proptest! {
        #[test]
        fn changed_bytes_never_panic(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
            let mut out = Writer::default();
            write_legacy(&sample(None).0, &mut out);
            for (at, byte) in changes {
                let at = usize::from(at) % out.0.len();
                out.0[at] = byte;
            }
            if let Ok(transaction) = read_legacy(&mut Reader::new(&out.0, "vote")) {
                let _ = ParsedVote::of(&transaction);
            }
        }
    }
}
