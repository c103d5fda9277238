//! What the chain says of a vote account, by JSON-RPC: of a named node, or of the validator that runs here.

use {
    crate::{
        admin::client::AdminClient,
        exit::Failure,
        rpc_client::{RpcClient, RpcError},
        status::NodeStatus,
    },
    serde_json::{Value, json},
    std::{net::SocketAddr, path::Path, time::Duration},
    tandem_types::{Pubkey, Slot},
};

pub struct OnChain {
    pub vote_account: Pubkey,
    /// The identity of the vote account.
    pub node: Pubkey,
    pub last_vote: Option<Slot>,
}

/// A node to ask: the one named, or the one whose ledger this is.
pub fn rpc(ledger: &Path, url: Option<&str>) -> Result<RpcClient, Failure> {
    if let Some(url) = url {
        return RpcClient::at(url).map_err(|reason| {
            Failure::usage(format!("--url {url}: {reason}"))
                .remedy("write it as http://HOST:8899; there is no TLS here")
        });
    }
    let address: Option<SocketAddr> =
        AdminClient::connect_within(ledger, ADMIN_PATIENCE)?.call("rpcAddress", json!([]))?;
    let Some(address) = address else {
        return Err(Failure::failed("the validator here has no JSON-RPC port")
            .remedy("name another node with --url http://HOST:8899, or start it with --rpc-port"));
    };
    Ok(RpcClient::new(address))
}

/// The vote account: the one named, or the running validator's, or the only one of the identity.
pub fn ask(
    ledger: &Path,
    url: Option<&str>,
    vote_account: Option<Pubkey>,
    identity: Option<&Pubkey>,
) -> Result<OnChain, Failure> {
    let rpc = rpc(ledger, url)?;
    let named = vote_account.or_else(|| running(ledger)?.vote_account?.parse().ok());
    let accounts: Value = rpc.call("getVoteAccounts", json!([])).map_err(|error: RpcError| Failure::failed(error))?;
    let all = ["current", "delinquent"].into_iter().filter_map(|kind| accounts[kind].as_array()).flatten();
    let matching = all.filter_map(read).find(|found| match named {
        Some(named) => found.vote_account == named,
        None => Some(&found.node) == identity,
    });
    matching.ok_or_else(|| {
        let whom = named.map_or_else(|| "that identity".to_owned(), |named| format!("vote account {named}"));
        Failure::failed(format!("the cluster has no staked {whom}")).remedy("check --vote-account and the node asked")
    })
}

/// The status of the validator here, if one answers.
pub fn running(ledger: &Path) -> Option<NodeStatus> {
    AdminClient::connect_within(ledger, ADMIN_PATIENCE).ok()?.call("tandemStatus", json!([])).ok()
}

fn read(account: &Value) -> Option<OnChain> {
    Some(OnChain {
        vote_account: account["votePubkey"].as_str()?.parse().ok()?,
        node: account["nodePubkey"].as_str()?.parse().ok()?,
        // An account that never voted says 0.
        last_vote: account["lastVote"].as_u64().filter(|slot| *slot > 0),
    })
}

const ADMIN_PATIENCE: Duration = Duration::from_secs(5);
