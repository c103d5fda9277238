//! Requests and answers.

use {
    crate::node::{Node, SOL, agent, key},
    base64::{Engine, prelude::BASE64_STANDARD},
    serde_json::{Value, json},
    solana_epoch_info::EpochInfo,
    solana_rpc_client_types::response::{
        Response, RpcConfirmedTransactionStatusWithSignature, RpcLeaderSchedule, RpcSimulateTransactionResult,
        RpcVersionInfo, RpcVoteAccountStatus, UiConfirmedBlock,
    },
    solana_transaction_status::{EncodedConfirmedTransactionWithStatusMeta, TransactionStatus},
    tandem_rpc::Health,
    tandem_types::{Signer, VersionedTransaction},
};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn base64(transaction: &VersionedTransaction) -> String {
    BASE64_STANDARD.encode(wincode::serialize(transaction).unwrap())
}

#[test]
fn balances_follow_the_commitment() {
    let node = Node::start();
    let to = key(50).to_string();
    let bank = node.block(&[node.transfer(key(50), SOL)]);
    let at = |commitment| node.result("getBalance", json!([to, { "commitment": commitment }]));
    assert_eq!(at("processed")["value"], SOL);
    assert_eq!(at("processed")["context"], json!({ "slot": 1, "apiVersion": "4.2.2" }));
    assert_eq!(at("confirmed")["value"], 0);
    node.confirm(&bank);
    assert_eq!(at("confirmed")["value"], SOL);
    assert_eq!(node.result("getBalance", json!([to]))["value"], 0, "finalized unless said otherwise");
    node.finalize(&bank);
    assert_eq!(node.result("getBalance", json!([to, null]))["value"], SOL);
    let error = node.error("getSlot", json!([{ "minContextSlot": 9 }]));
    assert_eq!((&error["code"], &error["data"]), (&json!(-32016), &json!({ "contextSlot": 1 })));
}

#[test]
fn a_transaction_is_simulated_sent_and_followed() {
    let node = Node::start();
    node.block(&[]);
    let hash = node.result("getLatestBlockhash", json!([{ "commitment": "processed" }]));
    assert_eq!(hash["value"]["blockhash"], node.chain.load().processed.last_blockhash().to_string());
    assert_eq!(hash["value"]["lastValidBlockHeight"], 151);

    let transfer = node.transfer(key(50), SOL);
    let signature = transfer.signatures[0].to_string();
    let config = json!({ "encoding": "base64", "preflightCommitment": "processed", "minContextSlot": null });
    assert_eq!(node.result("sendTransaction", json!([base64(&transfer), config])), signature);
    {
        let submitted = node.submitted.lock().unwrap();
        assert_eq!(submitted[0].bytes, wincode::serialize(&transfer).unwrap());
        assert_eq!((submitted[0].signature, submitted[0].last_valid_block_height), (transfer.signatures[0], 151));
    }
    let statuses = || {
        read::<Response<Vec<Option<TransactionStatus>>>>(
            node.result("getSignatureStatuses", json!([[signature], { "searchTransactionHistory": true }])),
        )
    };
    assert_eq!(statuses().value, [None]);
    let bank = node.block(&[transfer]);
    assert_eq!(statuses().value[0].as_ref().unwrap().confirmations, Some(0));
    node.confirm(&bank);
    let found = node.result("getTransaction", json!([signature, { "commitment": "confirmed" }]));
    let found: EncodedConfirmedTransactionWithStatusMeta = read(found);
    assert_eq!((found.slot, found.transaction_index), (2, Some(0)));
    let meta = found.transaction.meta.unwrap();
    assert_eq!((meta.fee, meta.post_balances[1]), (5000, SOL));
    assert!(meta.log_messages.unwrap().iter().any(|line| line.contains("success")));
    assert_eq!(node.result("getTransaction", json!([signature])), Value::Null, "not finalized yet");
    node.finalize(&bank);
    assert!(statuses().value[0].as_ref().unwrap().confirmations.is_none());
    let parsed = node.result("getTransaction", json!([signature, { "encoding": "jsonParsed" }]));
    assert_eq!(parsed["transaction"]["message"]["instructions"][0]["parsed"]["type"], "transfer");

    let of = |params| {
        read::<Vec<RpcConfirmedTransactionStatusWithSignature>>(node.result("getSignaturesForAddress", params))
    };
    assert_eq!(of(json!([key(50).to_string()]))[0].signature, signature);
    assert_eq!(of(json!([key(50).to_string(), { "before": signature }])), []);
    let unknown = json!([key(50).to_string(), { "until": bs58::encode([9; 64]).into_string() }]);
    assert_eq!(node.error("getSignaturesForAddress", unknown)["code"], -32020);
}

