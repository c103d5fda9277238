//! The bytes of a vote account, of every version there has been, read into one form.

use {
    solana_vote_interface::state::{BLS_PUBLIC_KEY_COMPRESSED_SIZE, BlockTimestamp},
    tandem_types::{Epoch, Pubkey, Slot},
};

/// Which layout the account has. The number is the tag in its first four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VoteStateVersion {
    /// Found in old genesis files only; the runtime treats such an account as no vote account at all.
    V0_23_5 = 0,
    V1_14_11 = 1,
    V3 = 2,
    V4 = 3,
}

/// One vote of the tower in the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LandedVote {
    pub slot: Slot,
    pub confirmation_count: u32,
    /// Slots between the vote's slot and the block it landed in; 0 where the layout does not record it.
    pub latency: u8,
}

/// Credits of one epoch: the total at its end and at its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochCredits {
    pub epoch: Epoch,
    pub credits: u64,
    pub previous: u64,
}

/// A vote account's content, whatever layout it was stored in.
#[derive(Clone, PartialEq, Debug)]
pub struct VoteState {
    pub version: VoteStateVersion,
    pub node: Pubkey,
    pub authorized_withdrawer: Pubkey,
    /// Who gets the commission on inflation rewards; `None` before V4, where it is the vote account.
    pub inflation_rewards_collector: Option<Pubkey>,
    /// Who gets fees of blocks; `None` before V4, where it is the node.
    pub block_revenue_collector: Option<Pubkey>,
    /// In basis points. Layouts before V4 store percent: 255 percent is possible, so this can exceed 10,000.
    pub inflation_rewards_commission_bps: u16,
    pub block_revenue_commission_bps: u16,
    pub pending_delegator_rewards: u64,
    pub bls_pubkey: Option<[u8; BLS_PUBLIC_KEY_COMPRESSED_SIZE]>,
    /// Oldest first.
    pub votes: Vec<LandedVote>,
    pub root: Option<Slot>,
    /// Ascending by the epoch from which the key may vote.
    pub authorized_voters: Vec<(Epoch, Pubkey)>,
    pub epoch_credits: Vec<EpochCredits>,
    pub last_timestamp: BlockTimestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VoteLayoutError {
    #[error("the data ends before the vote state does")]
    TooShort,
    #[error("version tag {0} is not one of 0..=3")]
    UnknownVersion(u32),
    #[error("a list has {0} items, more than the 255 a vote account can have")]
    ListTooLong(u64),
    #[error("an option has tag {0} instead of 0 or 1")]
    BadOption(u8),
}

impl VoteState {
    /// Reads the account's data. Bytes after the vote state are ignored, as agave's view ignores them.
    pub fn parse(data: &[u8]) -> Result<Self, VoteLayoutError> {
        let mut reader = Reader { rest: data };
        match reader.u32()? {
            0 => parse_v0_23_5(&mut reader),
            1 => parse_percent(&mut reader, VoteStateVersion::V1_14_11),
            2 => parse_percent(&mut reader, VoteStateVersion::V3),
            3 => parse_v4(&mut reader),
            tag => Err(VoteLayoutError::UnknownVersion(tag)),
        }
    }

    /// Who may vote in `epoch`: the key of the latest epoch that is not after it.
    pub fn authorized_voter(&self, epoch: Epoch) -> Option<&Pubkey> {
        self.authorized_voters.iter().rev().find(|(from, _)| *from <= epoch).map(|(_, voter)| voter)
    }

    /// All credits ever earned.
    pub fn credits(&self) -> u64 {
        self.epoch_credits.last().map_or(0, |entry| entry.credits)
    }

    pub fn last_voted_slot(&self) -> Option<Slot> {
        self.votes.last().map(|vote| vote.slot)
    }

