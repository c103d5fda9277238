//! When recorded entries are cut into a batch for shredding.
//!
//! Waiting longer fills FEC sets better (a batch is padded to whole sets of 32 shreds); waiting at all costs latency. The
//! rules are agave's (turbine/src/broadcast_stage/broadcast_utils.rs: recv_slot_components, v4.2), so that blocks of both
//! look alike.

use {
    std::time::Duration,
    tandem_entry::{EncodeError, Entry, encoded_size},
    tandem_types::{Slot, Tick},
};

/// What is to be shredded together. An empty batch that ends the slot says "given up": receivers see the end and stop asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    pub slot: Slot,
    pub entries: Vec<Entry>,
    pub last_in_slot: bool,
    /// Ticks of this slot that had passed at the batch's end; the shreds carry it (6 bits, saturated).
    pub reference_tick: u8,
}

#[derive(Default)]
pub struct Coalescer {
    block: Option<Block>,
}

struct Block {
    slot: Slot,
    max_tick_height: u64,
    ticks_per_slot: u64,
    last_tick_height: u64,
    entries: Vec<Entry>,
    bytes: u64,
    bytes_max: u64,
    since: Tick,
}

impl Coalescer {
    /// A new block. One still open is closed as given up.
    pub fn begin(&mut self, slot: Slot, max_tick_height: u64, ticks_per_slot: u64, out: &mut Vec<Batch>) {
        self.abandon(out);
        self.block = Some(Block {
            slot,
            max_tick_height,
            ticks_per_slot,
            last_tick_height: max_tick_height.saturating_sub(ticks_per_slot),
            entries: Vec::new(),
            bytes: COUNT_BYTES,
            bytes_max: BATCH_BYTES_TARGET,
            since: Tick::ZERO,
        });
    }

    /// An entry of the block in production, and the tick height it was made at (for a tick: its own).
    pub fn push(&mut self, now: Tick, entry: Entry, tick_height: u64, out: &mut Vec<Batch>) -> Result<(), EncodeError> {
        let Some(block) = &mut self.block else { return Ok(()) };
        let bytes = encoded_size(&entry)?;
        if !block.entries.is_empty() && block.bytes + bytes > block.bytes_max {
            out.push(block.cut());
        }
        if block.entries.is_empty() {
            block.since = now;
            // A first entry larger than the target: build up to the next whole set instead of padding most of one.
            let whole_sets = (COUNT_BYTES + bytes).div_ceil(SET_BYTES).saturating_mul(SET_BYTES);
            block.bytes_max = whole_sets.max(BATCH_BYTES_TARGET);
        }
        block.bytes += bytes;
        block.last_tick_height = tick_height.min(block.max_tick_height);
        block.entries.push(entry);
        let unfilled = (SET_BYTES - block.bytes % SET_BYTES) % SET_BYTES;
        if block.last_tick_height >= block.max_tick_height
            || block.bytes >= block.bytes_max
            || unfilled < PADDING_BYTES_OK
        {
            out.push(block.cut());
        }
        if block.last_tick_height >= block.max_tick_height {
            self.block = None;
        }
        Ok(())
    }

    pub fn poll(&mut self, now: Tick, out: &mut Vec<Batch>) {
        if self.next_deadline().is_some_and(|due| due <= now)
            && let Some(block) = &mut self.block
        {
            out.push(block.cut());
        }
    }

    pub fn next_deadline(&self) -> Option<Tick> {
        self.block.as_ref().filter(|block| !block.entries.is_empty()).map(|block| block.since + COALESCE)
    }

    /// The block is given up: what was not cut yet is dropped, and an empty last batch tells receivers where it ends
    /// (standard_broadcast_run.rs: finish_prev_slot).
    pub fn abandon(&mut self, out: &mut Vec<Batch>) {
        if let Some(block) = self.block.take() {
            let reference_tick = u8::try_from(block.ticks_per_slot).unwrap_or(u8::MAX).min(REFERENCE_TICK_MAX);
            out.push(Batch { slot: block.slot, entries: Vec::new(), last_in_slot: true, reference_tick });
        }
    }
}

impl Block {
    fn cut(&mut self) -> Batch {
        let ticks = (self.last_tick_height + self.ticks_per_slot).saturating_sub(self.max_tick_height);
        self.bytes = COUNT_BYTES;
        Batch {
            slot: self.slot,
            entries: std::mem::take(&mut self.entries),
            last_in_slot: self.last_tick_height >= self.max_tick_height,
            reference_tick: u8::try_from(ticks).unwrap_or(u8::MAX).min(REFERENCE_TICK_MAX),
        }
    }
}

