//! The votes that landed in a block: entry batches put together from data shreds, entries and transactions walked over.

use {
    crate::{bytes::Reader, shred::ShredView, vote::Transaction},
    std::collections::BTreeMap,
};

/// Data shreds of one slot, as far as they were seen.
#[derive(Default)]
pub struct BlockReader {
    /// index -> (entry bytes, whether a batch ends here)
    pieces: BTreeMap<u32, (Vec<u8>, bool)>,
}

impl BlockReader {
    pub fn add(&mut self, shred: &ShredView<'_>) {
        if shred.is_data {
            self.pieces.entry(shred.index).or_insert_with(|| (shred.entries.to_vec(), shred.ends_batch));
        }
    }

    /// Hands each transaction to `take`, with the index of the first shred of its batch. Returns how many batches had a
    /// hole, or held something that could not be read to its end.
    pub fn transactions(&self, mut take: impl FnMut(u32, &Transaction<'_>)) -> u64 {
        let mut unread = 0;
        let (mut batch, mut start, mut next, mut whole) = (Vec::new(), 0, 0, true);
        for (index, (bytes, ends)) in &self.pieces {
            whole &= *index == next;
            next = index + 1;
            batch.extend_from_slice(bytes);
            if *ends {
                if !whole || read_batch(&batch, start, &mut take).is_none() {
                    unread += 1;
                }
                batch.clear();
                (start, whole) = (next, true);
            }
        }
        unread + u64::from(!batch.is_empty())
    }
}

/// An entry batch: a count, then for each entry the number of hashes, the hash, and its transactions.
fn read_batch(bytes: &[u8], start: u32, take: &mut impl FnMut(u32, &Transaction<'_>)) -> Option<()> {
    let mut reader = Reader(bytes);
    for _ in 0..reader.count()? {
        reader.take(8 + 32)?;
        for _ in 0..reader.count()? {
            take(start, &Transaction::read(&mut reader)?);
        }
    }
    Some(())
}
