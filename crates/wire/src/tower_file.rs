//! Agave's tower file, `tower-1_9-<identity>.bin`: what an identity has voted, signed by it.
//! We read it to take an identity over from agave and write it to hand one back.

use {
    crate::{
        Reject,
        codec::{Reader, Writer},
    },
    std::collections::{BTreeMap, VecDeque},
    tandem_types::{Epoch, Hash, Pubkey, Signature, Slot, UnixTimestamp},
};

/// The file: data and the identity's signature over it (tower_storage.rs:SavedTowerVersions).
#[derive(Clone, PartialEq, Debug)]
pub struct SavedTowerFile {
    version: u32,
    pub signature: Signature,
    /// The exact bytes that were signed.
    data: Vec<u8>,
    pub tower: SavedTower,
}

/// tower1_14_11.rs:Tower1_14_11, the fields that are written.
#[derive(Clone, PartialEq, Debug)]
pub struct SavedTower {
    pub node_pubkey: Pubkey,
    pub threshold_depth: u64,
    pub threshold_size: f64,
    pub vote_state: TowerVoteState,
    pub last_vote: LastVote,
    pub last_timestamp: BlockTimestamp,
}

/// vote_state_1_14_11.rs:VoteState1_14_11. In a tower only votes and root are alive; the rest is kept as found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TowerVoteState {
    pub node_pubkey: Pubkey,
    pub authorized_withdrawer: Pubkey,
    pub commission: u8,
    pub votes: VecDeque<(Slot, u32)>,
    pub root: Option<Slot>,
    pub authorized_voters: BTreeMap<Epoch, Pubkey>,
    pub prior_voters: PriorVoters,
    /// (epoch, credits, credits before).
    pub epoch_credits: Vec<(Epoch, u64, u64)>,
    pub last_timestamp: BlockTimestamp,
}

/// state/mod.rs:CircBuf of (voter, first epoch, end epoch).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PriorVoters {
    pub entries: [(Pubkey, Epoch, Epoch); PRIOR_VOTERS],
    pub index: u64,
    pub is_empty: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BlockTimestamp {
    pub slot: Slot,
    pub timestamp: UnixTimestamp,
}

/// vote_transaction.rs:VoteTransaction. Agave 4.2.2 writes `TowerSync` only; files of older versions have the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LastVote {
    Vote { slots: Vec<Slot>, hash: Hash, timestamp: Option<UnixTimestamp> },
    VoteStateUpdate(LastUpdate),
    CompactVoteStateUpdate(LastUpdate),
    TowerSync { update: LastUpdate, block_id: Hash },
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LastUpdate {
    pub lockouts: Vec<(Slot, u32)>,
    pub root: Option<Slot>,
    pub hash: Hash,
    pub timestamp: Option<UnixTimestamp>,
}

/// The file's name for an identity (tower_storage.rs:FileTowerStorage::filename).
pub fn file_name(identity: &Pubkey) -> String {
    format!("tower-1_9-{identity}.bin")
}

impl SavedTowerFile {
    pub fn signed(tower: SavedTower, sign: impl FnOnce(&[u8]) -> Signature) -> Self {
        let data = tower.signable_bytes();
        Self { version: CURRENT, signature: sign(&data), data, tower }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Reject> {
        let mut input = Reader::new(bytes, "tower file");
        let version = input.u32()?;
        if version > CURRENT {
            return Err(Reject::Tag("tower file", version));
        }
        let signature = input.signature()?;
        let count = input.count(1)?;
        let data = input.take(count)?.to_vec();
        input.finish()?;
        let tower = SavedTower::decode_data(&data, version == CURRENT)?;
        Ok(Self { version, signature, data, tower })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.data.len() + 80);
        out.u32(self.version).bytes(self.signature.as_ref()).count(self.data.len()).bytes(&self.data);
        out.0
    }

    /// Whether the tower is this identity's and signed by it.
    pub fn verify(&self, identity: &Pubkey) -> Result<(), Reject> {
        if !self.signature.verify(identity.as_ref(), &self.data) {
            return Err(Reject::Signature);
        }
        if self.tower.node_pubkey != *identity {
            return Err(Reject::Inconsistent("tower file: identity"));
        }
        Ok(())
    }
}