const COALESCE: Duration = Duration::from_millis(50);
/// Data of one FEC set: 32 shreds of 963 bytes (protocol.md 1.1).
const SET_BYTES: u64 = 32 * 963;
const BATCH_BYTES_TARGET: u64 = 2 * SET_BYTES;
/// Less than this much padding is not worth waiting for: 5 % of a set.
const PADDING_BYTES_OK: u64 = SET_BYTES / 20;
const COUNT_BYTES: u64 = 8;
const REFERENCE_TICK_MAX: u8 = 63;

#[cfg(test)]
mod tests {
    use {super::*, tandem_types::VersionedTransaction};

    fn tick() -> Entry {
        Entry { num_hashes: 1, ..Entry::default() }
    }

    /// An entry of about `bytes` bytes: empty transactions are small and all alike.
    fn filler(bytes: u64) -> Entry {
        let one = encoded_size(&Entry { transactions: vec![VersionedTransaction::default()], ..tick() }).unwrap() - 48;
        let count = usize::try_from((bytes - 48) / one).unwrap();
        Entry { transactions: vec![VersionedTransaction::default(); count], ..tick() }
    }

    fn begun(slot: Slot) -> Coalescer {
        let mut coalescer = Coalescer::default();
        coalescer.begin(slot, (slot + 1) * 64, 64, &mut Vec::new());
        coalescer
    }

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    #[test]
    fn fifty_milliseconds_after_the_first_entry() {
        let (mut out, mut coalescer) = (Vec::new(), begun(1));
        assert_eq!(coalescer.next_deadline(), None);
        coalescer.push(at(10), tick(), 65, &mut out).unwrap();
        coalescer.push(at(40), tick(), 66, &mut out).unwrap();
        assert_eq!(coalescer.next_deadline(), Some(at(60)));
        coalescer.poll(at(59), &mut out);
        assert!(out.is_empty());
        coalescer.poll(at(60), &mut out);
        assert_eq!(out, [Batch { slot: 1, entries: vec![tick(), tick()], last_in_slot: false, reference_tick: 2 }]);
        assert_eq!(coalescer.next_deadline(), None);
    }

    #[test]
    fn the_last_tick_ends_the_slot_at_once() {
        let (mut out, mut coalescer) = (Vec::new(), begun(1));
        for height in 65..=128 {
            coalescer.push(at(0), tick(), height, &mut out).unwrap();
        }
        assert_eq!(out.len(), 1);
        assert!(out[0].last_in_slot);
        assert_eq!((out[0].entries.len(), out[0].reference_tick), (64, 63));
        coalescer.push(at(0), tick(), 129, &mut out).unwrap();
        coalescer.abandon(&mut out);
        assert_eq!(out.len(), 1, "nothing follows the end");
    }

    #[test]
    fn two_sets_are_never_exceeded_by_adding() {
        let (mut out, mut coalescer) = (Vec::new(), begun(1));
        let part = filler(SET_BYTES / 3 * 2 - 1000);
        for _ in 0..3 {
            coalescer.push(at(0), part.clone(), 64, &mut out).unwrap();
        }
        assert!(out.is_empty());
        coalescer.push(at(1), part.clone(), 64, &mut out).unwrap();
        assert_eq!(out.iter().map(|batch| batch.entries.len()).collect::<Vec<_>>(), [3]);
        assert_eq!(coalescer.next_deadline(), Some(at(51)));
    }

    #[test]
    fn an_almost_full_set_is_not_kept_waiting() {
        let (mut out, mut coalescer) = (Vec::new(), begun(1));
        coalescer.push(at(0), filler(SET_BYTES - 500), 64, &mut out).unwrap();
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn a_giant_first_entry_aims_for_its_own_last_set() {
        let (mut out, mut coalescer) = (Vec::new(), begun(1));
        coalescer.push(at(0), filler(SET_BYTES * 5 / 2), 64, &mut out).unwrap();
        assert!(out.is_empty(), "half a set is still free");
        coalescer.push(at(0), filler(SET_BYTES / 4), 64, &mut out).unwrap();
        assert!(out.is_empty());
        coalescer.push(at(0), filler(SET_BYTES / 2), 64, &mut out).unwrap();
        assert_eq!(out.iter().map(|batch| batch.entries.len()).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_block_given_up_is_closed_empty() {
        let (mut out, mut coalescer) = (Vec::new(), begun(1));
        coalescer.push(at(0), tick(), 65, &mut out).unwrap();
        coalescer.begin(2, 192, 64, &mut out);
        assert_eq!(out, [Batch { slot: 1, entries: vec![], last_in_slot: true, reference_tick: 63 }]);
    }

    #[test]
    fn ticks_of_skipped_slots_have_reference_tick_zero() {
        let (mut out, mut coalescer) = (Vec::new(), begun(5));
        coalescer.push(at(0), tick(), 100, &mut out).unwrap();
        coalescer.poll(at(50), &mut out);
        assert_eq!(out[0].reference_tick, 0);
    }
}
