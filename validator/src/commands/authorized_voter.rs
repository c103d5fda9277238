//! `validator authorized-voter add|remove-all`.

use {
    super::keypair_from,
    crate::{admin::client::AdminClient, args::AuthorizedVoterCommand, exit::Failure},
    serde_json::json,
    std::path::Path,
    tandem_types::Signer,
};

pub fn authorized_voter(ledger: &Path, command: &AuthorizedVoterCommand) -> Result<(), Failure> {
    match command {
        AuthorizedVoterCommand::Add { keypair } => {
            let keypair = keypair_from(keypair.as_ref())?;
            println!("Adding authorized voter: {}", keypair.pubkey());
            AdminClient::connect(ledger)?.call("addAuthorizedVoterFromBytes", json!([keypair.to_bytes().to_vec()]))
        }
        AuthorizedVoterCommand::RemoveAll => AdminClient::connect(ledger)?.call("removeAllAuthorizedVoters", json!([])),
    }
}
