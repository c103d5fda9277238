//! Bloom filters of value hashes, and the filter of a pull request: "send me what I lack of this part of the hash space".

use {
    crate::{
        Reject,
        codec::{Reader, Writer},
    },
    rand::Rng,
    tandem_types::{Hash, PACKET_BYTES_MAX},
};

/// solana-bloom/src/bloom.rs:Bloom<Hash>.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bloom {
    pub keys: Vec<u64>,
    blocks: Vec<u64>,
    bits: u64,
    bits_set: u64,
}

impl Bloom {
    pub fn new(bits: u64, keys: Vec<u64>) -> Self {
        let blocks = vec![0; usize::try_from(bits.div_ceil(64)).expect("invariant: our filters fit in a packet")];
        Self { keys, blocks, bits, bits_set: 0 }
    }

    /// The shape agave gives a filter for `items` values (bloom.rs:Bloom::random), with random keys.
    pub fn random(shape: BloomShape, rng: &mut impl Rng) -> Self {
        Self::new(shape.bits, (0..shape.keys).map(|_| rng.random()).collect())
    }

    pub fn add(&mut self, hash: &Hash) {
        if self.bits == 0 {
            return;
        }
        for at in 0..self.keys.len() {
            let (block, mask) = self.position(self.keys[at], hash);
            if self.blocks[block] & mask == 0 {
                self.blocks[block] |= mask;
                self.bits_set += 1;
            }
        }
    }

    /// False for a filter without keys or bits, as in agave: it then holds nothing.
    pub fn contains(&self, hash: &Hash) -> bool {
        !self.keys.is_empty()
            && self.bits != 0
            && self.keys.iter().all(|key| {
                let (block, mask) = self.position(*key, hash);
                self.blocks[block] & mask != 0
            })
    }

    fn position(&self, key: u64, hash: &Hash) -> (usize, u64) {
        let bit = fnv1a(key, hash.as_ref()) % self.bits;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    pub(crate) fn read(input: &mut Reader) -> Result<Self, Reject> {
        let keys = (0..input.count(8)?).map(|_| input.u64()).collect::<Result<Vec<_>, _>>()?;
        let blocks = if input.some()? {
            (0..input.count(8)?).map(|_| input.u64()).collect::<Result<Vec<_>, _>>()?
        } else {
            Vec::new()
        };
        // wincode truncates a claimed length to the blocks that are there, bincode refuses it (bv): we refuse.
        let (bits, bits_set) = (input.u64()?, input.u64()?);
        if bits > blocks.len() as u64 * 64 {
            return Err(Reject::Inconsistent("bloom filter: bit count"));
        }
        Ok(Self { keys, blocks, bits, bits_set })
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.count(self.keys.len());
        for key in &self.keys {
            out.u64(*key);
        }
        write_bit_blocks(self.blocks.len(), &mut |out| self.blocks.iter().for_each(|block| _ = out.u64(*block)), out);
        out.u64(self.bits).u64(self.bits_set);
    }
}

/// The bv crate's boxed blocks: none is written as an absent option.
pub(crate) fn write_bit_blocks(count: usize, write: &mut dyn FnMut(&mut Writer), out: &mut Writer) {
    out.u8(u8::from(count != 0));
    if count != 0 {
        out.count(count);
        write(out);
    }
}

/// How large a filter is and how many hashes each value sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BloomShape {
    pub bits: u64,
    pub keys: usize,
}

impl BloomShape {
    /// bloom.rs:Bloom::random: the optimum for `items` at `FALSE_RATE`, cut at `bits_max`.
    pub fn for_items(items: f64, bits_max: u64) -> Self {
        let optimum = ((items * FALSE_RATE.ln()) / (1.0 / 2f64.powf(2f64.ln())).ln()).ceil();
        let bits = (optimum as u64).min(bits_max).max(1);
        let keys = if items == 0.0 { 0.0 } else { ((bits as f64 / items) * 2f64.ln()).round().max(1.0) };
        Self { bits, keys: keys as usize }
    }
}

