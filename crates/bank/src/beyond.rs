//! What a chain may hold that this version cannot follow: found in the accounts, before a node begins or goes on with it.
//!
//! A node that executes on without a rule that the cluster has activated forks off at the next block that obeys it, and
//! votes for its own fork. So it must not begin.

use {
    crate::Bank,
    agave_feature_set::{FEATURE_NAMES, alpenglow},
    solana_account::ReadableAccount,
    solana_feature_gate_interface as feature,
    tandem_types::{Pubkey, Slot},
};

/// Why this version cannot follow the chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeyondUs {
    #[error(
        "the cluster's consensus is Alpenglow ({what} {key}); this version speaks Tower BFT only: run one that speaks Alpenglow"
    )]
    Alpenglow { what: &'static str, key: Pubkey },
    #[error(
        "{} active feature(s) are unknown to this version, the first {} since slot {}: run a newer version",
        .0.len(), .0[0].0, .0[0].1
    )]
    Features(Vec<(Pubkey, Slot)>),
}

/// A feature account whose rules this version does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignGate {
    pub id: Pubkey,
    pub is_alpenglow: bool,
    /// `None`: it waits, for the next epoch at the soonest. Anybody can make such an account for a key of their own, and the
    /// cluster activates only what its software knows: waiting alone proves nothing.
    pub activated_at: Option<Slot>,
}

impl ForeignGate {
    /// From an account of the feature program; `None` if this version has the feature, or if it is no feature account.
    pub fn of(id: &Pubkey, data: &[u8]) -> Option<Self> {
        let is_alpenglow = [alpenglow::id(), ALPENGLOW_4_4].contains(id);
        let is_known = FEATURE_NAMES.contains_key(id) && !is_alpenglow;
        let activated_at = bincode::deserialize::<feature::Feature>(data).ok()?.activated_at;
        (!is_known).then_some(Self { id: *id, is_alpenglow, activated_at })
    }
}

impl Bank {
    /// What in this bank's accounts is beyond this version; `None` if it can follow. Looks at the accounts of the feature
    /// program (some hundreds) and at the places of Alpenglow's own.
    pub fn beyond_us(&self) -> Option<BeyondUs> {
        for feature in [alpenglow::id(), ALPENGLOW_4_4] {
            if self.activated_at(&feature).is_some() {
                return Some(BeyondUs::Alpenglow { what: "active feature", key: feature });
            }
            let certificate = genesis_certificate_of(&feature);
            // Anybody may give lamports to an address; only the cluster's own code gives it data.
            if self.load(&certificate).is_some_and(|(account, _)| !account.data().is_empty()) {
                return Some(BeyondUs::Alpenglow { what: "genesis certificate in account", key: certificate });
            }
        }
        let of_features = self.forks.accounts.owned_by(&feature::id(), &self.ancestors, |_, _| true);
        let gates = of_features.iter().filter_map(|(id, account)| ForeignGate::of(id, account.data()));
        let mut unknown: Vec<(Pubkey, Slot)> = gates.filter_map(|gate| Some((gate.id, gate.activated_at?))).collect();
        unknown.sort_by_key(|(id, slot)| (*slot, *id));
        (!unknown.is_empty()).then_some(BeyondUs::Features(unknown))
    }

    fn activated_at(&self, feature: &Pubkey) -> Option<Slot> {
        let (account, _) = self.load(feature)?;
        feature::state::from_account(&account)?.activated_at
    }
}

/// Where the certificate of Alpenglow's first block lies once a cluster has migrated (agave 4.4.0, runtime/src/bank.rs:
/// GENESIS_CERTIFICATE_ACCOUNT; SIMD-0384).
fn genesis_certificate_of(feature: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[b"carlgration"], feature).0
}

/// The id that agave 4.4.0 gave the feature; 4.2.2 carried another.
const ALPENGLOW_4_4: Pubkey = Pubkey::from_str_const("A1pengvuM6JEcyNuTnMqepBKhwHE3N6PmUrdATGawhJS");

#[cfg(test)]
mod tests {
    use {
        super::*, crate::tests::world_with, solana_account::AccountSharedData, solana_feature_gate_interface::Feature,
        solana_sdk_ids::system_program,
    };

    const KEY: Pubkey = Pubkey::new_from_array([77; 32]);

    fn feature_account(activated_at: Option<Slot>) -> AccountSharedData {
        feature::create_account(&Feature { activated_at }, 1_000_000)
    }

    #[track_caller]
    fn check(key: Pubkey, account: AccountSharedData, wanted: Option<BeyondUs>) {
        assert_eq!(world_with(vec![(key, account)]).start.beyond_us(), wanted);
    }

    #[test]
    fn only_what_is_active_and_unknown_is_beyond_us() {
        check(KEY, feature_account(Some(0)), Some(BeyondUs::Features(vec![(KEY, 0)])));
        check(KEY, feature_account(None), None);
        // Anybody can give an account of their own to the feature program; its data stays zero.
        check(KEY, AccountSharedData::new(1_000_000, 9, &feature::id()), None);
        check(KEY, AccountSharedData::new(1_000_000, 9, &system_program::id()), None);
    }

    #[test]
    fn alpenglow_is_beyond_us_under_both_of_its_ids() {
        for id in [alpenglow::id(), ALPENGLOW_4_4] {
            check(id, feature_account(Some(0)), Some(BeyondUs::Alpenglow { what: "active feature", key: id }));
            check(id, feature_account(None), None);
            let certificate = genesis_certificate_of(&id);
            let found = BeyondUs::Alpenglow { what: "genesis certificate in account", key: certificate };
            check(certificate, AccountSharedData::new(1_000_000, 300, &system_program::id()), Some(found));
            check(certificate, AccountSharedData::new(1_000_000, 0, &system_program::id()), None);
        }
    }

    #[test]
    fn the_certificate_lies_where_agave_puts_it() {
        let agave = Pubkey::from_str_const("42Ym56TQ7AKFThRv5nyoSABq5ZPgE2TLKo8BALZEtoU1");
        assert_eq!(genesis_certificate_of(&ALPENGLOW_4_4), agave);
    }
}
