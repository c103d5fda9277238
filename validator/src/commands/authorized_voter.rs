//! `validator authorized-voter add|remove-all`.

use {
    super::keypair_from,
    crate::{admin::client::AdminClient, args::AuthorizedVoterCommand, exit::Failure, status::NodeStatus},
    serde_json::json,
    std::path::Path,
    tandem_types::Signer,
};

pub fn authorized_voter(ledger: &Path, command: &AuthorizedVoterCommand) -> Result<(), Failure> {
    match command {
        AuthorizedVoterCommand::Add { keypair } => {
            let keypair = keypair_from(keypair.as_ref())?;
            println!("Adding authorized voter: {}", keypair.pubkey());
            AdminClient::connect(ledger)?.call_with_key("addAuthorizedVoterFromBytes", &keypair, &[])
        }
        AuthorizedVoterCommand::RemoveAll => {
            let mut client = AdminClient::connect(ledger)?;
            client.call::<()>("removeAllAuthorizedVoters", json!([]))?;
            let status: NodeStatus = client.call("tandemStatus", json!([]))?;
            if let Some(follows) = what_follows(&status) {
                println!("{follows}");
            }
            Ok(())
        }
    }
}

/// An owner without a voter's key is on its way out.
fn what_follows(status: &NodeStatus) -> Option<String> {
    let term = status.term?;
    Some(format!(
        "This validator owns the identity (term {term}). The identity's own key still signs where it is the authorized voter; where \
         another one is, no vote can be signed from now on, and after 8 votes that are not the identity is given back. Add a voter \
         with `validator authorized-voter add`, or hand over with `set-identity` on the other machine"
    ))
}

#[cfg(test)]
mod tests {
    use {super::*, crate::node::starting_status, tandem_identity::Vault, tandem_types::Keypair};

    #[test]
    fn an_owner_is_told_what_follows_and_a_standby_is_not() {
        let standby = starting_status(&Vault::new(Keypair::new()));
        assert_eq!(what_follows(&standby), None);
        let owner = NodeStatus { term: Some(4), ..standby };
        let text = what_follows(&owner).expect("it is told");
        assert!(text.contains("term 4") && text.contains("8 votes") && text.contains("authorized-voter add"), "{text}");
    }
}
