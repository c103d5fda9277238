//! Which transactions the last 300 rooted slots processed (solana-runtime-4.2.2/src/serde_snapshot/status_cache.rs).
//!
//! ```text
//! slots u64, each: slot u64 | rooted u8 | blockhashes u64, each: blockhash 32 | where the key slices begin u64 | keys u64, each: slice 20 | result
//! ```
//! Results are passed over: that the transaction was processed is all that a block needs to know.

use {
    std::{
        collections::BTreeSet,
        io::{self, BufRead},
    },
    tandem_bank::RestoredStatuses,
    tandem_types::Hash,
};

/// Reads the member `snapshots/status_cache` to its end.
pub(crate) fn read(mut file: impl BufRead) -> io::Result<RestoredStatuses> {
    let slots_count = u64_from(&mut file)?;
    if slots_count > SLOTS_MAX {
        return Err(invalid(format!("{slots_count} slots, more than {SLOTS_MAX}")));
    }
    let mut slots = BTreeSet::new();
    let mut statuses = RestoredStatuses::default();
    for _ in 0..slots_count {
        let slot = u64_from(&mut file)?;
        if array::<1>(&mut file)? != [1] {
            return Err(invalid(format!("slot {slot}, which is not rooted")));
        }
        if !slots.insert(slot) {
            return Err(invalid(format!("slot {slot} twice")));
        }
        for _ in 0..u64_from(&mut file)? {
            let blockhash = Hash::new_from_array(array(&mut file)?);
            // A slice must lie within a message hash, or it could never be compared with one.
            let begin = u64_from(&mut file)?;
            let begin = usize::try_from(begin).ok().filter(|begin| *begin <= SLICE_BEGIN_MAX);
            let begin = begin.ok_or_else(|| invalid(format!("a key slice of slot {slot} out of bounds")))?;
            for _ in 0..u64_from(&mut file)? {
                statuses.insert(slot, blockhash, begin, array(&mut file)?);
                skip_result(&mut file)?;
            }
        }
    }
    if !file.fill_buf()?.is_empty() {
        return Err(invalid("bytes behind its end".into()));
    }
    statuses.set_roots(slots);
    Ok(statuses)
}

/// `Result<(), SerdeTransactionError>`.
fn skip_result(file: &mut impl BufRead) -> io::Result<()> {
    match u32_from(file)? {
        0 => return Ok(()),
        1 => {}
        other => return Err(invalid(format!("a result of kind {other}"))),
    }
    match u32_from(file)? {
        INSTRUCTION_ERROR => {
            let _instruction: [u8; 1] = array(file)?;
            match u32_from(file)? {
                CUSTOM => array::<4>(file).map(drop),
                BORSH_IO_ERROR => {
                    let bytes = u64_from(file)?;
                    let copied = io::copy(&mut io::Read::take(file, bytes), &mut io::sink())?;
                    if copied == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
                }
                kind if kind <= INSTRUCTION_ERROR_KIND_MAX => Ok(()),
                other => Err(invalid(format!("an instruction error of kind {other}"))),
            }
        }
        DUPLICATE_INSTRUCTION | INSUFFICIENT_FUNDS_FOR_RENT | PROGRAM_RESTRICTED => array::<1>(file).map(drop),
        kind if kind <= TRANSACTION_ERROR_KIND_MAX => Ok(()),
        other => Err(invalid(format!("a transaction error of kind {other}"))),
    }
}

fn array<const N: usize>(file: &mut impl BufRead) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn u32_from(file: &mut impl BufRead) -> io::Result<u32> {
    array(file).map(u32::from_le_bytes)
}

fn u64_from(file: &mut impl BufRead) -> io::Result<u64> {
    array(file).map(u64::from_le_bytes)
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// status_cache.rs: MAX_ROOT_ENTRIES.
const SLOTS_MAX: u64 = 300;
/// A hash is 32 bytes, a slice of it 20.
const SLICE_BEGIN_MAX: usize = 12;

// The places of variants in `SerdeTransactionError` and `SerdeInstructionError`: those that carry something, and the last.
const INSTRUCTION_ERROR: u32 = 8;
const DUPLICATE_INSTRUCTION: u32 = 30;
const INSUFFICIENT_FUNDS_FOR_RENT: u32 = 31;
const PROGRAM_RESTRICTED: u32 = 35;
const TRANSACTION_ERROR_KIND_MAX: u32 = 38;
const CUSTOM: u32 = 25;
const BORSH_IO_ERROR: u32 = 44;
const INSTRUCTION_ERROR_KIND_MAX: u32 = 53;

#[cfg(test)]
mod tests {
    use super::*;

    fn member(results: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(7u64.to_le_bytes());
        bytes.push(1);
        bytes.extend(1u64.to_le_bytes());
        bytes.extend([3; 32]);
        bytes.extend(5u64.to_le_bytes());
        bytes.extend((results.len() as u64).to_le_bytes());
        for (index, result) in results.iter().enumerate() {
            bytes.extend([index as u8; 20]);
            bytes.extend(*result);
        }
        bytes
    }

    const OK: &[u8] = &[0, 0, 0, 0];
    const CUSTOM_6: &[u8] = &[1, 0, 0, 0, 8, 0, 0, 0, 2, 25, 0, 0, 0, 6, 0, 0, 0];
    const BORSH: &[u8] = &[1, 0, 0, 0, 8, 0, 0, 0, 2, 44, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'x'];
    const RENT: &[u8] = &[1, 0, 0, 0, 31, 0, 0, 0, 9];
    const BLOCKHASH: &[u8] = &[1, 0, 0, 0, 7, 0, 0, 0];

    #[test]
    fn results_of_all_shapes_are_passed_over() {
        let statuses = read(&member(&[OK, CUSTOM_6, BORSH, RENT, BLOCKHASH, OK])[..]).unwrap();
        assert_eq!(statuses.len(), 6);
    }

    #[test]
    fn nonsense_is_an_error() {
        let unknown: &[u8] = &[1, 0, 0, 0, 39, 0, 0, 0];
        assert!(read(&member(&[unknown])[..]).is_err());
        let mut begin = member(&[]);
        begin[57] = 13;
        assert!(read(&begin[..]).is_err());
        let whole = member(&[OK, CUSTOM_6]);
        assert!((0..whole.len()).all(|cut| read(&whole[..cut]).is_err()));
        assert!(read(&[&whole[..], &[0]].concat()[..]).is_err());
    }
}
