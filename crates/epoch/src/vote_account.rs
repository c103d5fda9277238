//! A vote account with its content read: made once when the account changes, then shared.

use {
    crate::vote_layout::{VoteLayoutError, VoteState, VoteStateVersion},
    solana_account::{AccountSharedData, ReadableAccount},
    solana_sdk_ids::vote,
    solana_vote_interface::state::VoteStateVersions,
    std::sync::Arc,
    tandem_types::Pubkey,
};

/// Cheap to clone. Equal if the accounts are equal.
#[derive(Clone, Debug)]
pub struct VoteAccount(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    account: AccountSharedData,
    state: VoteState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VoteAccountError {
    #[error("the owner {0} is not the vote program")]
    WrongOwner(Pubkey),
    #[error("the data is not of a vote account's size or was never initialized")]
    Uninitialized,
    #[error("the vote state has the layout of 0.23.5, which the runtime no longer counts")]
    OldVersion,
    #[error("the vote state cannot be read")]
    Layout(#[from] VoteLayoutError),
}

impl VoteAccount {
    /// Reads `account` if the runtime counts it as a vote account (solana-runtime stakes.rs: check_and_store).
    pub fn parse(account: &AccountSharedData) -> Result<Self, VoteAccountError> {
        if !vote::check_id(account.owner()) {
            return Err(VoteAccountError::WrongOwner(*account.owner()));
        }
        if !VoteStateVersions::is_correct_size_and_initialized(account.data()) {
            return Err(VoteAccountError::Uninitialized);
        }
        let state = VoteState::parse(account.data())?;
        match state.version {
            VoteStateVersion::V0_23_5 => Err(VoteAccountError::OldVersion),
            VoteStateVersion::V1_14_11 | VoteStateVersion::V3 | VoteStateVersion::V4 => {
                Ok(Self(Arc::new(Inner { account: account.clone(), state })))
            }
        }
    }

    pub fn account(&self) -> &AccountSharedData {
        &self.0.account
    }

    pub fn lamports(&self) -> u64 {
        self.0.account.lamports()
    }

    pub fn state(&self) -> &VoteState {
        &self.0.state
    }

    /// Identity of the validator that votes with this account.
    pub fn node(&self) -> &Pubkey {
        &self.0.state.node
    }
}

impl PartialEq for VoteAccount {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.account == other.0.account
    }
}
