//! The votes in a gossip datagram. Everything else in it is walked over (agave: gossip/src/{protocol,crds_data}.rs, v4.2).

use crate::{bytes::Reader, vote::Transaction};

/// What one datagram of gossip held.
pub struct Gossip<'a> {
    pub votes: Vec<Transaction<'a>>,
    /// False when a record was of a kind unknown here, so that what stood behind it could not be reached.
    pub whole: bool,
}

const PULL_RESPONSE: u32 = 1;
const PUSH: u32 = 2;

/// `None` when the datagram is no pull response and no push.
pub fn read(datagram: &[u8]) -> Option<Gossip<'_>> {
    let mut reader = Reader(datagram);
    if !matches!(reader.u32()?, PULL_RESPONSE | PUSH) {
        return None;
    }
    reader.take(32)?;
    let count = reader.count()?;
    let mut gossip = Gossip { votes: Vec::new(), whole: true };
    for _ in 0..count {
        if record(&mut reader, &mut gossip.votes).is_none() {
            gossip.whole = false;
            break;
        }
    }
    Some(gossip)
}

fn record<'a>(reader: &mut Reader<'a>, votes: &mut Vec<Transaction<'a>>) -> Option<()> {
    reader.take(64)?;
    match reader.u32()? {
        1 => {
            reader.take(1 + 32)?;
            votes.push(Transaction::read(reader)?);
            reader.take(8)?;
        }
        2 => {
            // Index, origin, root, lowest slot; slots and stash are retired and empty; time.
            reader.take(1 + 32 + 8 + 8 + 8 + 8 + 8)?;
        }
        5 => {
            reader.take(1 + 32)?;
            for _ in 0..reader.count()? {
                let kind = reader.u32()?;
                reader.take(8 + 8)?;
                match kind {
                    0 => skip_bytes(reader)?,
                    1 => skip_bits(reader)?,
                    _ => return None,
                }
            }
            reader.take(8)?;
        }
        9 => {
            reader.take(2 + 32 + 8 + 8 + 4 + 1 + 1 + 1)?;
            skip_bytes(reader)?;
        }
        10 => {
            reader.take(32 + 8 + 32)?;
            let incremental = reader.count()?;
            reader.take(incremental.checked_mul(40)?)?;
            reader.take(8)?;
        }
        11 => contact_info(reader)?,
        12 => {
            reader.take(32 + 8)?;
            match reader.u32()? {
                0 => {
                    for _ in 0..reader.count()? {
                        reader.varint()?;
                    }
                }
                1 => skip_bits(reader)?,
                _ => return None,
            }
            reader.take(8 + 32 + 2)?;
        }
        13 => {
            reader.take(32 + 8 + 8 + 32 + 8 + 2)?;
        }
        _ => return None,
    }
    Some(())
}

fn skip_bytes(reader: &mut Reader<'_>) -> Option<()> {
    let count = reader.count()?;
    reader.take(count).map(drop)
}

/// A bit vector: maybe bytes, then how many bits.
fn skip_bits(reader: &mut Reader<'_>) -> Option<()> {
    if reader.u8()? == 1 {
        skip_bytes(reader)?;
    }
    reader.take(8).map(drop)
}

fn contact_info(reader: &mut Reader<'_>) -> Option<()> {
    reader.take(32)?;
    reader.varint()?;
    reader.take(8 + 2)?;
    // Major, minor, patch; commit and feature set; client.
    for _ in 0..3 {
        reader.varint()?;
    }
    reader.take(4 + 4)?;
    reader.varint()?;
    for _ in 0..reader.length()? {
        let octets = if reader.u32()? == 0 { 4 } else { 16 };
        reader.take(octets)?;
    }
    for _ in 0..reader.length()? {
        reader.take(2)?;
        reader.varint()?;
    }
    for _ in 0..reader.length()? {
        reader.u8()?;
        let bytes = reader.length()?;
        reader.take(bytes)?;
    }
    Some(())
}