/// crds_gossip_pull.rs:CrdsFilter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CrdsFilter {
    pub bloom: Bloom,
    /// The top `mask_bits` bits select the part of the hash space; the others are one.
    pub mask: u64,
    pub mask_bits: u32,
}

impl CrdsFilter {
    pub fn mask_of(part: u64, mask_bits: u32) -> u64 {
        part.checked_shl(64 - mask_bits).unwrap_or(0) | low_ones(mask_bits)
    }

    /// Whether a value with this hash is in the part of the hash space the filter speaks about.
    pub fn covers(&self, hash: &Hash) -> bool {
        let ones = low_ones(self.mask_bits);
        (hash_prefix(hash) | ones) == (self.mask | ones)
    }

    /// First and last hash prefix of the part.
    pub fn prefix_range(&self) -> std::ops::RangeInclusive<u64> {
        let ones = low_ones(self.mask_bits);
        (self.mask & !ones)..=(self.mask | ones)
    }

    /// Filters that cover too much of the hash space are refused, however small the table of the asking node
    /// (crds_gossip_pull.rs:CrdsFilter::sanitize).
    pub(crate) fn read(input: &mut Reader) -> Result<Self, Reject> {
        let bloom = Bloom::read(input)?;
        let (mask, mask_bits) = (input.u64()?, input.u32()?);
        if mask_bits < MASK_BITS_MIN {
            return Err(Reject::OutOfBounds("pull request: mask bits"));
        }
        Ok(Self { bloom, mask, mask_bits })
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        self.bloom.write(out);
        out.u64(self.mask).u32(self.mask_bits);
    }
}

/// The filters one node sends over time: all of one shape, one for each part of the hash space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FilterPlan {
    pub shape: BloomShape,
    pub mask_bits: u32,
}

impl FilterPlan {
    /// The plan for a table of `items` values whose requests must leave `caller_bytes` for our own contact info.
    /// At least 65,536 items are assumed: receivers refuse fewer parts than that gives (MIN_NUM_BLOOM_ITEMS).
    pub fn new(items: usize, caller_bytes: usize) -> Self {
        let room = PACKET_BYTES_MAX.saturating_sub(4 + caller_bytes);
        let mut bytes_max = room;
        loop {
            let bits_max = bytes_max as f64 * 8.0;
            let items_per_filter = items_max(bits_max);
            let shape = BloomShape::for_items(items_per_filter, bits_max as u64);
            if bytes_max <= 1 || filter_bytes(shape) <= room {
                let parts = items.max(ITEMS_MIN) as f64 / items_per_filter;
                return Self { shape, mask_bits: parts.log2().ceil().max(0.0) as u32 };
            }
            bytes_max -= 1;
        }
    }

    pub fn parts(&self) -> u64 {
        1 << self.mask_bits
    }
}

