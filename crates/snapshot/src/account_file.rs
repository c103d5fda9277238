//! The accounts that one slot wrote, one record behind the other (solana-accounts-db-4.2.2/src/append_vec.rs, meta.rs).
//!
//! ```text
//! write version u64 | data bytes u64 | key 32 | lamports u64 | rent epoch u64 | owner 32 | executable u8 | 7 pad | hash 32 | data | pad to 8
//! ```
//! The write version and the hash are remains of older versions and mean nothing.

use {
    solana_account::AccountSharedData,
    std::{
        io::{self, Read},
        sync::Arc,
    },
    tandem_types::Pubkey,
};

/// Reads records to the end of `file` and hands over each. An account without lamports is a deletion.
pub(crate) fn read(
    mut file: impl Read,
    mut visit: impl FnMut(Pubkey, AccountSharedData) -> io::Result<()>,
) -> io::Result<()> {
    let mut head = [0; HEAD_BYTES];
    while read_head(&mut file, &mut head)? {
        let record = Head::parse(&head)?;
        // The file may be longer than what was written to it; the rest is zero.
        if record.lamports == 0 && record.key == Pubkey::default() {
            io::copy(&mut file, &mut io::sink())?;
            return Ok(());
        }
        let mut data = vec![0; record.data_bytes];
        file.read_exact(&mut data)?;
        let account = AccountSharedData::create_from_existing_shared_data(
            record.lamports,
            Arc::new(data),
            record.owner,
            record.executable,
            record.rent_epoch,
        );
        visit(record.key, account)?;
        let pad = record.data_bytes.next_multiple_of(ALIGNMENT) - record.data_bytes;
        // The last record's padding may be left out.
        io::copy(&mut (&mut file).take(pad as u64), &mut io::sink())?;
    }
    Ok(())
}

struct Head {
    key: Pubkey,
    lamports: u64,
    rent_epoch: u64,
    owner: Pubkey,
    executable: bool,
    data_bytes: usize,
}

impl Head {
    fn parse(head: &[u8; HEAD_BYTES]) -> io::Result<Self> {
        let number = |at: usize| u64::from_le_bytes(*head[at..].first_chunk().expect("invariant: within the head"));
        let key = |at: usize| Pubkey::new_from_array(*head[at..].first_chunk().expect("invariant: within the head"));
        let data_bytes = usize::try_from(number(8)).ok().filter(|bytes| *bytes <= DATA_BYTES_MAX);
        let executable = match head[96] {
            0 => false,
            1 => true,
            other => return Err(invalid(format!("an executable flag of {other}"))),
        };
        Ok(Self {
            key: key(16),
            lamports: number(48),
            rent_epoch: number(56),
            owner: key(64),
            executable,
            data_bytes: data_bytes.ok_or_else(|| invalid(format!("an account of {} bytes", number(8))))?,
        })
    }
}

/// `false` at the end of the file. What is left of a file may be shorter than a record if it is zero.
fn read_head(file: &mut impl Read, head: &mut [u8; HEAD_BYTES]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < HEAD_BYTES {
        match file.read(&mut head[filled..]) {
            Ok(0) if head[..filled].iter().all(|byte| *byte == 0) => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const HEAD_BYTES: usize = 136;
const ALIGNMENT: usize = 8;
/// solana_system_interface::MAX_PERMITTED_DATA_LENGTH.
const DATA_BYTES_MAX: usize = 10 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use {super::*, solana_account::ReadableAccount};

    fn record(key: u8, lamports: u64, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_BYTES];
        bytes[8..16].copy_from_slice(&(data.len() as u64).to_le_bytes());
        bytes[16..48].fill(key);
        bytes[48..56].copy_from_slice(&lamports.to_le_bytes());
        bytes[56..64].copy_from_slice(&u64::MAX.to_le_bytes());
        bytes[64..96].fill(9);
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    fn read_all(bytes: &[u8]) -> io::Result<Vec<(u8, u64, Vec<u8>)>> {
        let mut all = Vec::new();
        read(bytes, |key, account| {
            all.push((key.to_bytes()[0], account.lamports(), account.data().to_vec()));
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn records_follow_each_other() {
        let mut bytes = [record(1, 5, b"abc"), record(2, 0, b""), record(3, 7, b"12345678")].concat();
        let wanted = [(1, 5, b"abc".to_vec()), (2, 0, vec![]), (3, 7, b"12345678".to_vec())];
        assert_eq!(read_all(&bytes).unwrap(), wanted);
        bytes.extend_from_slice(&[0; 500]);
        assert_eq!(read_all(&bytes).unwrap(), wanted, "zeros behind the last record");
    }

    #[test]
    fn the_last_padding_may_be_missing() {
        let mut bytes = record(1, 5, b"abc");
        bytes.truncate(HEAD_BYTES + 3);
        assert_eq!(read_all(&bytes).unwrap().len(), 1);
    }

    #[test]
    fn nonsense_is_an_error() {
        let cut = |bytes: usize| record(1, 5, b"abcdefgh")[..bytes].to_vec();
        let mut huge = record(1, 5, b"");
        huge[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        let mut flag = record(1, 5, b"");
        flag[96] = 2;
        for bytes in [cut(40), cut(HEAD_BYTES), cut(HEAD_BYTES + 7), huge, flag] {
            assert!(read_all(&bytes).is_err());
        }
    }
}
