//! What the keys of the store are called. The genesis hash is part of the name, so that one identity used on two
//! clusters can never mix them up.

use {
    crate::agave_keys::AgaveKeys,
    tandem_types::{Hash, InstanceId, Pubkey, Term},
};

/// Names below `/tandem/v1/<genesis hash>/<identity>/`, and that of the vote account, which no identity's prefix has: it outlives a
/// change of identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    /// `/tandem/v1/<genesis hash>/`
    cluster: String,
    prefix: String,
    /// Kept in step too, when that is asked for.
    agave: Option<AgaveKeys>,
    account: Option<Pubkey>,
    /// The identity that speaks for the vote account instead, and its keys: what is taken over from it.
    before: Option<Box<(Pubkey, Keys)>>,
}

impl Keys {
    pub fn new(genesis_hash: &Hash, identity: &Pubkey) -> Self {
        Self::in_cluster(format!("/tandem/v1/{genesis_hash}/"), identity)
    }

    fn in_cluster(cluster: String, identity: &Pubkey) -> Self {
        Self { prefix: format!("{cluster}{identity}/"), cluster, agave: None, account: None, before: None }
    }

    /// The same keys, for the votes of this account: claims and records compare its key too.
    pub fn for_account(self, vote_account: &Pubkey) -> Self {
        Self { account: Some(*vote_account), ..self }
    }

    /// The same keys, with those of the identity that speaks for the vote account instead, if one does.
    pub fn after(self, speaker: Option<Pubkey>) -> Self {
        let before = speaker.map(|speaker| {
            let keys = Self::in_cluster(self.cluster.clone(), &speaker);
            let keys = if self.agave.is_some() { keys.mirror_agave(&speaker) } else { keys };
            Box::new((speaker, keys))
        });
        Self { before, ..self }
    }

    /// The vote account and its key: who speaks for it.
    pub fn account(&self) -> Option<(&Pubkey, String)> {
        self.account.as_ref().map(|account| (account, format!("{}account/{account}", self.cluster)))
    }

    pub fn before(&self) -> Option<(Pubkey, &Keys)> {
        self.before.as_ref().map(|before| (before.0, &before.1))
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
        self.shadow(format!("{}{REHEARSAL}", self.prefix))
    }

    /// A rehearsal under a shadow identity, apart from any other.
    pub fn rehearsal_of(&self, shadow: &Pubkey) -> Self {
        self.shadow(format!("{}{REHEARSAL}{shadow}/", self.prefix))
    }

    fn shadow(&self, prefix: String) -> Self {
        Self { cluster: self.cluster.clone(), prefix, agave: None, account: None, before: None }
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

    #[test]
    fn a_vote_account_outlives_its_identities() {
        let [a, b, account] = [2, 3, 9].map(|byte| Pubkey::new_from_array([byte; 32]));
        let keys = |identity: &Pubkey| Keys::new(&Hash::default(), identity).for_account(&account);
        let name = keys(&a).account().unwrap().1;
        assert_eq!(keys(&b).account().unwrap().1, name);
        assert!(!name.starts_with(keys(&a).prefix()) && name.ends_with(&account.to_string()));
        let after = keys(&b).mirror_agave(&b).after(Some(a));
        assert_eq!(after.before().map(|(who, keys)| (who, keys.owner())), Some((a, keys(&a).owner())));
        assert!(after.before().unwrap().1.agave().is_some(), "an agave node may have voted under it");
        assert_eq!(after.rehearsal_of(&a).account(), None, "a rehearsal speaks for nobody");
        assert_eq!(after.after(None).before(), None);
    }
}