    /// The commission as the percentage that layouts before V4 had.
    pub fn commission_percent(&self) -> u8 {
        u8::try_from(self.inflation_rewards_commission_bps / 100).unwrap_or(u8::MAX)
    }
}

fn parse_v4(reader: &mut Reader<'_>) -> Result<VoteState, VoteLayoutError> {
    Ok(VoteState {
        version: VoteStateVersion::V4,
        node: reader.pubkey()?,
        authorized_withdrawer: reader.pubkey()?,
        inflation_rewards_collector: Some(reader.pubkey()?),
        block_revenue_collector: Some(reader.pubkey()?),
        inflation_rewards_commission_bps: reader.u16()?,
        block_revenue_commission_bps: reader.u16()?,
        pending_delegator_rewards: reader.u64()?,
        bls_pubkey: reader.option(|reader| reader.array())?,
        votes: reader.list(Reader::landed_vote)?,
        root: reader.option(Reader::u64)?,
        authorized_voters: reader.list(Reader::authorized_voter)?,
        epoch_credits: reader.list(Reader::epoch_credits)?,
        last_timestamp: reader.timestamp()?,
    })
}

/// V1_14_11 and V3: they differ in whether a vote carries its latency.
fn parse_percent(reader: &mut Reader<'_>, version: VoteStateVersion) -> Result<VoteState, VoteLayoutError> {
    let node = reader.pubkey()?;
    let authorized_withdrawer = reader.pubkey()?;
    let commission = reader.u8()?;
    let votes = match version {
        VoteStateVersion::V3 | VoteStateVersion::V4 => reader.list(Reader::landed_vote)?,
        VoteStateVersion::V0_23_5 | VoteStateVersion::V1_14_11 => reader.list(Reader::lockout)?,
    };
    let root = reader.option(Reader::u64)?;
    let authorized_voters = reader.list(Reader::authorized_voter)?;
    reader.skip(PRIOR_VOTERS_BYTES)?;
    let epoch_credits = reader.list(Reader::epoch_credits)?;
    let last_timestamp = reader.timestamp()?;
    Ok(VoteState {
        version,
        node,
        authorized_withdrawer,
        inflation_rewards_collector: None,
        block_revenue_collector: None,
        inflation_rewards_commission_bps: u16::from(commission) * 100,
        block_revenue_commission_bps: 10_000,
        pending_delegator_rewards: 0,
        bls_pubkey: None,
        votes,
        root,
        authorized_voters,
        epoch_credits,
        last_timestamp,
    })
}

/// One authorized voter, with the epoch it was set in, and prior voters of four fields.
fn parse_v0_23_5(reader: &mut Reader<'_>) -> Result<VoteState, VoteLayoutError> {
    let node = reader.pubkey()?;
    let voter = reader.pubkey()?;
    let voter_epoch = reader.u64()?;
    reader.skip(PRIOR_VOTERS_0_23_5_BYTES)?;
    let authorized_withdrawer = reader.pubkey()?;
    let commission = reader.u8()?;
    Ok(VoteState {
        version: VoteStateVersion::V0_23_5,
        node,
        authorized_withdrawer,
        inflation_rewards_collector: None,
        block_revenue_collector: None,
        inflation_rewards_commission_bps: u16::from(commission) * 100,
        block_revenue_commission_bps: 10_000,
        pending_delegator_rewards: 0,
        bls_pubkey: None,
        votes: reader.list(Reader::lockout)?,
        root: reader.option(Reader::u64)?,
        authorized_voters: vec![(voter_epoch, voter)],
        epoch_credits: reader.list(Reader::epoch_credits)?,
        last_timestamp: reader.timestamp()?,
    })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], VoteLayoutError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(VoteLayoutError::TooShort)?;
        self.rest = rest;
        Ok(*head)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), VoteLayoutError> {
        self.rest = self.rest.get(bytes..).ok_or(VoteLayoutError::TooShort)?;
        Ok(())
    }

    fn u8(&mut self) -> Result<u8, VoteLayoutError> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, VoteLayoutError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, VoteLayoutError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, VoteLayoutError> {
        self.array().map(u64::from_le_bytes)
    }

    fn pubkey(&mut self) -> Result<Pubkey, VoteLayoutError> {
        self.array().map(Pubkey::new_from_array)
    }

    fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, VoteLayoutError>,
    ) -> Result<Option<T>, VoteLayoutError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            tag => Err(VoteLayoutError::BadOption(tag)),
        }
    }

    fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, VoteLayoutError>,
    ) -> Result<Vec<T>, VoteLayoutError> {
        let len = self.u64()?;
        // Agave's view keeps the length in a byte (vote_state_view/field_frames.rs), so longer lists are no vote state.
        let len = u8::try_from(len).map_err(|_| VoteLayoutError::ListTooLong(len))?;
        (0..len).map(|_| read(self)).collect()
    }

    fn landed_vote(&mut self) -> Result<LandedVote, VoteLayoutError> {
        let latency = self.u8()?;
        Ok(LandedVote { latency, ..self.lockout()? })
    }

    fn lockout(&mut self) -> Result<LandedVote, VoteLayoutError> {
        Ok(LandedVote { slot: self.u64()?, confirmation_count: self.u32()?, latency: 0 })
    }

    fn authorized_voter(&mut self) -> Result<(Epoch, Pubkey), VoteLayoutError> {
        Ok((self.u64()?, self.pubkey()?))
    }

    fn epoch_credits(&mut self) -> Result<EpochCredits, VoteLayoutError> {
        Ok(EpochCredits { epoch: self.u64()?, credits: self.u64()?, previous: self.u64()? })
    }

    fn timestamp(&mut self) -> Result<BlockTimestamp, VoteLayoutError> {
        Ok(BlockTimestamp { slot: self.u64()?, timestamp: self.array().map(i64::from_le_bytes)? })
    }
}

/// 32 x (key, epoch, epoch), the index and the "is empty" byte.
const PRIOR_VOTERS_BYTES: usize = 32 * (32 + 8 + 8) + 8 + 1;
/// 32 x (key, epoch, epoch, slot) and the index.
const PRIOR_VOTERS_0_23_5_BYTES: usize = 32 * (32 + 8 + 8 + 8) + 8;

#[cfg(test)]
mod tests;