impl SavedTower {
    /// A tower with votes, root and last vote; everything else as agave writes it for a fresh tower.
    pub fn new(node_pubkey: Pubkey, votes: VecDeque<(Slot, u32)>, root: Option<Slot>, last_vote: LastVote) -> Self {
        Self {
            node_pubkey,
            threshold_depth: 8,
            threshold_size: 2.0 / 3.0,
            vote_state: TowerVoteState { votes, root, ..TowerVoteState::default() },
            last_vote,
            last_timestamp: BlockTimestamp::default(),
        }
    }

    pub fn signable_bytes(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(2_600);
        out.bytes(self.node_pubkey.as_ref()).u64(self.threshold_depth).bytes(&self.threshold_size.to_le_bytes());
        self.vote_state.write(&mut out);
        self.last_vote.write(&mut out);
        self.last_timestamp.write(&mut out);
        out.0
    }

    fn decode_data(data: &[u8], current: bool) -> Result<Self, Reject> {
        let mut input = Reader::new(data, "tower");
        let (node_pubkey, threshold_depth) = (input.pubkey()?, input.u64()?);
        let threshold_size = f64::from_le_bytes(input.array()?);
        let vote_state = TowerVoteState::read(&mut input)?;
        // Version 0 (tower1_7_14.rs) has a bare `Vote` where version 1 has the enum.
        let last_vote = if current { LastVote::read(&mut input)? } else { LastVote::read_vote(&mut input)? };
        let last_timestamp = BlockTimestamp::read(&mut input)?;
        input.finish()?;
        Ok(Self { node_pubkey, threshold_depth, threshold_size, vote_state, last_vote, last_timestamp })
    }
}

