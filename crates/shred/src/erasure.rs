//! The 32:32 Reed-Solomon code over GF(2^8) that every set uses.

use {
    crate::layout::{CODE_SHREDS_PER_SET, DATA_SHREDS_PER_SET},
    reed_solomon_erasure::galois_8::ReedSolomon,
    std::sync::OnceLock,
};

/// Built once: the matrix takes longer to make than a set to encode. It also keeps the inverses of recent losses.
fn codec() -> &'static ReedSolomon {
    static CODEC: OnceLock<ReedSolomon> = OnceLock::new();
    CODEC.get_or_init(|| {
        ReedSolomon::new(DATA_SHREDS_PER_SET, CODE_SHREDS_PER_SET).expect("invariant: 32:32 fits GF(2^8)")
    })
}

/// Fills the code shards from the data shards, all of one length.
pub(crate) fn encode(data: &[&[u8]], code: &mut [&mut [u8]]) {
    codec().encode_sep(data, code).expect("invariant: 32 data and 32 code shards of one length");
}

/// Fills the shards marked false from those marked true. False if there are too few.
pub(crate) fn reconstruct(shards: &mut [(&mut [u8], bool)]) -> bool {
    codec().reconstruct(shards).is_ok()
}
