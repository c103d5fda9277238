//! What the cluster says: whose the vote account is, who may vote for it, how fresh the tower is, what time it is.

use {
    super::{Finding, Patient, features, files::KeysFound, running::Running},
    crate::{
        commands::{on_chain, tower::freshness},
        rpc_client::RpcClient,
    },
    serde_json::{Value, json},
    tandem_env::wall_clock,
    tandem_tower_storage::StoredTower,
    tandem_types::Pubkey,
};

/// The identity of the vote account: by the running node, by the cluster, or, of a node that insists to be it, its own.
pub fn pair_identity(
    patient: &Patient<'_>,
    node: Option<&Running>,
    keys: &KeysFound,
    findings: &mut Vec<Finding>,
) -> Option<Pubkey> {
    let by_node = node.and_then(|node| node.status.pair_identity.as_ref()?.parse().ok());
    let by_chain = || on_chain::ask(&patient.ledger, patient.url, Some(keys.vote_account?), None).ok();
    let own = || keys.identity.filter(|_| !patient.run.no_check_vote_account && keys.vote_account.is_some());
    // A secondary is given the primary's keypair to vote with.
    let by_voter = || keys.authorized_voters.first().copied();
    let found = by_node.or_else(|| by_chain().map(|found| found.node)).or_else(own).or_else(by_voter);
    if found.is_none() {
        findings.push(Finding::warn(
            "vote account",
            "its identity is not known here",
            "no --vote-account, no running validator and no node to ask",
            "give --vote-account, and --url http://HOST:8899 of any node of the cluster",
        ));
    }
    found
}

pub fn look(
    patient: &Patient<'_>,
    keys: &KeysFound,
    identity: Option<Pubkey>,
    tower: Option<&StoredTower>,
    findings: &mut Vec<Finding>,
) {
    let rpc = match on_chain::rpc(&patient.ledger, patient.url) {
        Ok(rpc) => rpc,
        Err(failure) => {
            findings.push(Finding::warn(
                "chain",
                "not compared",
                failure.what,
                "name any node of the cluster with --url http://HOST:8899",
            ));
            return;
        }
    };
    findings.push(clock(&rpc));
    findings.push(features::look(&rpc));
    let Some(vote_account) = keys.vote_account else { return };
    match on_chain::ask(&patient.ledger, patient.url, Some(vote_account), None) {
        Ok(state) => {
            findings.push(owner_of(patient, keys, &state));
            findings.extend(tower.map(|tower| freshness(&state, tower)));
        }
        Err(failure) => findings.push(Finding::fail(
            format!("vote account {vote_account}"),
            "unknown to the cluster",
            failure.what,
            "check --vote-account, and that the node asked is of the same cluster",
        )),
    }
    findings.push(authorized_voter(&rpc, vote_account, keys, identity));
}

fn owner_of(patient: &Patient<'_>, keys: &KeysFound, state: &on_chain::OnChain) -> Finding {
    let subject = format!("vote account {}", state.vote_account);
    let fact = format!("its identity is {}", state.node);
    match keys.identity {
        Some(own) if own != state.node && !patient.run.no_check_vote_account => Finding::fail(
            subject,
            fact,
            format!("--identity is {own}: this machine will refuse to start"),
            "a primary has the identity's own key; a secondary is started with --no-check-vote-account",
        ),
        Some(_) | None => Finding::ok(subject, fact),
    }
}

/// Votes are signed by the authorized voter of the epoch: that key must be here, or a takeover would be mute.
fn authorized_voter(rpc: &RpcClient, vote_account: Pubkey, keys: &KeysFound, identity: Option<Pubkey>) -> Finding {
    let subject = "authorized voter";
    let Some(voter) = voter_of(rpc, vote_account) else {
        return Finding::warn(
            subject,
            "not compared",
            format!("the node asked does not show vote account {vote_account} in readable form"),
            "name another node with --url http://HOST:8899, or see `solana vote-account`",
        );
    };
    let fact = format!("{voter} on chain");
    let here = keys.authorized_voters.contains(&voter) || keys.identity == Some(voter);
    if here {
        Finding::ok(subject, format!("{fact}, and its key is here"))
    } else if identity == Some(voter) {
        Finding::warn(
            subject,
            fact,
            "it is the identity itself, whose key comes with set-identity; until then this node has none that may vote",
            "--authorized-voter validator-keypair.json, or validator authorized-voter add validator-keypair.json",
        )
    } else {
        Finding::fail(
            subject,
            fact,
            "none of the keys given to this node is that one: it could not vote",
            "validator authorized-voter add KEYPAIR, or start it with --authorized-voter KEYPAIR",
        )
    }
}

fn voter_of(rpc: &RpcClient, vote_account: Pubkey) -> Option<Pubkey> {
    let params = json!([vote_account.to_string(), { "encoding": "jsonParsed" }]);
    let account: Value = rpc.call("getAccountInfo", params).ok()?;
    let voters = account["value"]["data"]["parsed"]["info"]["authorizedVoters"].as_array()?;
    voters.last()?["authorizedVoter"].as_str()?.parse().ok()
}

/// The cluster's own time, in whole seconds, is a median of what voters say.
fn clock(rpc: &RpcClient) -> Finding {
    let time = || -> Option<i64> {
        let slot: u64 = rpc.call("getSlot", json!([{ "commitment": "confirmed" }])).ok()?;
        rpc.call::<Option<i64>>("getBlockTime", json!([slot])).ok()?
    };
    let Some(chain) = time() else {
        let remedy = "chronyc tracking, or timedatectl, say whether this machine's clock is synchronized";
        return Finding::warn("clock", "not compared", "the node asked does not say the cluster's time", remedy);
    };
    let here = i64::try_from(wall_clock().0 / 1_000).unwrap_or(i64::MAX);
    let apart = here - chain;
    let fact = format!("{apart} s ahead of the cluster's last confirmed block");
    if apart.abs() > CLOCK_APART_MAX_S {
        return Finding::warn(
            "clock",
            fact,
            "nothing here depends on it for safety, but gossip drops what is too old or from the future, and certificates expire by it",
            "timedatectl set-ntp true, or chronyc makestep",
        );
    }
    Finding::ok("clock", fact)
}

/// Blocks are up to seconds old, and the cluster's time may run a quarter off its voters' clocks.
const CLOCK_APART_MAX_S: i64 = 30;
