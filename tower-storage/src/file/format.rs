//! The one file of the file store. All integers little-endian:
//!
//! ```text
//!   8  "TNDMTWR1"      8  store id     8  revision     4  number of entries
//!   each entry:  4 + n  key     8  revision of its last change     4 + n  value
//!   32  SHA-256 of everything before
//! ```

use {
    sha2::{Digest, Sha256},
    std::collections::BTreeMap,
    tandem_role::memory::Memory,
    thiserror::Error,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum FormatError {
    #[error("it does not begin as a tower store does")]
    Foreign,
    #[error("it is cut short at byte {0}")]
    Short(usize),
    #[error("its checksum does not fit its content")]
    Checksum,
    #[error("a key in it is no text")]
    Key,
    #[error("there are {0} bytes after its end")]
    Trailing(usize),
    #[error("an entry in it is newer than the store itself")]
    Revision,
}

pub fn encode(store: &Memory) -> Vec<u8> {
    let size = store.entries.iter().map(|(key, (value, _))| key.len() + value.len() + 16).sum::<usize>();
    let mut out = Vec::with_capacity(size + 60);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&store.store_id.to_le_bytes());
    out.extend_from_slice(&store.revision.to_le_bytes());
    push_length(&mut out, store.entries.len());
    for (key, (value, revision)) in &store.entries {
        push_bytes(&mut out, key.as_bytes());
        out.extend_from_slice(&revision.to_le_bytes());
        push_bytes(&mut out, value);
    }
    let digest = Sha256::digest(&out);
    out.extend_from_slice(&digest);
    out
}

pub fn decode(bytes: &[u8]) -> Result<Memory, FormatError> {
    if !bytes.starts_with(MAGIC) {
        return Err(FormatError::Foreign);
    }
    let end = bytes.len().checked_sub(DIGEST_BYTES).ok_or(FormatError::Short(bytes.len()))?;
    let (content, digest) = bytes.split_at(end);
    let mut input = Input { bytes: content, at: MAGIC.len() };
    if Sha256::digest(content).as_slice() != digest {
        return Err(FormatError::Checksum);
    }
    let store_id = input.u64()?;
    let revision = input.u64()?;
    let count = input.u32()?;
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let key = String::from_utf8(input.bytes()?.to_vec()).map_err(|_| FormatError::Key)?;
        let changed = input.u64()?;
        if changed == 0 || changed > revision {
            return Err(FormatError::Revision);
        }
        entries.insert(key, (input.bytes()?.to_vec(), changed));
    }
    match content.len() - input.at {
        0 => Ok(Memory { store_id, revision, entries }),
        left => Err(FormatError::Trailing(left)),
    }
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("invariant: keys and values are far below 4 GB");
    out.extend_from_slice(&length.to_le_bytes());
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(count).ok_or(FormatError::Short(self.at))?;
        let taken = self.bytes.get(self.at..end).ok_or(FormatError::Short(self.at))?;
        self.at = end;
        Ok(taken)
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        let mut word = [0; 8];
        word.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(word))
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        let mut word = [0; 4];
        word.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(word))
    }

    fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let count = self.u32()? as usize;
        self.take(count)
    }
}

const MAGIC: &[u8; 8] = b"TNDMTWR1";
const DIGEST_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use {super::*, proptest::prelude::*};

    fn store() -> Memory {
        let mut store = Memory::new(0x1234);
        store.revision = 9;
        store.entries.insert("/a/owner".into(), (b"{}".to_vec(), 3));
        store.entries.insert("/a/tower".into(), (vec![0; 300], 9));
        store
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        let bytes = encode(&store());
        assert_eq!(decode(&bytes), Ok(store()));
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode(&changed).is_err(), "changed at {at}");
        }
        assert_eq!(decode(b"something else entirely"), Err(FormatError::Foreign));
    }

    proptest! {
        #[test]
        fn round_trip(entries in proptest::collection::btree_map("[a-z/]{0,20}", (proptest::collection::vec(any::<u8>(), 0..50), 1u64..100), 0..8)) {
            let store = Memory { store_id: 7, revision: 100, entries };
            prop_assert_eq!(decode(&encode(&store)), Ok(store));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut with_magic = MAGIC.to_vec();
            with_magic.extend_from_slice(&bytes);
            prop_assert!(decode(&with_magic).is_err());
        }
    }
}
