//! Whether this version has the rules that the cluster has activated, or is about to: days ahead of the epoch that would part them.

use {
    super::Finding,
    crate::rpc_client::RpcClient,
    base64::{Engine, prelude::BASE64_STANDARD},
    serde_json::{Value, json},
    tandem_bank::ForeignGate,
    tandem_types::Pubkey,
};

pub fn look(rpc: &RpcClient) -> Finding {
    let params = json!([FEATURE_PROGRAM, { "encoding": "base64", "commitment": "confirmed" }]);
    let accounts: Vec<Value> = match rpc.call("getProgramAccounts", params) {
        Ok(accounts) => accounts,
        Err(error) => return Finding::warn(SUBJECT, "not compared", error, ASK_ANOTHER),
    };
    let parsed: Vec<(Pubkey, Vec<u8>)> = accounts.iter().filter_map(parse).collect();
    if parsed.is_empty() {
        return Finding::warn(SUBJECT, "not compared", "the node asked shows no feature accounts", ASK_ANOTHER);
    }
    judge(parsed.len(), parsed.iter().filter_map(|(id, data)| ForeignGate::of(id, data)).collect())
}

fn parse(account: &Value) -> Option<(Pubkey, Vec<u8>)> {
    let id = account["pubkey"].as_str()?.parse().ok()?;
    let data = BASE64_STANDARD.decode(account["account"]["data"][0].as_str()?).ok()?;
    Some((id, data))
}

fn judge(count: usize, foreign: Vec<ForeignGate>) -> Finding {
    let (active, waiting): (Vec<_>, Vec<_>) = foreign.into_iter().partition(|gate| gate.activated_at.is_some());
    if !active.is_empty() {
        let since = active.iter().filter_map(|gate| gate.activated_at).min().unwrap_or_default();
        let fact =
            format!("{} active that this version does not have, since slot {since}: {}", active.len(), names(&active));
        return Finding::fail(
            SUBJECT,
            fact,
            "it executes blocks by other rules than the cluster, and is on a fork of its own",
            UPGRADE,
        );
    }
    if !waiting.is_empty() {
        let fact = format!("{} waiting that this version does not have: {}", waiting.len(), names(&waiting));
        let reason = "if the cluster's software has it, it comes with the next epoch and this node forks off there \
                      (anybody can make such an account: compare with `solana feature status` of the newest release)";
        return Finding::warn(SUBJECT, fact, reason, UPGRADE);
    }
    Finding::ok(SUBJECT, format!("{count} on chain, all known to this version"))
}

fn names(gates: &[ForeignGate]) -> String {
    let shown = gates.iter().take(SHOWN).map(|gate| match gate.is_alpenglow {
        true => format!("{} (Alpenglow)", gate.id),
        false => gate.id.to_string(),
    });
    let rest = gates.len().saturating_sub(SHOWN);
    let text = shown.collect::<Vec<_>>().join(", ");
    if rest == 0 { text } else { format!("{text} and {rest} more") }
}

const SUBJECT: &str = "features";
const FEATURE_PROGRAM: &str = "Feature111111111111111111111111111111111111";
const ASK_ANOTHER: &str = "name another node with --url http://HOST:8899";
const UPGRADE: &str = "upgrade both machines of the pair to a version that has it before the epoch ends";
const SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use {super::*, crate::commands::finding::Verdict};

    fn gate(activated_at: Option<u64>) -> ForeignGate {
        ForeignGate { id: Pubkey::new_from_array([7; 32]), is_alpenglow: activated_at == Some(1), activated_at }
    }

    #[test]
    fn what_is_active_fails_and_what_waits_warns() {
        assert_eq!(judge(3, vec![]).verdict, Verdict::Ok);
        let waits = judge(3, vec![gate(None)]);
        assert_eq!(waits.verdict, Verdict::Warn);
        let active = judge(9, vec![gate(None), gate(Some(500)), gate(Some(1))]);
        assert_eq!(active.verdict, Verdict::Fail);
        assert!(active.fact.contains("2 active") && active.fact.contains("since slot 1:"), "{}", active.fact);
        assert!(active.fact.contains("(Alpenglow)"), "{}", active.fact);
        let many = judge(9, vec![gate(None); 9]);
        assert!(many.fact.ends_with("and 5 more"), "{}", many.fact);
    }

    #[test]
    fn an_account_is_read_as_json_rpc_gives_it() {
        let data = BASE64_STANDARD.encode([1, 5, 0, 0, 0, 0, 0, 0, 0]);
        let id = Pubkey::new_from_array([7; 32]);
        let account = json!({ "pubkey": id.to_string(), "account": { "data": [data, "base64"], "lamports": 1 } });
        let (id, data) = parse(&account).unwrap();
        assert_eq!(ForeignGate::of(&id, &data).unwrap().activated_at, Some(5));
        assert!(parse(&json!({ "pubkey": "x" })).is_none());
    }
}
