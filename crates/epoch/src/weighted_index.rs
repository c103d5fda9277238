//! Draws an index with a probability by weight, with the sequence `rand` 0.8 had for `WeightedIndex<u64>`.

use rand_chacha::rand_core::RngCore;

/// The protocol's schedules depend on the exact draws of rand 0.8; later versions of `rand` draw otherwise
/// (agave-random weighted.rs, range.rs).
#[derive(Clone, Debug)]
pub struct WeightedIndex {
    /// Sums of the weights up to and including each index.
    sums: Vec<u64>,
    total: u64,
    /// Products whose low half is above this are drawn again: the range does not divide 2^64.
    zone: u64,
}

impl WeightedIndex {
    /// `None` if there is no weight, or their sum does not fit.
    pub fn new(weights: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut total = 0_u64;
        let mut sums = Vec::new();
        for weight in weights {
            total = total.checked_add(weight)?;
            sums.push(total);
        }
        if total == 0 {
            return None;
        }
        let zone = u64::MAX - (u64::MAX - total + 1) % total;
        Some(Self { sums, total, zone })
    }

    pub fn sample(&self, rng: &mut impl RngCore) -> usize {
        let chosen = loop {
            let product = u128::from(rng.next_u64()) * u128::from(self.total);
            if product as u64 <= self.zone {
                break (product >> 64) as u64;
            }
        };
        self.sums.partition_point(|sum| *sum <= chosen)
    }
}

#[cfg(test)]
mod tests {
    use {
        super::*,
        rand_chacha::{ChaChaRng, rand_core::SeedableRng},
    };

    /// Golden values of agave-random 4.2.2 (weighted.rs: test_weighted_u64_index_example).
    #[test]
    fn same_draws_as_rand_0_8() {
        for (count, power, expected) in [
            (100, 0, [95, 2, 28, 92, 17, 64, 2, 78, 75, 42]),
            (1_000, 0, [952, 25, 285, 925, 176, 648, 29, 781, 759, 427]),
            (1_000, 1, [975, 160, 534, 962, 420, 805, 172, 884, 871, 654]),
            (1_000, 2, [983, 294, 658, 974, 561, 865, 309, 921, 912, 753]),
            (10_000, 1, [9757, 1596, 5346, 9621, 4207, 8052, 1716, 8842, 8712, 6540]),
        ] {
            let index = WeightedIndex::new((0..count).map(|weight: u64| weight.pow(power))).unwrap();
            let mut rng = ChaChaRng::from_seed([16; 32]);
            assert_eq!(expected.map(|_| index.sample(&mut rng)), expected, "{count} weights to the power {power}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_drawn_from() {
        assert!(WeightedIndex::new([]).is_none());
        assert!(WeightedIndex::new([0, 0]).is_none());
        assert!(WeightedIndex::new([u64::MAX, 1]).is_none());
        let last = WeightedIndex::new([0, 0, u64::MAX]).unwrap();
        assert_eq!(last.sample(&mut ChaChaRng::from_seed([1; 32])), 2);
    }
}