#[test]
fn simulation_shows_what_would_happen() {
    let node = Node::start();
    node.block(&[]);
    let transfer = node.transfer(key(50), SOL);
    let config = json!({
        "encoding": "base64", "commitment": "processed", "sigVerify": true, "innerInstructions": true,
        "accounts": { "encoding": "base64", "addresses": [key(50).to_string()] },
    });
    let result: Response<RpcSimulateTransactionResult> =
        read(node.result("simulateTransaction", json!([base64(&transfer), config])));
    assert_eq!(result.value.err, None);
    assert!(result.value.units_consumed.unwrap() > 0);
    assert_eq!(result.value.accounts.unwrap()[0].as_ref().unwrap().lamports, SOL);
    assert_eq!(node.result("getBalance", json!([key(50).to_string(), { "commitment": "processed" }]))["value"], 0);

    let mut forged = transfer.clone();
    forged.signatures[0] = Default::default();
    let result: Response<RpcSimulateTransactionResult> =
        read(node.result("simulateTransaction", json!([base64(&forged), config])));
    assert_eq!(result.value.err.unwrap().to_string(), "Transaction did not pass signature verification");
    let replaced = json!({ "encoding": "base64", "commitment": "processed", "replaceRecentBlockhash": true });
    forged.message.set_recent_blockhash(Default::default());
    let result = node.result("simulateTransaction", json!([base64(&forged), replaced]));
    assert_eq!(result["value"]["err"], Value::Null);
    assert_eq!(result["value"]["replacementBlockhash"]["lastValidBlockHeight"], 151);

    let fee = BASE64_STANDARD.encode(transfer.message.serialize());
    assert_eq!(node.result("getFeeForMessage", json!([fee, { "commitment": "processed" }]))["value"], 5000);
}

#[test]
fn what_preflight_refuses_is_not_sent() {
    let node = Node::start();
    node.block(&[]);
    let config = json!({ "encoding": "base64", "preflightCommitment": "processed" });
    let too_much = base64(&node.transfer(key(50), 2_000_000 * SOL));
    let error = node.error("sendTransaction", json!([too_much, config]));
    assert_eq!(error["code"], -32002);
    assert_eq!(error["data"]["err"], json!({ "InstructionError": [0, { "Custom": 1 }] }));
    let mut forged = node.transfer(key(50), SOL);
    forged.signatures[0] = Default::default();
    let error = node.error("sendTransaction", json!([base64(&forged), config]));
    assert_eq!((&error["code"], &error["data"]["err"]), (&json!(-32002), &json!("SignatureFailure")));
    *node.health.lock().unwrap() = Health::Behind { slots: 40 };
    let error = node.error("sendTransaction", json!([base64(&node.transfer(key(50), SOL)), config]));
    assert_eq!((&error["code"], &error["data"]), (&json!(-32005), &json!({ "numSlotsBehind": 40 })));
    assert!(node.submitted.lock().unwrap().is_empty());
    let unchecked = json!({ "encoding": "base64", "skipPreflight": true });
    node.result("sendTransaction", json!([base64(&forged), unchecked]));
    assert_eq!(node.submitted.lock().unwrap().len(), 1);
}

#[test]
fn the_faucet_pays_while_the_queue_has_room() {
    let node = Node::start();
    let ask = json!([key(50).to_string(), SOL, { "commitment": "confirmed" }]);
    let signature = node.result("requestAirdrop", ask.clone());
    {
        let submitted = node.submitted.lock().unwrap();
        let transaction: VersionedTransaction = wincode::deserialize(&submitted[0].bytes).unwrap();
        assert_eq!(signature, transaction.signatures[0].to_string());
        assert_eq!(transaction.message.static_account_keys()[..2], [node.faucet.pubkey(), key(50)]);
        assert!(transaction.verify_with_results().iter().all(|is_good| *is_good));
    }
    node.result("requestAirdrop", ask.clone());
    node.result("requestAirdrop", ask.clone());
    let error = node.error("requestAirdrop", ask);
    assert_eq!(error["code"], -32603);
    assert!(error["message"].as_str().unwrap().contains("try again"));
}

