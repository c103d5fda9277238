//! The random numbers all nodes draw alike from a shred's seed.

use {
    rand::{RngCore, SeedableRng},
    rand_chacha::{ChaCha8Rng, ChaCha20Rng},
    std::num::NonZero,
};

/// ChaCha8 from one epoch after switch_to_chacha8_turbine's activation on (SIMD-0332), by the epoch of the shred's slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cipher {
    ChaCha20,
    ChaCha8,
}

pub enum TurbineRng {
    ChaCha20(Box<ChaCha20Rng>),
    ChaCha8(Box<ChaCha8Rng>),
}

impl TurbineRng {
    pub fn new(cipher: Cipher, seed: [u8; 32]) -> Self {
        match cipher {
            Cipher::ChaCha20 => Self::ChaCha20(Box::new(ChaCha20Rng::from_seed(seed))),
            Cipher::ChaCha8 => Self::ChaCha8(Box::new(ChaCha8Rng::from_seed(seed))),
        }
    }
}

impl RngCore for TurbineRng {
    fn next_u32(&mut self) -> u32 {
        match self {
            Self::ChaCha20(rng) => rng.next_u32(),
            Self::ChaCha8(rng) => rng.next_u32(),
        }
    }

    fn next_u64(&mut self) -> u64 {
        match self {
            Self::ChaCha20(rng) => rng.next_u64(),
            Self::ChaCha8(rng) => rng.next_u64(),
        }
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        match self {
            Self::ChaCha20(rng) => rng.fill_bytes(bytes),
            Self::ChaCha8(rng) => rng.fill_bytes(bytes),
        }
    }
}

/// A number below `end`, drawn as rand 0.8's `sample_single` did: the protocol froze that way of throwing the uneven
/// rest away (random/src/range.rs:UniformU64Sampler::new_like_trait_sample).
pub fn uniform(rng: &mut impl RngCore, end: NonZero<u64>) -> u64 {
    let zone = (end.get() << end.leading_zeros()).wrapping_sub(1);
    loop {
        let wide = u128::from(rng.next_u64()) * u128::from(end.get());
        if wide as u64 <= zone {
            return (wide >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Agave's own values (random/src/range.rs: test_uniform_sample_like_trait_sample_example).
    #[test]
    fn published_draws() {
        let mut rng = TurbineRng::new(Cipher::ChaCha20, [16; 32]);
        let end = NonZero::new(294_533).unwrap();
        let draws: Vec<u64> = (0..10).map(|_| uniform(&mut rng, end)).collect();
        assert_eq!(draws, [272634, 52124, 8676, 230277, 223574, 137788, 212533, 213080, 187008, 209168]);
    }

    #[test]
    fn ends_at_the_edges() {
        let mut rng = TurbineRng::new(Cipher::ChaCha8, [1; 32]);
        assert_eq!(uniform(&mut rng, NonZero::new(1).unwrap()), 0);
        let powers = (0..64).map(|bit| NonZero::new(1u64 << bit).unwrap());
        assert!(powers.chain([NonZero::new(u64::MAX).unwrap()]).all(|end| uniform(&mut rng, end) < end.get()));
    }
}
