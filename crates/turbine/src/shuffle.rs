//! A shuffle in which heavier items tend to come earlier (gossip/src/weighted_shuffle.rs).

use {crate::rng::uniform, rand::RngCore, std::num::NonZero};

/// Items are drawn by weight without replacement; those without weight come last, drawn evenly.
///
/// The sums are kept in a Fenwick tree: `sums[i]` covers the `i & -i` weights that end with number i, counted from one.
#[derive(Clone, Debug)]
pub struct WeightedShuffle {
    weights: Vec<u64>,
    sums: Vec<u64>,
    total: u64,
    /// Items without weight, in an order the protocol fixes: each draw moves the last into the gap.
    zeros: Vec<usize>,
}

impl WeightedShuffle {
    /// A weight that would overflow the sum counts as none.
    pub fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let mut total = 0u64;
        let mut zeros = Vec::new();
        let mut counted = Vec::new();
        for (index, weight) in weights.into_iter().enumerate() {
            let sum = total.checked_add(weight).filter(|_| weight > 0);
            if sum.is_none() {
                zeros.push(index);
            }
            total = sum.unwrap_or(total);
            counted.push(if sum.is_some() { weight } else { 0 });
        }
        let mut sums = vec![0; counted.len() + 1];
        for i in 1..sums.len() {
            sums[i] += counted[i - 1];
            let above = i + (i & i.wrapping_neg());
            if above < sums.len() {
                sums[above] += sums[i];
            }
        }
        Self { weights: counted, sums, total, zeros }
    }

    /// Takes an item out of the shuffle.
    pub fn remove(&mut self, index: usize) {
        match self.weights.get_mut(index).map(std::mem::take) {
            None => {}
            Some(0) => self.zeros.retain(|zero| *zero != index),
            Some(weight) => {
                self.total -= weight;
                let mut i = index + 1;
                while i < self.sums.len() {
                    self.sums[i] -= weight;
                    i += i & i.wrapping_neg();
                }
            }
        }
    }

    /// The item the shuffle would begin with.
    pub fn first(&self, rng: &mut impl RngCore) -> Option<usize> {
        if let Some(total) = NonZero::new(self.total) {
            return Some(self.find(uniform(rng, total)));
        }
        let count = NonZero::new(self.zeros.len() as u64)?;
        Some(self.zeros[uniform(rng, count) as usize])
    }

    /// Draws the next item; the iterator uses the shuffle up.
    pub fn shuffle(mut self, mut rng: impl RngCore) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            if let Some(total) = NonZero::new(self.total) {
                let index = self.find(uniform(&mut rng, total));
                self.remove(index);
                return Some(index);
            }
            let count = NonZero::new(self.zeros.len() as u64)?;
            Some(self.zeros.swap_remove(uniform(&mut rng, count) as usize))
        })
    }

    /// The first item up to which, itself included, the weights exceed `value`.
    fn find(&self, value: u64) -> usize {
        let mut rest = value;
        let mut before = 0;
        let mut step = self.weights.len().checked_ilog2().map_or(0, |bits| 1 << bits);
        while step > 0 {
            if let Some(sum) = self.sums.get(before + step)
                && *sum <= rest
            {
                rest -= sum;
                before += step;
            }
            step /= 2;
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use {
        super::{WeightedShuffle, uniform},
        crate::rng::{Cipher, TurbineRng},
        proptest::prelude::{any, prop_assert_eq, proptest},
        rand::{Rng, RngCore, SeedableRng},
        rand_chacha::ChaCha20Rng,
        sha2::{Digest, Sha256},
        std::{num::NonZero, str::FromStr},
        tandem_types::Hash,
    };

    fn order(cipher: Cipher, seed: u8, weights: &[u64], removed: &[usize]) -> Vec<usize> {
        let mut shuffle = WeightedShuffle::new(weights.iter().copied());
        removed.iter().for_each(|index| shuffle.remove(*index));
        let rng = || TurbineRng::new(cipher, [seed; 32]);
        let order: Vec<usize> = shuffle.clone().shuffle(rng()).collect();
        assert_eq!(shuffle.first(&mut rng()), order.first().copied());
        order
    }

    // The values of this and the next three tests are agave's own (gossip/src/weighted_shuffle.rs, v4.2).
    #[test]
    fn published_orders() {
        use Cipher::*;
        let weights = [78, 70, 38, 27, 21, 0, 82, 42, 21, 77, 77, 0, 17, 4, 50, 96, 0, 83, 33, 16, 72];
        assert_eq!(
            order(ChaCha20, 48, &weights, &[]),
            [10, 3, 14, 18, 0, 9, 19, 6, 2, 1, 17, 7, 13, 15, 20, 12, 4, 8, 5, 16, 11]
        );
        assert_eq!(
            order(ChaCha20, 48, &weights, &[11, 3, 15, 0]),
            [10, 6, 9, 17, 20, 8, 4, 1, 2, 14, 7, 12, 18, 19, 13, 16, 5]
        );
        assert_eq!(
            order(ChaCha20, 37, &weights, &[]),
            [3, 15, 10, 6, 19, 17, 2, 0, 9, 20, 1, 14, 7, 8, 12, 18, 4, 13, 5, 11, 16]
        );
        assert_eq!(
            order(ChaCha20, 37, &weights, &[16, 8, 20, 5, 19, 4]),
            [2, 14, 10, 6, 17, 15, 3, 9, 12, 0, 1, 7, 18, 13, 11]
        );
    }

    #[test]
    fn published_orders_of_both_ciphers() {
        let weights = [19, 23, 7, 0, 0, 23, 3, 0, 5, 0, 19, 29];
        assert_eq!(order(Cipher::ChaCha20, 48, &weights, &[]), [8, 1, 5, 10, 11, 0, 2, 6, 9, 4, 3, 7]);
        assert_eq!(order(Cipher::ChaCha8, 48, &weights, &[]), [5, 11, 2, 0, 10, 1, 6, 8, 7, 3, 9, 4]);
    }

    #[test]
    fn published_orders_without_weights() {
        assert_eq!(order(Cipher::ChaCha8, 37, &[0; 5], &[]), [4, 3, 1, 2, 0]);
        assert_eq!(order(Cipher::ChaCha20, 37, &[0; 5], &[]), [1, 4, 2, 3, 0]);
        assert_eq!(order(Cipher::ChaCha20, 37, &[], &[]), []);
    }

    /// Tens of thousands of weights each, the result known as a hash only.
    #[test]
    fn published_hashes_of_long_orders() {
        let cases = [
            (0x587c27258191c66d, "84jN8bvnp6mvtngzt42SW8AtRf5fcv3VBerKkUsYrCVG"),
            (0xfdd71c99c936736c, "7H9H8V7ccmpBhC3i5vEeFfiUwvRSAvRWadZhFH5ecSD7"),
            (0xe666e7514f37c7a1, "Fc3gAUgh2mD1se3kkhPnLMKpQCiARd2PSdGf7b2fDS2n"),
        ];
        for (seed, expected) in cases {
            let seed: Vec<u8> = (0u64..4).flat_map(|i| (seed + i).to_le_bytes()).collect();
            let mut rng = ChaCha20Rng::from_seed(seed.try_into().unwrap());
            let end = |end: u64| NonZero::new(end).unwrap();
            let count = 1 + uniform(&mut rng, end(100_000)) as usize;
            let weights: Vec<u64> = (0..count)
                .map(|_| if rng.random_ratio(1, 100) { 0 } else { uniform(&mut rng, end(u64::MAX / count as u64 + 1)) })
                .collect();
            let mut shuffle = WeightedShuffle::new(weights.iter().copied());
            let mut hasher = Sha256::new();
            shuffle.clone().shuffle(&mut rng).for_each(|index| hasher.update(index.to_le_bytes()));
            let drops = 1 + uniform(&mut rng, end(999)) as usize;
            let mut dropped = std::collections::HashSet::new();
            while dropped.len() < drops {
                let index = uniform(&mut rng, end(count as u64)) as usize;
                if dropped.insert(index) {
                    shuffle.remove(index);
                }
            }
            shuffle.shuffle(&mut rng).for_each(|index| hasher.update(index.to_le_bytes()));
            assert_eq!(Hash::new_from_array(hasher.finalize().into()), Hash::from_str(expected).unwrap());
        }
    }

    #[test]
    fn a_weight_that_overflows_the_sum_counts_as_none() {
        let order = order(Cipher::ChaCha8, 1, &[5, u64::MAX, 7], &[]);
        assert_eq!(order[2], 1);
        assert_eq!(self::order(Cipher::ChaCha8, 1, &[5, u64::MAX, 7], &[1]).len(), 2);
    }

    /// The same by looking at every weight in turn.
    fn plain(rng: &mut impl RngCore, mut weights: Vec<u64>) -> Vec<usize> {
        let mut zeros: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] == 0).collect();
        let mut order = Vec::new();
        while let Some(total) = NonZero::new(weights.iter().sum()) {
            let mut rest = uniform(rng, total);
            let heavier = |weight: &u64| match rest.checked_sub(*weight) {
                Some(less) => {
                    rest = less;
                    false
                }
                None => true,
            };
            let index = weights.iter().position(heavier).unwrap();
            weights[index] = 0;
            order.push(index);
        }
        while let Some(count) = NonZero::new(zeros.len() as u64) {
            order.push(zeros.swap_remove(uniform(rng, count) as usize));
        }
        order
    }

    proptest! {
        #[test]
        fn equals_the_plain_way(weights in proptest::collection::vec(0u64..1000, 0..300), seed in any::<[u8; 32]>()) {
            let rng = || TurbineRng::new(Cipher::ChaCha8, seed);
            let order: Vec<usize> = WeightedShuffle::new(weights.iter().copied()).shuffle(rng()).collect();
            prop_assert_eq!(order, plain(&mut rng(), weights));
        }
    }
}
