//! What a key passes through on its way over the admin socket: places that are wiped when they are left, or grow. A vector that grows by
//! itself leaves a copy of what it held, and so does one that is shortened.

use {
    serde::{
        Deserialize, Deserializer,
        de::{Error, SeqAccess, Visitor},
    },
    std::fmt,
    tandem_types::Keypair,
    zeroize::{Zeroize, Zeroizing},
};

/// Bytes received and not understood yet.
#[derive(Default)]
pub struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    pub fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// Forgets the first bytes.
    pub fn take_off(&mut self, count: usize) {
        let (len, left) = (self.0.len(), self.0.len().saturating_sub(count));
        self.0.copy_within(len - left.., 0);
        self.0[left..].zeroize();
        self.0.truncate(left);
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The numbers of a key, parsed into a fixed place.
pub struct KeyBytes {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    found: usize,
}

impl KeyBytes {
    pub fn keypair(&self) -> Result<Keypair, String> {
        if self.found != KEY_BYTES {
            return Err(format!("these {} bytes are not a keypair: it has {KEY_BYTES}", self.found));
        }
        Keypair::try_from(&self.bytes[..])
            .map_err(|error| format!("these {KEY_BYTES} bytes are not a keypair: {error}"))
    }
}

impl<'de> Deserialize<'de> for KeyBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = KeyBytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a keypair")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<KeyBytes, A::Error> {
                let mut key = KeyBytes { bytes: Zeroizing::new([0; KEY_BYTES]), found: 0 };
                while let Some(number) = numbers.next_element::<u8>()? {
                    if let Some(place) = key.bytes.get_mut(key.found) {
                        *place = number;
                    }
                    key.found += 1;
                    if key.found > NUMBERS_MAX {
                        return Err(A::Error::custom("more numbers than any keypair has"));
                    }
                }
                Ok(key)
            }
        }
        deserializer.deserialize_seq(Numbers)
    }
}

/// The parameters of a call that brings a key: its bytes, and what else there is, as JSON.
pub fn params(keypair: &Keypair, more: &[&str]) -> Zeroizing<String> {
    let bytes = Zeroizing::new(keypair.to_bytes());
    let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX));
    text.push_str("[[");
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        // Digit by digit: a number made into a string of its own would be left behind.
        for (divisor, least) in [(100, 100), (10, 10), (1, 0)] {
            if *byte >= least {
                text.push(char::from(b'0' + byte / divisor % 10));
            }
        }
    }
    text.push(']');
    more.iter().for_each(|more| {
        text.push(',');
        text.push_str(more);
    });
    text.push(']');
    text
}

const KEY_BYTES: usize = 64;
/// What is not a key is told how many numbers it has.
const NUMBERS_MAX: usize = 1_024;
/// 64 numbers with their commas are 256 at most.
const TEXT_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use {super::*, tandem_types::Signer};

    #[test]
    fn what_was_taken_off_is_not_left_behind_the_rest() {
        let mut buffer = Buffer::default();
        buffer.extend(b"a secret, and the next request");
        let len = buffer.bytes().len();
        buffer.take_off(10);
        assert_eq!(buffer.bytes(), b"and the next request");
        // SAFETY: these bytes were written before, and nothing has moved the vector since.
        let behind = unsafe { std::slice::from_raw_parts(buffer.bytes().as_ptr().add(buffer.bytes().len()), 10) };
        assert_eq!((behind, len), (&[0u8; 10][..], 30));
        buffer.take_off(99);
        assert!(buffer.bytes().is_empty());
    }

    #[test]
    fn a_key_goes_there_and_back() {
        let key = Keypair::new();
        let text = params(&key, &["true"]);
        assert!(text.len() < TEXT_BYTES_MAX, "it has not grown");
        let (bytes, flag): (KeyBytes, bool) = serde_json::from_str(&text).expect("JSON");
        assert_eq!((bytes.keypair().expect("a key").pubkey(), flag), (key.pubkey(), true));
        for (text, reason) in [("[1,2]", "2 bytes"), ("[]", "0 bytes")] {
            let bytes: KeyBytes = serde_json::from_str(text).expect("numbers");
            assert!(bytes.keypair().expect_err("no key").contains(reason), "{reason}");
        }
        let zeros = format!("[{}0]", "0,".repeat(63));
        assert!(serde_json::from_str::<KeyBytes>(&zeros).expect("numbers").keypair().is_err());
        assert!(serde_json::from_str::<KeyBytes>("[300]").is_err() && serde_json::from_str::<KeyBytes>("7").is_err());
        assert!(serde_json::from_str::<KeyBytes>(&format!("[{}0]", "0,".repeat(9_999))).is_err());
    }
}