#[test]
fn epochs_leaders_and_votes() {
    let node = Node::start();
    let bank = node.block(&[]);
    node.confirm(&bank);
    let info: EpochInfo = read(node.result("getEpochInfo", json!([{ "commitment": "confirmed" }])));
    assert_eq!((info.epoch, info.slot_index, info.slots_in_epoch, info.block_height), (0, 1, 64, 1));
    let schedule: RpcLeaderSchedule = read(node.result("getLeaderSchedule", json!([])));
    assert_eq!(schedule[&node.identity.to_string()], (0..64).collect::<Vec<usize>>());
    assert_eq!(node.result("getLeaderSchedule", json!([64 * 9])), Value::Null);
    let other = json!([null, { "identity": key(77).to_string() }]);
    assert_eq!(node.result("getLeaderSchedule", other), json!({}));
    assert_eq!(
        node.result("getSlotLeaders", json!([3, 2])),
        json!([node.identity.to_string(), node.identity.to_string()])
    );
    assert_eq!(node.error("getSlotLeaders", json!([64 * 9, 1]))["code"], -32602);
    assert_eq!(node.result("getSlotLeader", json!([])), node.identity.to_string());
    let votes: RpcVoteAccountStatus = read(node.result("getVoteAccounts", json!([])));
    // It has not voted yet.
    assert_eq!(votes.current, []);
    assert_eq!(votes.delinquent[0].vote_pubkey, node.vote.to_string());
    assert_eq!(votes.delinquent[0].inflation_rewards_commission_bps, Some(10_000));
    assert!(votes.delinquent[0].activated_stake > 999 * SOL && votes.delinquent[0].epoch_vote_account);
    let production = node.result("getBlockProduction", json!([{ "commitment": "confirmed" }]));
    assert_eq!(production["value"]["byIdentity"][node.identity.to_string()], json!([2, 2]));
    assert_eq!(node.result("getStakeMinimumDelegation", json!([]))["value"], SOL);
    assert!(node.result("getInflationRate", json!([]))["total"].as_f64().unwrap() > 0.0);
}

#[test]
fn blocks_are_shown_once_they_are_confirmed() {
    let node = Node::start();
    let banks: Vec<_> = (0..3).map(|n| node.block(&[node.transfer(key(50), SOL + n)])).collect();
    assert_eq!(node.error("getBlock", json!([1]))["code"], -32004);
    node.confirm(&banks[2]);
    node.finalize(&banks[1]);
    let block: UiConfirmedBlock = read(node.result("getBlock", json!([2, { "maxSupportedTransactionVersion": 0 }])));
    assert_eq!((block.parent_slot, block.block_height, block.transactions.unwrap().len()), (1, Some(2), 1));
    assert_eq!(block.previous_blockhash, banks[0].last_blockhash().to_string());
    assert_eq!(block.rewards.unwrap()[0].pubkey, node.identity.to_string(), "the leader's fees");
    assert_eq!(node.error("getBlock", json!([3]))["code"], -32004);
    node.result("getBlock", json!([3, { "commitment": "confirmed", "transactionDetails": "accounts" }]));
    assert_eq!(node.error("getBlock", json!([3, { "commitment": "processed" }]))["code"], -32602);
    assert_eq!(node.result("getBlocks", json!([1])), json!([1, 2]));
    assert_eq!(node.result("getBlocks", json!([1, { "commitment": "confirmed" }])), json!([1, 2, 3]));
    assert_eq!(node.result("getBlocks", json!([2, 3, { "commitment": "confirmed" }])), json!([2, 3]));
    assert_eq!(node.result("getBlocksWithLimit", json!([1, 1])), json!([1]));
    assert!(node.result("getBlockTime", json!([2])).as_i64().unwrap() >= 1_700_000_000);
    assert_eq!(node.result("getFirstAvailableBlock", json!([])), 1);
    assert_eq!(node.result("getRecentPrioritizationFees", json!([]))[0], json!({ "slot": 1, "prioritizationFee": 0 }));
}