impl TowerVoteState {
    fn read(input: &mut Reader) -> Result<Self, Reject> {
        let (node_pubkey, authorized_withdrawer, commission) = (input.pubkey()?, input.pubkey()?, input.u8()?);
        let votes = (0..input.count(12)?).map(|_| Ok((input.u64()?, input.u32()?))).collect::<Result<_, _>>()?;
        let root = input.option(Reader::u64)?;
        let voters = (0..input.count(40)?).map(|_| Ok((input.u64()?, input.pubkey()?)));
        let authorized_voters = voters.collect::<Result<_, Reject>>()?;
        let mut entries = [(Pubkey::default(), 0, 0); PRIOR_VOTERS];
        for entry in &mut entries {
            *entry = (input.pubkey()?, input.u64()?, input.u64()?);
        }
        let prior_voters = PriorVoters { entries, index: input.u64()?, is_empty: input.some()? };
        let credits = (0..input.count(24)?).map(|_| Ok((input.u64()?, input.u64()?, input.u64()?)));
        Ok(Self {
            node_pubkey,
            authorized_withdrawer,
            commission,
            votes,
            root,
            authorized_voters,
            prior_voters,
            epoch_credits: credits.collect::<Result<_, Reject>>()?,
            last_timestamp: BlockTimestamp::read(input)?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.bytes(self.node_pubkey.as_ref()).bytes(self.authorized_withdrawer.as_ref()).u8(self.commission);
        out.count(self.votes.len());
        self.votes.iter().for_each(|(slot, count)| _ = out.u64(*slot).u32(*count));
        out.option(self.root, |out, root| _ = out.u64(root)).count(self.authorized_voters.len());
        self.authorized_voters.iter().for_each(|(epoch, voter)| _ = out.u64(*epoch).bytes(voter.as_ref()));
        for (voter, first, end) in &self.prior_voters.entries {
            out.bytes(voter.as_ref()).u64(*first).u64(*end);
        }
        out.u64(self.prior_voters.index).u8(u8::from(self.prior_voters.is_empty)).count(self.epoch_credits.len());
        self.epoch_credits.iter().for_each(|(epoch, now, before)| _ = out.u64(*epoch).u64(*now).u64(*before));
        self.last_timestamp.write(out);
    }
}

impl Default for PriorVoters {
    fn default() -> Self {
        let entries = [(Pubkey::default(), 0, 0); PRIOR_VOTERS];
        Self { entries, index: PRIOR_VOTERS as u64 - 1, is_empty: true }
    }
}

impl BlockTimestamp {
    fn read(input: &mut Reader) -> Result<Self, Reject> {
        Ok(Self { slot: input.u64()?, timestamp: input.i64()? })
    }

    fn write(&self, out: &mut Writer) {
        out.u64(self.slot).i64(self.timestamp);
    }
}

impl LastVote {
    pub fn last_slot(&self) -> Option<Slot> {
        match self {
            Self::Vote { slots, .. } => slots.last().copied(),
            Self::VoteStateUpdate(update) | Self::CompactVoteStateUpdate(update) | Self::TowerSync { update, .. } => {
                update.lockouts.last().map(|(slot, _)| *slot)
            }
        }
    }

    pub fn hash(&self) -> Hash {
        match self {
            Self::Vote { hash, .. } => *hash,
            Self::VoteStateUpdate(update) | Self::CompactVoteStateUpdate(update) | Self::TowerSync { update, .. } => {
                update.hash
            }
        }
    }

    fn read(input: &mut Reader) -> Result<Self, Reject> {
        match input.u32()? {
            0 => Self::read_vote(input),
            1 => {
                let lockouts = (0..input.count(12)?).map(|_| Ok((input.u64()?, input.u32()?)));
                let lockouts = lockouts.collect::<Result<_, Reject>>()?;
                let (root, hash) = (input.option(Reader::u64)?, input.hash()?);
                Ok(Self::VoteStateUpdate(LastUpdate { lockouts, root, hash, timestamp: input.option(Reader::i64)? }))
            }
            2 => LastUpdate::read_compact(input).map(Self::CompactVoteStateUpdate),
            3 => Ok(Self::TowerSync { update: LastUpdate::read_compact(input)?, block_id: input.hash()? }),
            tag => Err(Reject::Tag("last vote", tag)),
        }
    }

    fn read_vote(input: &mut Reader) -> Result<Self, Reject> {
        let slots = (0..input.count(8)?).map(|_| input.u64()).collect::<Result<_, _>>()?;
        Ok(Self::Vote { slots, hash: input.hash()?, timestamp: input.option(Reader::i64)? })
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Vote { slots, hash, timestamp } => {
                out.u32(0).count(slots.len());
                slots.iter().for_each(|slot| _ = out.u64(*slot));
                out.bytes(hash.as_ref()).option(*timestamp, |out, at| _ = out.i64(at));
            }
            Self::VoteStateUpdate(update) => {
                out.u32(1).count(update.lockouts.len());
                update.lockouts.iter().for_each(|(slot, count)| _ = out.u64(*slot).u32(*count));
                out.option(update.root, |out, root| _ = out.u64(root)).bytes(update.hash.as_ref());
                out.option(update.timestamp, |out, at| _ = out.i64(at));
            }
            Self::CompactVoteStateUpdate(update) => update.write_compact(out.u32(2)),
            Self::TowerSync { update, block_id } => {
                update.write_compact(out.u32(3));
                out.bytes(block_id.as_ref());
            }
        }
    }
}

impl LastUpdate {
    /// state/mod.rs:compact: root or u64::MAX, slots as distances, counts as bytes.
    fn read_compact(input: &mut Reader) -> Result<Self, Reject> {
        let root = Some(input.u64()?).filter(|root| *root != Slot::MAX);
        let mut slot = root.unwrap_or(0);
        let mut lockouts = Vec::new();
        for _ in 0..input.short_count(2)? {
            slot = slot.checked_add(input.varint_u64()?).ok_or(Reject::OutOfBounds("last vote: slot"))?;
            lockouts.push((slot, u32::from(input.u8()?)));
        }
        Ok(Self { lockouts, root, hash: input.hash()?, timestamp: input.option(Reader::i64)? })
    }

