//! The values in the store, as JSON: an operator can read them with `etcdctl get`, and a field added by a later
//! version does not disturb an earlier one.

use {
    serde::{Deserialize, Serialize, de::DeserializeOwned},
    tandem_types::{InstanceId, Pubkey, Slot, Term, UnixMillis},
    thiserror::Error,
};

/// Who owns the identity. Its `mod_revision` is the fence: every write of the owner compares it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OwnerRecord {
    pub term: Term,
    #[serde(with = "instance_hex")]
    pub instance: InstanceId,
    /// Name of the machine, for people, and to tell "our own earlier run" from "another machine". Two nodes of a pair
    /// that share one computer must be given different names.
    pub host: String,
    pub version: String,
    /// The identity this machine uses while it is standby (base58).
    pub standby_identity: String,
    /// Highest slot the claimant had replayed.
    pub slot_at_claim: Slot,
    /// The owner gave the identity back: anyone may claim at once.
    #[serde(default)]
    pub released: bool,
    /// Lease that carries the owner's heartbeat; a hint, never the fence.
    #[serde(default)]
    pub lease: Option<u64>,
    pub preference: Preference,
    /// Wall clock of the claimant; information only, nothing compares it.
    #[serde(default)]
    pub claimed_at: UnixMillis,
    /// Drawn for this one attempt, so that a read-back proves whose it was: a process that was cloned or set back with its
    /// machine has everything else equal. 0 in records of the first version, which nobody takes for their own.
    #[serde(default)]
    pub nonce: Nonce,
    /// Whose votes are recorded under this claim. Not told by the first version.
    #[serde(default, with = "address_or_none", skip_serializing_if = "Option::is_none")]
    pub vote_account: Option<Pubkey>,
    /// Written by a claim of this identity, which now speaks for the vote account in our stead.
    #[serde(default, with = "address_or_none", skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<Pubkey>,
}

/// Who speaks for a vote account: the last claim for it, under whatever identity. Written by claims alone, in the transaction that
/// writes the owner record, so that both have one `mod_revision`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccountRecord {
    /// [`ACCOUNT_SHAPE`]. What a later software writes may bind us in ways that we cannot know.
    pub shape: u32,
    #[serde(with = "address")]
    pub identity: Pubkey,
    pub term: Term,
    #[serde(with = "instance_hex")]
    pub instance: InstanceId,
    pub nonce: Nonce,
    /// Who signed the tower that this claim left under the identity's key, where it was taken over from another identity. The first vote
    /// replaces it by one of the identity's own.
    #[serde(default, with = "address_or_none", skip_serializing_if = "Option::is_none")]
    pub tower_of: Option<Pubkey>,
}

pub const ACCOUNT_SHAPE: u32 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preference {
    Primary,
    Secondary,
}

/// Highest leader slot ever claimed for the identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WindowRecord {
    pub term: Term,
    pub watermark: Slot,
    /// See [`OwnerRecord::nonce`].
    #[serde(default)]
    pub nonce: Nonce,
}

/// A random number of one attempt to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Nonce(pub u64);

/// A wish to take over, addressed to the owner of `term_seen`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IntentRecord {
    /// Host of the owner as the claimant saw it.
    pub from: String,
    /// Host of the claimant.
    pub to: String,
    /// The claimant.
    #[serde(with = "instance_hex")]
    pub instance: InstanceId,
    /// How long the claimant waits, counted by each side from when it writes or sees the record: no clock is shared.
    pub deadline_ms: u64,
    pub reason: String,
    pub term_seen: Term,
}

/// One audit entry a term.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogRecord {
    pub term: Term,
    #[serde(with = "instance_hex")]
    pub instance: InstanceId,
    pub host: String,
    pub version: String,
    /// Operator, restart, automatic: in words.
    pub reason: String,
    pub slot_at_claim: Slot,
    pub claimed_at: UnixMillis,
    #[serde(default)]
    pub released_at: Option<UnixMillis>,
    #[serde(default)]
    pub last_vote_slot: Option<Slot>,
    #[serde(default)]
    pub watermark: Option<Slot>,
    #[serde(default)]
    pub previous_host: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "the store's {kind} record cannot be read: {reason}; it was not written by this software: do not delete it before you know what is"
)]
pub struct BadRecord {
    pub kind: &'static str,
    pub reason: String,
}

/// A record with one encoding.
pub trait Record: Serialize + DeserializeOwned {
    const KIND: &'static str;

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: our records have string keys and no failing serializers")
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        serde_json::from_slice(bytes).map_err(|error| BadRecord { kind: Self::KIND, reason: error.to_string() })
    }
}

impl Record for OwnerRecord {
    const KIND: &'static str = "owner";
}
impl Record for AccountRecord {
    const KIND: &'static str = "vote account";

    fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let bad = |reason| BadRecord { kind: Self::KIND, reason };
        let record: Self = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        match record.shape {
            ACCOUNT_SHAPE => Ok(record),
            other => Err(bad(format!(
                "it has shape {other}, this software knows {ACCOUNT_SHAPE}: a newer version has claimed, install that one here too"
            ))),
        }
    }
}
impl Record for WindowRecord {
    const KIND: &'static str = "window";
}
impl Record for IntentRecord {
    const KIND: &'static str = "intent";
}
impl Record for LogRecord {
    const KIND: &'static str = "log";
}

/// An address in base58, as it is printed everywhere else.
mod address {
    use {
        serde::{Deserialize, Deserializer, Serializer, de::Error},
        tandem_types::Pubkey,
    };

    pub fn serialize<S: Serializer>(address: &Pubkey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pubkey, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not an address in base58")))
    }
}