#[test]
fn accounts_are_encoded_as_asked() {
    let node = Node::start();
    let faucet = node.faucet.pubkey().to_string();
    let account = node.result("getAccountInfo", json!([faucet]));
    assert_eq!(account["value"]["data"], "");
    let clock = "SysvarC1ock11111111111111111111111111111111";
    let parsed = node.result("getAccountInfo", json!([clock, { "encoding": "jsonParsed" }]));
    assert_eq!(parsed["value"]["data"]["parsed"]["type"], "clock");
    let slice = json!([clock, { "encoding": "base64", "dataSlice": { "offset": 0, "length": 8 } }]);
    assert_eq!(node.result("getAccountInfo", slice)["value"]["data"], json!(["AAAAAAAAAAA=", "base64"]));
    let history = "SysvarS1otHistory11111111111111111111111111";
    assert_eq!(node.error("getAccountInfo", json!([history]))["code"], -32600, "too long for base58");
    let zipped = node.result("getAccountInfo", json!([history, { "encoding": "base64+zstd" }]));
    assert_eq!(zipped["value"]["data"][1], "base64+zstd");
    let many = node.result("getMultipleAccounts", json!([[faucet, key(99).to_string()]]));
    assert_eq!((&many["value"][0]["data"], &many["value"][1]), (&json!(["", "base64"]), &Value::Null));
    let stakes = node.result(
        "getProgramAccounts",
        json!([
            "Stake11111111111111111111111111111111111111",
            { "encoding": "jsonParsed", "withContext": true, "filters": [{ "dataSize": 200 }] },
        ]),
    );
    assert_eq!(stakes["value"][0]["account"]["data"]["parsed"]["type"], "delegated");
    assert_eq!(node.result("getLargestAccounts", json!([]))["value"][0]["address"], faucet);
    let supply = node.result("getSupply", json!([{ "excludeNonCirculatingAccountsList": true }]));
    assert_eq!(supply["value"]["total"], supply["value"]["circulating"]);
    assert_eq!(node.result("getMinimumBalanceForRentExemption", json!([0])), 890_880);
    let mint = json!([key(99).to_string()]);
    assert_eq!(node.error("getTokenSupply", mint)["message"], "Invalid param: could not find account");
    let by_program =
        json!([faucet, { "programId": "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA" }, { "encoding": "jsonParsed" }]);
    assert_eq!(node.result("getTokenAccountsByOwner", by_program)["value"], json!([]));
}

#[test]
fn the_node_names_itself_and_its_health() {
    let node = Node::start();
    let version: RpcVersionInfo = read(node.result("getVersion", json!([])));
    assert_eq!((version.solana_core.as_str(), version.feature_set), ("4.2.2", Some(7)));
    assert_eq!(node.result("getIdentity", json!([])), json!({ "identity": node.identity.to_string() }));
    assert_eq!(node.result("getHealth", json!([])), "ok");
    let health = || {
        let url = format!("http://{}/health", node.address);
        agent().get(url).call().unwrap().body_mut().read_to_string().unwrap()
    };
    assert_eq!(health(), "ok");
    let mut metrics = ureq::get(format!("http://{}/metrics", node.address)).call().unwrap();
    assert_eq!(metrics.body_mut().read_to_string().unwrap(), "tandem_tip_slot 7\n# EOF\n");
    *node.health.lock().unwrap() = Health::Behind { slots: 200 };
    assert_eq!(health(), "behind");
    let error = node.error("getHealth", json!([]));
    assert_eq!(
        error,
        json!({ "code": -32005, "message": "Node is behind by 200 slots", "data": { "numSlotsBehind": 200 } })
    );
    *node.health.lock().unwrap() = Health::Unknown;
    assert_eq!(health(), "unknown");
}

#[test]
fn requests_of_every_form_are_answered() {
    let node = Node::start();
    let ask = |body: &str| {
        let (status, text) = node.post(body);
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(
        ask(r#"{"jsonrpc":"2.0","id":"a","method":"getSlot"}"#),
        json!({ "jsonrpc": "2.0", "id": "a", "result": 0 })
    );
    assert_eq!(ask(r#"{"jsonrpc":"2.0","id":null,"method":"getSlot","params":null}"#)["result"], 0);
    let batch =
        ask(r#"[{"jsonrpc":"2.0","id":1,"method":"getSlot"},{"jsonrpc":"2.0","id":2,"method":"getNothing"},5]"#);
    let codes: Vec<&Value> = batch.as_array().unwrap().iter().map(|reply| &reply["error"]["code"]).collect();
    assert_eq!(codes, [&Value::Null, &json!(-32601), &json!(-32600)]);
    assert_eq!(ask(r#"{"jsonrpc":"2.0","id":1,"method":"getNothing"}"#)["error"]["message"], "Method not found");
    assert_eq!(ask("{")["error"]["code"], -32700);
    let message = |params: &str| {
        ask(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"getBalance","params":{params}}}"#))["error"].take()
    };
    assert_eq!(message("[]")["message"], "`params` should have at least 1 argument(s)");
    assert_eq!(message("[5]")["message"], "Invalid params: invalid type: integer `5`, expected a string.");
    assert_eq!(message(r#"["x"]"#)["message"], "Invalid param: WrongSize");
    assert_eq!(message("{}")["code"], -32602);
    assert_eq!(node.post(&" ".repeat(60 * 1024)).0, 413);
}

#[test]
fn browsers_may_ask_from_anywhere() {
    let node = Node::start();
    let request = agent().post(format!("http://{}/", node.address)).header("content-type", "application/json");
    let reply =
        request.header("origin", "http://wallet.example").send(r#"{"jsonrpc":"2.0","id":1,"method":"getSlot"}"#);
    assert_eq!(reply.unwrap().headers()["access-control-allow-origin"], "*");
}
