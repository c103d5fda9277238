//! A vote as its transaction says it (solana-vote-interface 6, instruction.rs: TowerSync 14, TowerSyncSwitch 15, compact form).

use crate::bytes::Reader;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vote {
    pub vote_account: [u8; 32],
    pub slot: u64,
    pub hash: [u8; 32],
    /// (slot, confirmation count), oldest first.
    pub lockouts: Vec<(u64, u32)>,
    pub root: Option<u64>,
}

/// base58: Vote111111111111111111111111111111111111111
const VOTE_PROGRAM: [u8; 32] = [
    7, 97, 72, 29, 53, 116, 116, 187, 124, 77, 118, 36, 235, 211, 189, 179, 216, 53, 94, 115, 209, 16, 67, 252, 13,
    163, 83, 128, 0, 0, 0, 0,
];
const TOWER_SYNC: u32 = 14;
const TOWER_SYNC_SWITCH: u32 = 15;
/// Longest tower of the protocol (MAX_LOCKOUT_HISTORY).
const LOCKOUTS_MAX: usize = 31;

impl Vote {
    /// `None` when the transaction is not a vote this judge understands.
    pub fn from_transaction(transaction: &[u8]) -> Option<Vote> {
        let mut reader = Reader(transaction);
        let signatures = reader.length()?;
        reader.take(signatures.checked_mul(64)?)?;
        reader.take(3)?;
        let key_count = reader.length()?;
        let mut keys = Vec::new();
        for _ in 0..key_count {
            keys.push(reader.array::<32>()?);
        }
        reader.take(32)?;
        let instructions = reader.length()?;
        for _ in 0..instructions {
            let program = usize::from(reader.u8()?);
            let account_count = reader.length()?;
            let accounts = reader.take(account_count)?;
            let data_length = reader.length()?;
            let data = reader.take(data_length)?;
            if keys.get(program) == Some(&VOTE_PROGRAM) {
                let vote_account = *keys.get(usize::from(*accounts.first()?))?;
                return Self::from_instruction(vote_account, data);
            }
        }
        None
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
