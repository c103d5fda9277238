//! A vote as its transaction says it (solana-vote-interface 6, instruction.rs: TowerSync 14, TowerSyncSwitch 15, compact form).

use {crate::bytes::Reader, solana_signature::Signature};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vote {
    pub vote_account: [u8; 32],
    pub slot: u64,
    pub hash: [u8; 32],
    /// (slot, confirmation count), oldest first.
    pub lockouts: Vec<(u64, u32)>,
    pub root: Option<u64>,
}

/// What a transaction has to do with voting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    Vote(Vote),
    /// A vote in a form that this judge cannot read.
    StrangeVote,
    NoVote,
}

/// A transaction cut out of the bytes it stood in.
pub struct Transaction<'a> {
    pub content: Content,
    signatures: &'a [u8],
    message: &'a [u8],
    /// As many as there are signatures, in their order.
    signers: Vec<[u8; 32]>,
}

/// base58: Vote111111111111111111111111111111111111111
const VOTE_PROGRAM: [u8; 32] = [
    7, 97, 72, 29, 53, 116, 116, 187, 124, 77, 118, 36, 235, 211, 189, 179, 216, 53, 94, 115, 209, 16, 67, 252, 13,
    163, 83, 128, 0, 0, 0, 0,
];
const TOWER_SYNC: u32 = 14;
const TOWER_SYNC_SWITCH: u32 = 15;
/// Vote, VoteSwitch, and the forms of UpdateVoteState: votes of older clients.
const OLDER_VOTES: [u32; 6] = [2, 6, 8, 9, 12, 13];
/// Longest tower of the protocol (MAX_LOCKOUT_HISTORY).
const LOCKOUTS_MAX: usize = 31;
/// A message that begins with this bit set has a version; without it the byte counts the signatures.
const VERSIONED: u8 = 0x80;

impl Vote {
    /// `None` when the transaction is not a vote this judge understands.
    pub fn from_transaction(transaction: &[u8]) -> Option<Vote> {
        match Transaction::read(&mut Reader(transaction))?.content {
            Content::Vote(vote) => Some(vote),
            Content::StrangeVote | Content::NoVote => None,
        }
    }

    fn from_instruction(vote_account: [u8; 32], data: &[u8]) -> Option<Vote> {
        let mut reader = Reader(data);
        if !matches!(reader.u32()?, TOWER_SYNC | TOWER_SYNC_SWITCH) {
            return None;
        }
        let root = Some(reader.u64()?).filter(|root| *root != u64::MAX);
        let count = reader.length()?;
        if count == 0 || count > LOCKOUTS_MAX {
            return None;
        }
        let mut slot = root.unwrap_or(0);
        let mut lockouts = Vec::new();
        for _ in 0..count {
            slot = slot.checked_add(reader.varint()?)?;
            lockouts.push((slot, u32::from(reader.u8()?)));
        }
        Some(Vote { vote_account, slot, hash: reader.array()?, lockouts, root })
    }
}

impl<'a> Transaction<'a> {
    /// Takes one transaction (a legacy message or version 0) off the front. `None`: it is neither, or is cut off.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let signature_count = reader.length()?;
        let signatures = reader.take(signature_count.checked_mul(64)?)?;
        let start = reader.0;
        let versioned = match *reader.0.first()? {
            first if first & VERSIONED == 0 => false,
            first if first == VERSIONED => {
                reader.take(1)?;
                true
            }
            _ => return None,
        };
        reader.take(3)?;
        let key_count = reader.length()?;
        let mut keys = Vec::new();
        for _ in 0..key_count {
            keys.push(reader.array::<32>()?);
        }
        reader.take(32)?;
        let mut content = Content::NoVote;
        for _ in 0..reader.length()? {
            let program = usize::from(reader.u8()?);
            let account_count = reader.length()?;
            let accounts = reader.take(account_count)?;
            let data_length = reader.length()?;
            let data = reader.take(data_length)?;
            if content == Content::NoVote && keys.get(program) == Some(&VOTE_PROGRAM) {
                content = content_of(&keys, accounts, data);
            }
        }
        if versioned {
            for _ in 0..reader.length()? {
                reader.take(32)?;
                for _ in 0..2 {
                    let indexes = reader.length()?;
                    reader.take(indexes)?;
                }
            }
        }
        let message = &start[..start.len() - reader.0.len()];
        let signers = keys.get(..signature_count)?.to_vec();
        Some(Self { content, signatures, message, signers })
    }

    /// Whether each signer signed, and one of `wanted` (if anybody) is among them.
    pub fn is_signed_by(&self, wanted: &[[u8; 32]]) -> bool {
        !self.signers.is_empty()
            && (wanted.is_empty() || self.signers.iter().any(|signer| wanted.contains(signer)))
            && self.signatures.chunks_exact(64).zip(&self.signers).all(|(signature, signer)| {
                Signature::try_from(signature).is_ok_and(|signature| signature.verify(signer, self.message))
            })
    }
}

fn content_of(keys: &[[u8; 32]], accounts: &[u8], data: &[u8]) -> Content {
    let account = accounts.first().and_then(|index| keys.get(usize::from(*index)));
    if let Some(vote) = account.and_then(|account| Vote::from_instruction(*account, data)) {
        return Content::Vote(vote);
    }
    match Reader(data).u32() {
        Some(TOWER_SYNC | TOWER_SYNC_SWITCH) => Content::StrangeVote,
        Some(kind) if OLDER_VOTES.contains(&kind) => Content::StrangeVote,
        _ => Content::NoVote,
    }
}