mod address_or_none {
    use {
        serde::{Deserialize, Deserializer, Serialize, Serializer},
        tandem_types::Pubkey,
    };

    #[derive(Serialize, Deserialize)]
    struct Address(#[serde(with = "super::address")] Pubkey);

    pub fn serialize<S: Serializer>(address: &Option<Pubkey>, serializer: S) -> Result<S::Ok, S::Error> {
        address.map(Address).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Pubkey>, D::Error> {
        Ok(Option::<Address>::deserialize(deserializer)?.map(|Address(address)| address))
    }
}

/// An instance as 32 hexadecimal digits, as it is printed everywhere else.
mod instance_hex {
    use {
        serde::{Deserialize, Deserializer, Serializer, de::Error},
        tandem_types::InstanceId,
    };

    pub fn serialize<S: Serializer>(id: &InstanceId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<InstanceId, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not an instance id of 32 hexadecimal digits")))
    }

    fn parse(text: &str) -> Option<InstanceId> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut id = [0u8; 16];
        for (i, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
        }
        Some(InstanceId(id))
    }
}

#[cfg(test)]
mod tests {
    use {super::*, proptest::prelude::*};

    fn owner() -> OwnerRecord {
        OwnerRecord {
            term: Term(7),
            instance: InstanceId([0xab; 16]),
            host: "alpha".into(),
            version: "0.1.0".into(),
            standby_identity: "11111111111111111111111111111111".into(),
            slot_at_claim: 100,
            released: false,
            lease: None,
            preference: Preference::Primary,
            claimed_at: UnixMillis(1),
            nonce: Nonce(7),
            vote_account: None,
            moved_to: None,
        }
    }

    fn account() -> AccountRecord {
        AccountRecord {
            shape: ACCOUNT_SHAPE,
            identity: Pubkey::new_from_array([2; 32]),
            term: Term(7),
            instance: InstanceId([0xab; 16]),
            nonce: Nonce(7),
            tower_of: Some(Pubkey::new_from_array([3; 32])),
        }
    }

    #[test]
    fn a_vote_accounts_record_is_readable_and_that_of_a_later_version_is_left_alone() {
        assert_eq!(AccountRecord::decode(&account().encode()), Ok(account()));
        let text = String::from_utf8(account().encode()).unwrap();
        assert!(text.contains(&format!(r#""identity":"{}""#, account().identity)), "{text}");
        let without = AccountRecord { tower_of: None, ..account() };
        assert!(!String::from_utf8(without.encode()).unwrap().contains("tower_of"));
        assert_eq!(AccountRecord::decode(&without.encode()), Ok(without));
        let later = text.replace(r#""shape":1"#, r#""shape":2"#);
        let error = AccountRecord::decode(later.as_bytes()).expect_err("it may say what we cannot know").to_string();
        assert!(error.contains("vote account record") && error.contains("newer version"), "{error}");
        let no_address = text.replace(&account().identity.to_string(), "nobody");
        assert!(AccountRecord::decode(no_address.as_bytes()).is_err());
    }

    #[test]
    fn an_owner_says_whose_votes_it_records_and_where_they_went() {
        let [account, other] = [4, 5].map(|byte| Some(Pubkey::new_from_array([byte; 32])));
        let moved = OwnerRecord { vote_account: account, moved_to: other, ..owner() };
        assert_eq!(OwnerRecord::decode(&moved.encode()), Ok(moved));
        assert!(!String::from_utf8(owner().encode()).unwrap().contains("moved_to"), "as the first version has it");
    }

    #[test]
    fn owner_round_trips_and_is_readable() {
        let bytes = owner().encode();
        assert_eq!(OwnerRecord::decode(&bytes), Ok(owner()));
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(r#""instance":"abababababababababababababababab""#), "{text}");
        assert!(text.contains(r#""term":7"#) && text.contains(r#""preference":"primary""#), "{text}");
    }

    #[test]
    fn fields_of_the_future_are_tolerated_and_missing_ones_are_not() {
        let mut text = String::from_utf8(owner().encode()).unwrap();
        text.insert_str(1, r#""colour":{"of":"the future"},"#);
        assert_eq!(OwnerRecord::decode(text.as_bytes()), Ok(owner()));
        let without_term = text.replace(r#""term":7,"#, "");
        let error = OwnerRecord::decode(without_term.as_bytes()).expect_err("no term, no owner").to_string();
        assert!(error.contains("owner record") && error.contains("term"), "{error}");
    }

    #[test]
    fn records_of_the_first_version_are_read_and_nobodys_own() {
        let first = String::from_utf8(owner().encode()).unwrap().replace(r#","nonce":7"#, "");
        let read = OwnerRecord::decode(first.as_bytes()).unwrap();
        assert_eq!((read.term, read.nonce), (Term(7), Nonce(0)));
        assert_eq!(
            WindowRecord::decode(br#"{"term":7,"watermark":9}"#),
            Ok(WindowRecord { term: Term(7), watermark: 9, nonce: Nonce(0) })
        );
    }

    #[test]
    fn bad_instance_names_what_is_wrong() {
        let text = String::from_utf8(owner().encode()).unwrap().replace("abab", "zzzz");
        let error = OwnerRecord::decode(text.as_bytes()).expect_err("not hex").to_string();
        assert!(error.contains("32 hexadecimal digits"), "{error}");
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(OwnerRecord::decode(&bytes).is_err());
            prop_assert!(WindowRecord::decode(&bytes).is_err());
            prop_assert!(AccountRecord::decode(&bytes).is_err());
            prop_assert!(IntentRecord::decode(&bytes).is_err());
        }
    }
}
