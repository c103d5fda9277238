//! A cursor over hostile bytes and its counterpart for writing: bincode 1.3's fixed-width little-endian form,
//! plus the two variable-length integers Solana adds to it.

use {
    crate::Reject,
    tandem_types::{Hash, Pubkey, Signature},
};

/// Reads front to back. Every length is compared with the bytes that are left before anything is allocated.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` names the message in a `Reject`.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes read between `earlier` (a clone taken before) and now.
    pub fn read_since(&self, earlier: &Reader<'a>) -> &'a [u8] {
        &earlier.rest[..earlier.rest.len() - self.rest.len()]
    }

    pub fn finish(&self) -> Result<(), Reject> {
        if self.rest.is_empty() { Ok(()) } else { Err(Reject::TrailingBytes) }
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Reject> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Reject::Truncated(self.what))?;
        self.rest = rest;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Reject::Truncated(self.what))?;
        self.rest = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, Reject> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16, Reject> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Reject> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Reject> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Reject> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn pubkey(&mut self) -> Result<Pubkey, Reject> {
        self.array::<32>().map(Pubkey::new_from_array)
    }

    pub fn hash(&mut self) -> Result<Hash, Reject> {
        self.array::<32>().map(Hash::new_from_array)
    }

    pub fn signature(&mut self) -> Result<Signature, Reject> {
        self.array::<64>().map(Signature::from)
    }

    /// An `Option`'s tag byte.
    pub fn some(&mut self) -> Result<bool, Reject> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(Reject::Tag("option", u32::from(tag))),
        }
    }

    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Reject>) -> Result<Option<T>, Reject> {
        if self.some()? { read(self).map(Some) } else { Ok(None) }
    }

    /// A u64 element count, refused if the elements could not fit in what is left.
    pub fn count(&mut self, element_bytes_min: usize) -> Result<usize, Reject> {
        let count = usize::try_from(self.u64()?).map_err(|_| Reject::Length(self.what))?;
        self.bounded(count, element_bytes_min)
    }

    /// A `short_vec` element count (solana-short-vec: one to three bytes, only the shortest form is valid).
    pub fn short_count(&mut self, element_bytes_min: usize) -> Result<usize, Reject> {
        let mut value = 0u32;
        for nth in 0..3u32 {
            let byte = self.u8()?;
            if byte == 0 && nth != 0 {
                return Err(Reject::Varint);
            }
            value |= u32::from(byte & 0x7f) << (7 * nth);
            if byte & 0x80 == 0 {
                let count = u16::try_from(value).map_err(|_| Reject::Varint)?;
                return self.bounded(usize::from(count), element_bytes_min);
            }
        }
        Err(Reject::Varint)
    }

    /// LEB128, shortest form only (solana-serde-varint).
    pub fn varint(&mut self, bits: u32) -> Result<u64, Reject> {
        let (mut value, mut shift) = (0u64, 0u32);
        while shift < bits {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            let kept = bits.min(64) - shift;
            if kept < 7 && part >> kept != 0 {
                return Err(Reject::Varint);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift != 0 { Err(Reject::Varint) } else { Ok(value) };
            }
            shift += 7;
        }
        Err(Reject::Varint)
    }

    pub fn varint_u16(&mut self) -> Result<u16, Reject> {
        let value = self.varint(u16::BITS)?;
        u16::try_from(value).map_err(|_| Reject::Varint)
    }

    pub fn varint_u64(&mut self) -> Result<u64, Reject> {
        self.varint(u64::BITS)
    }

    fn bounded(&self, count: usize, element_bytes_min: usize) -> Result<usize, Reject> {
        let fits = count.checked_mul(element_bytes_min).is_some_and(|bytes| bytes <= self.rest.len());
        if fits { Ok(count) } else { Err(Reject::Length(self.what)) }
    }
}

/// Writes what `Reader` reads.
#[derive(Default)]
pub(crate) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u64(count as u64)
    }

    pub fn short_count(&mut self, count: usize) -> &mut Self {
        let count = u16::try_from(count).expect("invariant: our own short vectors hold fewer than 65,536 elements");
        self.varint_u64(u64::from(count))
    }

    pub fn varint_u64(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.u8((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.u8(value as u8)
    }

    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            None => {
                self.u8(0);
            }
            Some(value) => {
                self.u8(1);
                write(self, value);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use {super::*, proptest::prelude::*};

    proptest! {
        #[test]
        fn varint_round_trips(value: u64, short: u16) {
            let mut out = Writer::default();
            out.varint_u64(value).varint_u64(u64::from(short)).short_count(usize::from(short));
            let mut input = Reader::new(&out.0, "test");
            prop_assert_eq!(input.varint_u64(), Ok(value));
            prop_assert_eq!(input.varint_u16(), Ok(short));
            prop_assert_eq!(input.short_count(0), Ok(usize::from(short)));
            prop_assert_eq!(input.finish(), Ok(()));
        }

        /// Whatever is accepted is the only form of its value, as solana-serde-varint and solana-short-vec insist.
        #[test]
        fn accepted_varints_are_canonical(bytes in proptest::collection::vec(any::<u8>(), 1..12)) {
            for bits in [16, 64] {
                let mut input = Reader::new(&bytes, "test");
                let start = input.clone();
                if let Ok(value) = input.varint(bits) {
                    let mut out = Writer::default();
                    out.varint_u64(value);
                    prop_assert_eq!(&out.0[..], input.read_since(&start));
                }
            }
        }
    }

    #[test]
    fn lengths_are_checked_before_allocation() {
        let huge = u64::MAX.to_le_bytes();
        assert_eq!(Reader::new(&huge, "test").count(1), Err(Reject::Length("test")));
        assert_eq!(Reader::new(&[0xff, 0xff, 0x03, 0], "test").short_count(1), Err(Reject::Length("test")));
        assert_eq!(Reader::new(&[0x80, 0x00], "test").short_count(0), Err(Reject::Varint), "an alias of zero");
        assert_eq!(Reader::new(&[0xff, 0xff, 0x04], "test").short_count(0), Err(Reject::Varint), "above u16");
        assert_eq!(Reader::new(&[0xff, 0xff, 0x04], "test").varint_u16(), Err(Reject::Varint));
    }
}
