//! What voters can do to the pair by what they sign: a small one's word about a far slot, and the vote account's own change of voter.

use {
    super::operator,
    crate::{
        admin::client::AdminClient,
        dev::{
            cluster::{PRIMARY, SECONDARY, VOTER_A},
            faults::{
                lab::{CATCH_UP, END, Lab, active, standing_by, until},
                round::Round,
                small_voter::SmallVoter,
            },
            interrupt,
        },
        exit::{Failure, Status},
    },
    base64::{Engine, prelude::BASE64_STANDARD},
    serde_json::{Value, json},
    solana_transaction::Transaction,
    solana_vote_interface::{instruction::authorize, state::VoteAuthorize},
    std::{
        net::SocketAddr,
        time::{Duration, Instant},
    },
    tandem_env::unix_nanos,
    tandem_types::{Hash, Keypair, Signer},
};

/// Past anything that a node could take for the tip, and within the epochs whose voters are known.
const FAR_SLOTS: u64 = 2_000;

pub fn far_vote(lab: &mut Lab) -> Result<Round, Failure> {
    let small = SmallVoter { node: lab.key("voter-small-identity")?, account: lab.key("voter-small-vote")?.pubkey() };
    let before = lab.cluster.status(PRIMARY)?;
    let far = before.tip + FAR_SLOTS;
    let contacts = [PRIMARY, SECONDARY].map(|index| contact(lab, index));
    let [primary, secondary] = contacts;
    let (primary, secondary) = (primary?, secondary?);
    small.send_to_vote_ports(far, &[address(&primary, "tpu_vote")?, address(&secondary, "tpu_vote")?])?;
    let version = primary["shred_version"].as_u64().and_then(|version| u16::try_from(version).ok());
    let version = version.ok_or_else(|| Failure::failed("contact-info shows no shred version"))?;
    small.gossip(far + 1, version, &[address(&primary, "gossip")?, address(&secondary, "gossip")?])?;
    // Looked at many times while it is the newest word of that voter.
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        for index in [PRIMARY, SECONDARY] {
            let status = lab.cluster.status(index)?;
            if !status.caught_up || status.cluster_tip >= far {
                let (tip, cluster) = (status.tip, status.cluster_tip);
                return Err(Failure::failed(format!("one voter named slot {far}: tip {tip}, the cluster's {cluster}")));
            }
        }
        interrupt::pause(Duration::from_millis(100))?;
    }
    if lab.cluster.status(PRIMARY)?.term != before.term {
        return Err(Failure::failed("the identity changed hands by one voter's word"));
    }
    operator::planned(lab)
}

pub fn rotated(lab: &mut Lab) -> Result<Round, Failure> {
    let new = lab.cluster.keys.join("new-voter.json");
    tandem_identity::write_keypair_file(&Keypair::new(), &new).map_err(Failure::failed)?;
    let (voter, new_voter) = (lab.key("validator-keypair")?, lab.key("new-voter")?.pubkey());
    let account = lab.cluster.vote_account;
    send(lab, |hash| {
        let change = authorize(&account, &voter.pubkey(), &new_voter, VoteAuthorize::Voter);
        Transaction::new_signed_with_payer(&[change], Some(&voter.pubkey()), &[&voter], hash)
    })?;
    // Due two epochs later. The owner has not got the key: it must not keep an identity that it cannot vote for.
    lab.gone(PRIMARY, &[Status::Refused], 2 * CATCH_UP)?;
    // Neither has the secondary, nor the primary as it was.
    if lab.set_identity(SECONDARY, "validator-keypair", &[]).is_ok() {
        return Err(Failure::failed("a machine without the voter's key took the identity"));
    }
    lab.cluster.start(PRIMARY)?;
    lab.cluster.wait_for(PRIMARY, "caught up", CATCH_UP, standing_by)?;
    until("it says which key is missing", END, || lab.says(PRIMARY, "no key given to this node may vote"))?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        if lab.cluster.status(PRIMARY)?.term.is_some() {
            return Err(Failure::failed("a primary without the voter's key has claimed"));
        }
        interrupt::pause(Duration::from_millis(100))?;
    }
    lab.end(PRIMARY)?;
    let since = unix_nanos();
    let started = Instant::now();
    lab.cluster.nodes[PRIMARY].changes.insert("--authorized-voter", Some(new.display().to_string()));
    lab.cluster.start(PRIMARY)?;
    lab.cluster.wait_for(PRIMARY, "become ACTIVE with the new voter", CATCH_UP, active)?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    lab.wait_vote(PRIMARY, CATCH_UP)?;
    lab.round(since, PRIMARY, ms)
}

fn contact(lab: &Lab, index: usize) -> Result<Value, Failure> {
    AdminClient::connect_within(&lab.cluster.nodes[index].ledger, Duration::from_secs(2))?
        .call("contactInfo", json!([]))
}

fn address(contact: &Value, name: &str) -> Result<SocketAddr, Failure> {
    let address = contact[name].as_str().and_then(|address| address.parse().ok());
    address.ok_or_else(|| Failure::failed(format!("contact-info shows no {name}")))
}

/// By the first voter, and waited for.
pub(super) fn send(lab: &Lab, signed: impl FnOnce(Hash) -> Transaction) -> Result<(), Failure> {
    let rpc = lab.cluster.rpc(VOTER_A);
    let ask = |method: &str, params: Value| rpc.call::<Value>(method, params).map_err(Failure::failed);
    let hash = ask("getLatestBlockhash", json!([]))?;
    let hash = hash["value"]["blockhash"].as_str().and_then(|hash| hash.parse().ok());
    let transaction = signed(hash.ok_or_else(|| Failure::failed("no blockhash"))?);
    let bytes = bincode::serialize(&transaction).map_err(Failure::failed)?;
    let signature = ask("sendTransaction", json!([BASE64_STANDARD.encode(bytes), { "encoding": "base64" }]))?;
    let mut failed = None;
    until("the transaction has landed", Duration::from_secs(60), || {
        let status = ask("getSignatureStatuses", json!([[signature]]));
        let status = status.map(|found| found["value"][0].clone()).unwrap_or_default();
        failed = Some(&status["err"]).filter(|error| !error.is_null()).map(ToString::to_string);
        !status.is_null()
    })?;
    failed.map_or(Ok(()), |error| Err(Failure::failed(format!("the transaction failed: {error}"))))
}