    fn write_compact(&self, out: &mut Writer) {
        out.u64(self.root.unwrap_or(Slot::MAX)).short_count(self.lockouts.len());
        let mut last = self.root.unwrap_or(0);
        for (slot, count) in &self.lockouts {
            let distance = slot.checked_sub(last).expect("invariant: a tower's slots ascend from its root");
            out.varint_u64(distance).u8(u8::try_from(*count).expect("invariant: at most 31 confirmations"));
            last = *slot;
        }
        out.bytes(self.hash.as_ref()).option(self.timestamp, |out, at| _ = out.i64(at));
    }
}

/// SavedTowerVersions' tag of the form written today; 0 is the form before agave 1.14.
const CURRENT: u32 = 1;
const PRIOR_VOTERS: usize = 32;

#[cfg(test)]
mod tests {
    use {
        super::*,
        proptest::prelude::*,
        serde::{Deserialize, Serialize},
        solana_vote_interface::{
            authorized_voters::AuthorizedVoters,
            state as sdk,
            state::{Lockout, VoteState1_14_11},
        },
        tandem_types::{Keypair, Signer},
    };

    /// Agave's types, rebuilt on the SDK's own serde: the oracle for every byte.
    #[derive(Serialize, Deserialize)]
    enum OracleVersions {
        V1_17_14(()),
        Current(Signature, Vec<u8>),
    }

    #[derive(Serialize, Deserialize)]
    struct OracleTower {
        node_pubkey: Pubkey,
        threshold_depth: usize,
        threshold_size: f64,
        vote_state: VoteState1_14_11,
        last_vote: OracleVote,
        last_timestamp: sdk::BlockTimestamp,
    }

    #[derive(Serialize, Deserialize)]
    enum OracleVote {
        Vote(sdk::Vote),
        VoteStateUpdate(sdk::VoteStateUpdate),
        #[serde(with = "sdk::serde_compact_vote_state_update")]
        CompactVoteStateUpdate(sdk::VoteStateUpdate),
        #[serde(with = "sdk::serde_tower_sync")]
        TowerSync(sdk::TowerSync),
    }

    const LOCKOUTS: [(Slot, u32); 3] = [(1_000, 3), (1_200, 2), (1_201, 1)];

    fn sdk_lockouts() -> VecDeque<Lockout> {
        LOCKOUTS.iter().map(|(slot, count)| Lockout::new_with_confirmation_count(*slot, *count)).collect()
    }

    fn oracle(identity: Pubkey, last_vote: OracleVote) -> OracleTower {
        let mut vote_state = VoteState1_14_11 {
            node_pubkey: Pubkey::new_unique(),
            authorized_withdrawer: Pubkey::new_unique(),
            commission: 7,
            votes: sdk_lockouts(),
            root_slot: Some(900),
            authorized_voters: AuthorizedVoters::new(3, Pubkey::new_unique()),
            epoch_credits: vec![(1, 2, 3)],
            last_timestamp: sdk::BlockTimestamp { slot: 5, timestamp: -6 },
            ..VoteState1_14_11::default()
        };
        vote_state.prior_voters.append((Pubkey::new_unique(), 1, 2));
        let last_timestamp = sdk::BlockTimestamp { slot: 1_201, timestamp: 1_700_000_000 };
        OracleTower {
            node_pubkey: identity,
            threshold_depth: 8,
            threshold_size: 2.0 / 3.0,
            vote_state,
            last_vote,
            last_timestamp,
        }
    }

    fn oracle_votes() -> Vec<OracleVote> {
        let hash = Hash::new_unique();
        let vote = sdk::Vote { slots: vec![1, 2], hash, timestamp: Some(3) };
        let update = sdk::VoteStateUpdate { lockouts: sdk_lockouts(), root: Some(900), hash, timestamp: None };
        let sync = crate::vote_tx::tower_sync(&LOCKOUTS, None, hash, Some(9), Hash::new_unique());
        vec![
            OracleVote::Vote(vote),
            OracleVote::VoteStateUpdate(update.clone()),
            OracleVote::CompactVoteStateUpdate(update),
            OracleVote::TowerSync(sync),
        ]
    }

