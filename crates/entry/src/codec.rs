//! Bytes of one block component <-> entries.

use {
    crate::entry::Entry,
    wincode::{SchemaRead, containers, len::BincodeLen},
};

/// Agave's bound on what one length prefix may allocate: all the shreds a slot can have, a packet each
/// (entry/src/entry.rs:MAX_DATA_SHREDS_SIZE). The same bound must be used for the same blocks to be refused.
const ALLOCATION_BYTES_MAX: usize = 32_768 * 1232;
pub(crate) type VecLen = BincodeLen<ALLOCATION_BYTES_MAX>;

/// An entry without transactions: hash count, hash, transaction count.
pub const ENTRY_BYTES_MIN: usize = 8 + 32 + 8;

const COUNT_BYTES: usize = 8;

/// Why a component's bytes are not entries. Each of them makes the block dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    #[error("component of {0} bytes has no entry count")]
    NoCount(usize),
    /// Eight zero bytes: the leader gave the block up (agave: BlockAborted).
    #[error("the leader aborted the block")]
    Aborted,
    /// Alpenglow's header, footer and so on; a Tower BFT block must not hold one.
    #[error("component is a block marker")]
    Marker,
    #[error("component claims {claimed} entries in {bytes} bytes")]
    Count { claimed: u64, bytes: usize },
    #[error("component's entries are malformed")]
    Malformed,
}

#[derive(Debug, thiserror::Error)]
#[error("entry {index} has no wire form: {reason}")]
pub struct EncodeError {
    pub index: usize,
    pub reason: String,
}

/// Bytes after the last entry are ignored: agave decodes a component with `wincode::deserialize`, which does not look
/// at them (ledger/src/blockstore.rs:get_slot_components_in_block), so a block that has some is valid to the cluster
/// and must be to us.
pub fn decode_entries(component: &[u8]) -> Result<Vec<Entry>, DecodeError> {
    let Some((count, rest)) = component.split_first_chunk::<COUNT_BYTES>() else {
        return Err(DecodeError::NoCount(component.len()));
    };
    match (u64::from_le_bytes(*count), rest.len()) {
        (0, 0) => Err(DecodeError::Aborted),
        (0, _) => Err(DecodeError::Marker),
        // Checked first so that a lie about the count allocates nothing.
        (claimed, bytes) if claimed > (bytes / ENTRY_BYTES_MIN) as u64 => Err(DecodeError::Count { claimed, bytes }),
        _ => wincode::deserialize::<Batch>(component).map(|batch| batch.entries).map_err(|_| DecodeError::Malformed),
    }
}

/// The bytes of one component. No entries encode to the eight zero bytes that say "aborted".
pub fn encode_entries(entries: &[Entry]) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::with_capacity(COUNT_BYTES + entries.len() * ENTRY_BYTES_MIN);
    bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    for (index, entry) in entries.iter().enumerate() {
        wincode::serialize_into(&mut bytes, entry).map_err(|error| EncodeError { index, reason: error.to_string() })?;
    }
    Ok(bytes)
}

/// Size of an entry inside a component, without building the bytes.
pub fn encoded_size(entry: &Entry) -> Result<u64, EncodeError> {
    wincode::serialized_size(entry).map_err(|error| EncodeError { index: 0, reason: error.to_string() })
}

#[derive(SchemaRead)]
struct Batch {
    #[wincode(with = "containers::Vec<Entry, VecLen>")]
    entries: Vec<Entry>,
}

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::testing::{transfer, v0_transfer, v1_transfer},
        proptest::prelude::*,
        tandem_types::Hash,
    };

    fn entry(transactions: Vec<tandem_types::VersionedTransaction>) -> Entry {
        Entry::after(&Hash::new_from_array([7; 32]), 3, transactions)
    }

    #[test]
    fn a_tick_is_count_hash_count() {
        let tick = Entry { num_hashes: 5, hash: Hash::new_from_array([9; 32]), transactions: vec![] };
        let bytes = encode_entries(std::slice::from_ref(&tick)).unwrap();
        let mut expected = 1u64.to_le_bytes().to_vec();
        expected.extend(5u64.to_le_bytes());
        expected.extend([9; 32]);
        expected.extend(0u64.to_le_bytes());
        assert_eq!(bytes, expected);
        assert_eq!(encoded_size(&tick).unwrap(), ENTRY_BYTES_MIN as u64);
        assert_eq!(decode_entries(&bytes), Ok(vec![tick]));
    }

    #[test]
    fn all_transaction_versions_round_trip() {
        let entries =
            vec![entry(vec![]), entry(vec![transfer(1), v0_transfer(2)]), entry(vec![v1_transfer(3)]), entry(vec![])];
        let bytes = encode_entries(&entries).unwrap();
        assert_eq!(decode_entries(&bytes), Ok(entries));
    }

    #[test]
    fn bytes_after_the_entries_are_ignored_as_agave_ignores_them() {
        let entries = vec![entry(vec![transfer(1)])];
        let mut bytes = encode_entries(&entries).unwrap();
        bytes.extend([0xff; 17]);
        assert_eq!(decode_entries(&bytes), Ok(entries));
    }

    #[test]
    fn zero_count_is_abort_or_marker() {
        assert_eq!(decode_entries(&encode_entries(&[]).unwrap()), Err(DecodeError::Aborted));
        assert_eq!(decode_entries(&[0; 9]), Err(DecodeError::Marker));
        assert_eq!(decode_entries(&[0; 7]), Err(DecodeError::NoCount(7)));
    }

    #[test]
    fn a_lie_about_the_count_allocates_nothing() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend([0; 100]);
        assert_eq!(decode_entries(&bytes), Err(DecodeError::Count { claimed: u64::MAX, bytes: 100 }));
        let mut inner = encode_entries(&[entry(vec![])]).unwrap();
        let at = inner.len() - 8;
        inner[at..].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(decode_entries(&inner), Err(DecodeError::Malformed));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode_entries(&bytes);
        }

        #[test]
        fn damaged_batches_never_panic(at in 0usize..1000, value in any::<u8>(), cut in 0usize..1000) {
            let mut bytes = encode_entries(&[entry(vec![transfer(1), v0_transfer(2), v1_transfer(3)])]).unwrap();
            let len = bytes.len();
            bytes[at % len] = value;
            bytes.truncate(len - cut % len);
            if let Ok(entries) = decode_entries(&bytes) {
                let again = encode_entries(&entries).unwrap();
                prop_assert_eq!(decode_entries(&again), Ok(entries));
            }
        }
    }
}