/// The first eight bytes of a value's hash: what masks select by.
pub fn hash_prefix(hash: &Hash) -> u64 {
    let bytes = hash.as_bytes();
    u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

/// crds_gossip_pull.rs:max_items: how many values a filter of so many bits takes at 8 keys.
fn items_max(bits_max: f64) -> f64 {
    (bits_max / (-KEYS / (1.0 - (FALSE_RATE.ln() / KEYS).exp()).ln())).ceil()
}

fn filter_bytes(shape: BloomShape) -> usize {
    8 + 8 * shape.keys + 1 + 8 + 8 * shape.bits.div_ceil(64) as usize + 8 + 8 + 8 + 4
}

fn low_ones(mask_bits: u32) -> u64 {
    u64::MAX.checked_shr(mask_bits).unwrap_or(0)
}

/// FNV-1a with the key as its starting state.
fn fnv1a(key: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(key, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

const FALSE_RATE: f64 = 0.1;
const KEYS: f64 = 8.0;
/// crds_gossip_pull.rs:MIN_NUM_BLOOM_ITEMS (release builds).
const ITEMS_MIN: usize = 65_536;
/// crds_gossip_pull.rs:MIN_PULL_REQUEST_MASK_BITS: what the sizes above come to.
pub const MASK_BITS_MIN: u32 = 6;

#[cfg(test)]
mod tests {
    use {super::*, rand::SeedableRng};

    #[test]
    fn fewest_mask_bits_follow_from_the_packet_size() {
        let per_filter = items_max((PACKET_BYTES_MAX * 8) as f64);
        assert_eq!(per_filter, 1708.0, "protocol.md 4.6");
        assert_eq!((ITEMS_MIN as f64 / per_filter).log2().ceil() as u32, MASK_BITS_MIN);
    }

    /// solana-bloom's own test vectors (test_bloom_filter).
    #[test]
    fn shapes_are_agaves() {
        assert_eq!(BloomShape::for_items(0.0, 100), BloomShape { bits: 1, keys: 0 });
        assert_eq!(BloomShape::for_items(10.0, 100), BloomShape { bits: 48, keys: 3 });
        assert_eq!(BloomShape::for_items(100.0, 100), BloomShape { bits: 100, keys: 1 });
    }

    #[test]
    fn requests_fill_the_packet_but_fit() {
        for caller_bytes in [150, 200, 233, 300, 400] {
            let plan = FilterPlan::new(10, caller_bytes);
            let size = 4 + caller_bytes + filter_bytes(plan.shape);
            assert!(size <= PACKET_BYTES_MAX, "{size}");
            assert!(plan.mask_bits >= MASK_BITS_MIN);
            assert!(plan.shape.bits > 1_000);
        }
    }

    #[test]
    fn holds_what_was_added() {
        let mut rng = rand_chacha_like();
        let mut bloom = Bloom::random(FilterPlan::new(0, 220).shape, &mut rng);
        let hashes: Vec<_> = (0..500).map(|_| Hash::new_unique()).collect();
        assert!(!bloom.contains(&hashes[0]));
        hashes.iter().for_each(|hash| bloom.add(hash));
        assert!(hashes.iter().all(|hash| bloom.contains(hash)));
        let wrong = (0..1_000).filter(|_| bloom.contains(&Hash::new_unique())).count();
        assert!(wrong < 250, "{wrong} of 1,000 false positives");
    }

    #[test]
    fn every_hash_belongs_to_exactly_one_part() {
        let hash = Hash::new_unique();
        let covering: Vec<_> = (0..64u64)
            .map(|part| CrdsFilter { bloom: Bloom::new(0, vec![]), mask: CrdsFilter::mask_of(part, 6), mask_bits: 6 })
            .filter(|filter| filter.covers(&hash))
            .collect();
        assert_eq!(covering.len(), 1);
        assert!(covering[0].prefix_range().contains(&hash_prefix(&hash)));
        assert_eq!(covering[0].mask >> 58, hash_prefix(&hash) >> 58);
    }

    #[test]
    fn hostile_filters_do_no_harm() {
        let read = |bloom: &Bloom, mask_bits: u32| {
            let mut out = Writer::default();
            CrdsFilter { bloom: bloom.clone(), mask: 0, mask_bits }.write(&mut out);
            CrdsFilter::read(&mut Reader::new(&out.0, "filter"))
        };
        let empty = Bloom::new(0, vec![1, 2]);
        assert!(!read(&empty, 64).unwrap().bloom.contains(&Hash::new_unique()), "no division by zero");
        assert!(read(&empty, 200).unwrap().covers(&Hash::default()), "no overlong shift");
        assert_eq!(read(&empty, 5), Err(Reject::OutOfBounds("pull request: mask bits")));
        let boastful = Bloom { bits: 65, ..Bloom::new(64, vec![1]) };
        assert_eq!(read(&boastful, 6), Err(Reject::Inconsistent("bloom filter: bit count")));
    }

    fn rand_chacha_like() -> rand::rngs::StdRng {
        rand::rngs::StdRng::seed_from_u64(1)
    }
}