    #[test]
    fn agaves_files_are_read_and_written_byte_for_byte() {
        for last_vote in oracle_votes() {
            let identity = Keypair::new();
            let data = bincode::serialize(&oracle(identity.pubkey(), last_vote)).unwrap();
            let signature = identity.sign_message(&data);
            let bytes = bincode::serialize(&OracleVersions::Current(signature, data.clone())).unwrap();
            let file = SavedTowerFile::decode(&bytes).unwrap();
            assert_eq!(file.verify(&identity.pubkey()), Ok(()));
            assert_eq!(file.tower.signable_bytes(), data);
            assert_eq!(file.encode(), bytes);
            assert_eq!(file.tower.vote_state.votes, LOCKOUTS);
            assert_eq!(file.tower.vote_state.root, Some(900));
        }
    }

    #[test]
    fn what_we_write_the_sdk_reads() {
        let identity = Keypair::new();
        let update =
            LastUpdate { lockouts: LOCKOUTS.to_vec(), root: Some(900), hash: Hash::new_unique(), timestamp: Some(4) };
        let last_vote = LastVote::TowerSync { update, block_id: Hash::new_unique() };
        let tower = SavedTower::new(identity.pubkey(), LOCKOUTS.into(), Some(900), last_vote.clone());
        let file = SavedTowerFile::signed(tower, |bytes| identity.sign_message(bytes));
        let Ok(OracleVersions::Current(_, data)) = bincode::deserialize(&file.encode()) else { panic!("not current") };
        let read: OracleTower = bincode::deserialize(&data).unwrap();
        assert_eq!(read.vote_state.votes, sdk_lockouts());
        assert_eq!((read.threshold_depth, read.vote_state.prior_voters.last()), (8, None));
        let OracleVote::TowerSync(sync) = read.last_vote else { panic!("not a tower sync") };
        assert_eq!(
            (sync.root, sync.hash, sync.last_voted_slot()),
            (Some(900), last_vote.hash(), last_vote.last_slot())
        );
    }

    #[test]
    fn the_form_before_1_14_is_read() {
        let identity = Keypair::new();
        let OracleVote::Vote(vote) = oracle_votes().remove(0) else { unreachable!() };
        let oracle = oracle(identity.pubkey(), OracleVote::Vote(vote.clone()));
        // The old form lacks the enum's tag.
        let old = (oracle.node_pubkey, 8u64, 0.5f64, oracle.vote_state, vote, oracle.last_timestamp);
        let data = bincode::serialize(&old).unwrap();
        let mut out = Writer::default();
        out.u32(0).bytes(identity.sign_message(&data).as_ref()).count(data.len()).bytes(&data);
        let file = SavedTowerFile::decode(&out.0).unwrap();
        assert_eq!(file.verify(&identity.pubkey()), Ok(()));
        assert_eq!(file.tower.last_vote.last_slot(), Some(2));
        assert_eq!(file.encode(), out.0);
    }

    #[test]
    fn foreign_and_damaged_files_are_refused() {
        let (identity, other) = (Keypair::new(), Keypair::new());
        let data = bincode::serialize(&oracle(other.pubkey(), oracle_votes().remove(3))).unwrap();
        let bytes = bincode::serialize(&OracleVersions::Current(identity.sign_message(&data), data)).unwrap();
        let file = SavedTowerFile::decode(&bytes).unwrap();
        assert_eq!(file.verify(&identity.pubkey()), Err(Reject::Inconsistent("tower file: identity")));
        assert_eq!(file.verify(&other.pubkey()), Err(Reject::Signature));
        for cut in 0..bytes.len() {
            assert!(SavedTowerFile::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(tag in 0u32..3, bytes in proptest::collection::vec(any::<u8>(), 0..3_000)) {
            let mut out = Writer::default();
            out.u32(tag).bytes(&[0; 64]).count(bytes.len()).bytes(&bytes);
            let _ = SavedTowerFile::decode(&out.0);
            let _ = SavedTowerFile::decode(&bytes);
        }

        #[test]
        fn changed_bytes_never_panic(at: u16, byte: u8, kind in 0usize..4) {
            let mut data = bincode::serialize(&oracle(Pubkey::new_unique(), oracle_votes().remove(kind))).unwrap();
            let at = usize::from(at) % data.len();
            data[at] = byte;
            let _ = SavedTower::decode_data(&data, true);
        }
    }
}
