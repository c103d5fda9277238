//! What the keys of the store are called. The genesis hash is part of the name, so that one identity used on two
//! clusters can never mix them up.

use {
    crate::agave_keys::AgaveKeys,
    tandem_types::{Hash, InstanceId, Pubkey, Term},
};

/// Names below `/tandem/v1/<genesis hash>/<identity>/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    prefix: String,
    /// Kept in step too, when that is asked for.
    agave: Option<AgaveKeys>,
}

impl Keys {
    pub fn new(genesis_hash: &Hash, identity: &Pubkey) -> Self {
        Self { prefix: format!("/tandem/v1/{genesis_hash}/{identity}/"), agave: None }
    }

    /// The same keys with agave's beside them (`--etcd-mirror-agave-keys`).
    pub fn mirror_agave(self, identity: &Pubkey) -> Self {
        Self { agave: Some(AgaveKeys::new(identity)), ..self }
    }

    /// Agave's keys, if they are to be kept in step.
    pub fn agave(&self) -> Option<&AgaveKeys> {
        self.agave.as_ref()
    }

    /// The same keys for a rehearsal: nothing written there can touch the real ones, agave's included.
    pub fn rehearsal(&self) -> Self {
        Self::shadow(format!("{}{REHEARSAL}", self.prefix))
    }

    /// A rehearsal under a shadow identity, apart from any other.
    pub fn rehearsal_of(&self, shadow: &Pubkey) -> Self {
        Self::shadow(format!("{}{REHEARSAL}{shadow}/", self.prefix))
    }

    fn shadow(prefix: String) -> Self {
        Self { prefix, agave: None }
    }

    pub fn is_rehearsal(&self) -> bool {
        self.prefix.contains(&format!("/{REHEARSAL}"))
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn owner(&self) -> String {
        format!("{}owner", self.prefix)
    }

    pub fn tower(&self) -> String {
        format!("{}tower", self.prefix)
    }

    pub fn window(&self) -> String {
        format!("{}window", self.prefix)
    }

    pub fn intent(&self) -> String {
        format!("{}intent", self.prefix)
    }

    /// The owner's sign of life, on a lease.
    pub fn alive(&self) -> String {
        format!("{}alive", self.prefix)
    }

    /// `failover hold`.
    pub fn hold(&self) -> String {
        format!("{}hold", self.prefix)
    }

    /// The machines that have the store open, each on its lease.
    pub fn machines(&self) -> String {
        format!("{}machine/", self.prefix)
    }

    pub fn machine(&self, instance: InstanceId) -> String {
        format!("{}machine/{instance}", self.prefix)
    }

    /// Audit entries that are no changes of owner.
    pub fn notes(&self) -> String {
        format!("{}note/", self.prefix)
    }

    pub fn note(&self, number: u64) -> String {
        format!("{}note/{number:020}", self.prefix)
    }

    pub fn logs(&self) -> String {
        format!("{}log/", self.prefix)
    }

    /// Padded, so that the order of keys is the order of terms.
    pub fn log(&self, term: Term) -> String {
        format!("{}log/{:020}", self.prefix, term.0)
    }
}

const REHEARSAL: &str = "rehearsal/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_apart() {
        let keys = Keys::new(&Hash::new_from_array([1; 32]), &Pubkey::new_from_array([2; 32]));
        let other_cluster = Keys::new(&Hash::new_from_array([3; 32]), &Pubkey::new_from_array([2; 32]));
        assert_ne!(keys.owner(), other_cluster.owner());
        assert_ne!(keys.owner(), keys.rehearsal().owner());
        let mirrored = keys.clone().mirror_agave(&Pubkey::new_from_array([2; 32]));
        assert_eq!(mirrored.owner(), keys.owner());
        assert!(mirrored.agave().is_some() && mirrored.rehearsal().agave().is_none(), "a rehearsal fences nobody");
        let shadow = keys.rehearsal_of(&Pubkey::new_from_array([9; 32]));
        assert!(shadow.is_rehearsal() && keys.rehearsal().is_rehearsal() && !keys.is_rehearsal());
        assert_ne!(keys.rehearsal().owner(), shadow.owner());
        assert!(keys.owner().starts_with(keys.prefix()) && keys.prefix().ends_with('/'));
        assert!(keys.log(Term(9)) < keys.log(Term(10)), "log entries sort by term");
        assert!(keys.log(Term(9)).starts_with(&keys.logs()));
    }
}
