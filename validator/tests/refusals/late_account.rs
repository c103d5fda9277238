//! A vote account that is made, and later given to another identity, by real transactions while the primary runs.

use {
    super::{hostile::status, *},
    serde_json::{Value, json},
    solana_transaction::Transaction,
    solana_vote_interface::{
        instruction::{CreateVoteAccountConfig, create_account_with_config, update_validator_identity},
        state::VoteInit,
    },
    tandem_identity::read_keypair_file,
    tandem_types::{Hash, Keypair, Signer},
};

#[test]
fn a_vote_account_made_after_the_start_has_a_primary_and_one_given_away_has_none() {
    let place = Place::new();
    let (gossip, rpc) = (place.ports + 40, place.ports + 41);
    let mut voter = place.run(&format!("--gossip-port {gossip} --rpc-port {rpc}"));
    voter.wait_until("it confirms blocks", || status(&place)["confirmed"].as_u64() > Some(1));

    fs::create_dir(place.path("late")).unwrap();
    fs::copy(place.path("ledger/genesis.bin"), place.path("late/genesis.bin")).unwrap();
    let key = |name: &str| read_keypair_file(&place.path(name)).unwrap();
    for name in ["late-i.json", "late-v.json", "next-i.json"] {
        tandem_identity::write_keypair_file(&Keypair::new(), &place.path(name)).unwrap();
    }
    let (payer, node, account, next) = (key("i.json"), key("late-i.json"), key("late-v.json"), key("next-i.json"));
    let line = format!(
        "-l @late -i @late-i.json --vote-account @late-v.json -n 127.0.0.1:{gossip} --dynamic-port-range {}-{}",
        place.ports + 43,
        place.ports + 59
    );
    let log = fs::File::create(place.path("late-log")).unwrap();
    let child = place.command(&line).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let mut late = Running { child, log: place.path("late-log") };
    let ask = || -> Value {
        let output = place.command("-l @late monitor --once --output json").output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    let reason = format!("vote account {} does not exist at root", account.pubkey());
    late.wait_until("it says what it waits for", || {
        ask()["objection"].as_str().is_some_and(|objection| objection.contains(&reason))
    });
    assert_eq!(ask()["role"], "STANDBY");
    let doctor = place.command("-l @late doctor").output().unwrap();
    assert!(String::from_utf8_lossy(&doctor.stdout).contains(&reason), "{doctor:?}");

    let init = VoteInit {
        node_pubkey: node.pubkey(),
        authorized_voter: node.pubkey(),
        authorized_withdrawer: payer.pubkey(),
        commission: 0,
    };
    let made = create_account_with_config(
        &payer.pubkey(),
        &account.pubkey(),
        &init,
        1_000_000_000,
        CreateVoteAccountConfig::default(),
    );
    send(rpc, |hash| solana_system_transaction::transfer(&payer, &node.pubkey(), 1_000_000_000, hash));
    send(rpc, |hash| {
        Transaction::new_signed_with_payer(&made, Some(&payer.pubkey()), &[&payer, &account, &node], hash)
    });

    late.wait_until("it votes", || ask()["role"] == "ACTIVE" && ask()["last_vote"].as_u64().is_some());
    late.wait_until("its votes land", || {
        let asked = json!([account.pubkey().to_string(), { "encoding": "jsonParsed" }]);
        let found = call(rpc, "getAccountInfo", asked);
        found["value"]["data"]["parsed"]["info"]["votes"].as_array().is_some_and(|votes| !votes.is_empty())
    });
    // Said once, however many roots went by; and taken back.
    assert_eq!(late.log().matches("this node cannot vote").count(), 1, "{}", late.log());
    assert_eq!(ask()["objection"], Value::Null);

    // vote-update-validator.
    let change = update_validator_identity(&account.pubkey(), &payer.pubkey(), &next.pubkey());
    send(rpc, |hash| {
        Transaction::new_signed_with_payer(std::slice::from_ref(&change), Some(&payer.pubkey()), &[&payer, &next], hash)
    });
    let until = Instant::now() + Duration::from_secs(60);
    while late.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it still votes for an account that is another identity's: {}", ask());
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(late.child.wait().unwrap().code(), Some(REFUSED), "{}", late.log());
    let log = late.log();
    let last = log.lines().last().unwrap_or_default();
    for part in ["error: ", &account.pubkey().to_string(), &next.pubkey().to_string(), "given back"] {
        assert!(last.contains(part), "{last:?} lacks {part:?}");
    }
    voter.still_runs();
}

/// Signed, sent, and waited for.
fn send(rpc: u16, signed: impl FnOnce(Hash) -> Transaction) {
    use base64::Engine;
    let hash = call(rpc, "getLatestBlockhash", json!([{ "commitment": "processed" }]));
    let transaction = signed(hash["value"]["blockhash"].as_str().unwrap().parse().unwrap());
    let bytes = bincode::serialize(&tandem_types::VersionedTransaction::from(transaction)).unwrap();
    let text = base64::prelude::BASE64_STANDARD.encode(bytes);
    let options = json!({ "encoding": "base64", "preflightCommitment": "processed" });
    let signature = call(rpc, "sendTransaction", json!([text, options]));
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let found = call(rpc, "getSignatureStatuses", json!([[signature]]));
        let status = &found["value"][0];
        if !status.is_null() {
            assert_eq!(status["err"], Value::Null, "{status}");
            return;
        }
        assert!(Instant::now() < until, "the transaction has not landed");
        thread::sleep(Duration::from_millis(100));
    }
}

#[track_caller]
fn call(rpc: u16, method: &str, params: Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let url = format!("http://127.0.0.1:{rpc}");
    let body = ureq::post(&url)
        .header("content-type", "application/json")
        .send(request.to_string())
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    let reply: Value = serde_json::from_str(&body).unwrap();
    assert!(reply["error"].is_null(), "{method}: {reply}");
    reply["result"].clone()
}
