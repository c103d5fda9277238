//! Transactions and blocks as JSON.

use {
    crate::history::{BlockRecord, TransactionRecord},
    base64::{Engine, prelude::BASE64_STANDARD},
    serde_json::{Value, json},
    solana_transaction_status_client_types::UiTransactionError,
    tandem_bank::TokenBalance,
    tandem_types::{TransactionError, VersionedTransaction},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Base58,
    Base64,
}

impl Encoding {
    pub fn of(name: Option<&str>) -> Result<Self, String> {
        match name.unwrap_or("json") {
            "json" | "jsonParsed" => Ok(Self::Json),
            "base58" => Ok(Self::Base58),
            "base64" => Ok(Self::Base64),
            other => Err(format!("unknown encoding {other:?}; use json, base58 or base64")),
        }
    }
}

pub fn error(error: &TransactionError) -> Value {
    serde_json::to_value(UiTransactionError::from(error.clone())).unwrap_or(Value::Null)
}

pub fn optional_error(result: &Result<(), TransactionError>) -> Value {
    result.as_ref().err().map_or(Value::Null, error)
}

/// `{"Ok": null}` or `{"Err": …}`, the old form clients still read.
pub fn status(result: &Result<(), TransactionError>) -> Value {
    match result {
        Ok(()) => json!({ "Ok": null }),
        Err(reason) => json!({ "Err": error(reason) }),
    }
}

pub fn with_meta(record: &TransactionRecord, encoding: Encoding, with_version: bool) -> Value {
    let mut value = json!({ "transaction": transaction(&record.transaction, encoding), "meta": meta(record) });
    if with_version {
        value["version"] = match serde_json::to_value(record.transaction.version()) {
            Ok(version) => version,
            Err(_) => Value::Null,
        };
    }
    value
}

fn transaction(transaction: &VersionedTransaction, encoding: Encoding) -> Value {
    let bytes = || bincode::serialize(transaction).unwrap_or_default();
    match encoding {
        Encoding::Base58 => json!([bs58::encode(bytes()).into_string(), "base58"]),
        Encoding::Base64 => json!([BASE64_STANDARD.encode(bytes()), "base64"]),
        Encoding::Json => {
            let message = &transaction.message;
            let header = message.header();
            let keys: Vec<String> = message.static_account_keys().iter().map(ToString::to_string).collect();
            let instructions: Vec<Value> = message
                .instructions()
                .iter()
                .map(|instruction| {
                    json!({
                        "programIdIndex": instruction.program_id_index,
                        "accounts": instruction.accounts,
                        "data": bs58::encode(&instruction.data).into_string(),
                        "stackHeight": 1,
                    })
                })
                .collect();
            let mut value = json!({
                "header": {
                    "numRequiredSignatures": header.num_required_signatures,
                    "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
                    "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
                },
                "accountKeys": keys,
                "recentBlockhash": message.recent_blockhash().to_string(),
                "instructions": instructions,
            });
            if let Some(lookups) = message.address_table_lookups() {
                value["addressTableLookups"] = lookups
                    .iter()
                    .map(|lookup| {
                        json!({
                            "accountKey": lookup.account_key.to_string(),
                            "writableIndexes": lookup.writable_indexes,
                            "readonlyIndexes": lookup.readonly_indexes,
                        })
                    })
                    .collect();
            }
            let signatures: Vec<String> = transaction.signatures.iter().map(ToString::to_string).collect();
            json!({ "signatures": signatures, "message": value })
        }
    }
}

fn meta(record: &TransactionRecord) -> Value {
    let info = &record.info;
    let balances = info.balances.clone().unwrap_or_default();
    let inner: Value = info.inner_instructions.as_ref().map_or(json!([]), |lists| {
        lists
            .iter()
            .enumerate()
            .filter(|(_, list)| !list.is_empty())
            .map(|(index, list)| {
                let instructions: Vec<Value> = list
                    .iter()
                    .map(|inner| {
                        json!({
                            "programIdIndex": inner.instruction.program_id_index,
                            "accounts": inner.instruction.accounts,
                            "data": bs58::encode(&inner.instruction.data).into_string(),
                            "stackHeight": inner.stack_height,
                        })
                    })
                    .collect();
                json!({ "index": index, "instructions": instructions })
            })
            .collect()
    });
    let loaded: Vec<String> = record
        .accounts
        .iter()
        .skip(record.transaction.message.static_account_keys().len())
        .map(ToString::to_string)
        .collect();
    let writable = record
        .transaction
        .message
        .address_table_lookups()
        .map_or(0, |lookups| lookups.iter().map(|lookup| lookup.writable_indexes.len()).sum::<usize>())
        .min(loaded.len());
    let mut value = json!({
        "err": optional_error(&info.status),
        "status": status(&info.status),
        "fee": info.fee,
        "preBalances": balances.pre,
        "postBalances": balances.post,
        "preTokenBalances": token_balances(&balances.pre_token),
        "postTokenBalances": token_balances(&balances.post_token),
        "innerInstructions": inner,
        "logMessages": info.logs,
        "rewards": [],
        "loadedAddresses": { "writable": loaded[..writable], "readonly": loaded[writable..] },
        "computeUnitsConsumed": info.compute_units,
    });
    if let Some(data) = &info.return_data {
        value["returnData"] =
            json!({ "programId": data.program_id.to_string(), "data": [BASE64_STANDARD.encode(&data.data), "base64"] });
    }
    value
}

pub fn token_balances(balances: &[TokenBalance]) -> Value {
    balances
        .iter()
        .map(|balance| {
            json!({
                "accountIndex": balance.account_index,
                "mint": balance.mint.to_string(),
                "owner": balance.owner.to_string(),
                "programId": balance.program_id.to_string(),
                "uiTokenAmount": token_amount(balance.amount, balance.decimals),
            })
        })
        .collect()
}

/// An amount of tokens as clients show it.
pub fn token_amount(amount: u64, decimals: u8) -> Value {
    let unit = 10f64.powi(i32::from(decimals));
    let digits = usize::from(decimals);
    let padded = format!("{amount:0>width$}", width = digits + 1);
    let (whole, fraction) = padded.split_at(padded.len() - digits);
    let fraction = fraction.trim_end_matches('0');
    let text = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    json!({ "amount": amount.to_string(), "decimals": decimals, "uiAmount": amount as f64 / unit, "uiAmountString": text })
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Details {
    Full,
    Accounts,
    Signatures,
    None,
}

pub fn block(block: &BlockRecord, encoding: Encoding, details: Details, with_version: bool, with_rewards: bool) -> Value {
    let mut value = json!({
        "blockhash": block.blockhash.to_string(),
        "previousBlockhash": block.previous_blockhash.to_string(),
        "parentSlot": block.parent,
        "blockTime": block.block_time,
        "blockHeight": block.block_height,
    });
    match details {
        Details::Full | Details::Accounts => {
            value["transactions"] =
                block.transactions.iter().map(|record| with_meta(record, encoding, with_version)).collect();
        }
        Details::Signatures => {
            value["signatures"] =
                block.transactions.iter().map(|record| json!(record.info.signature.to_string())).collect();
        }
        Details::None => {}
    }
    if with_rewards {
        value["rewards"] = json!([]);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_amounts_are_written_as_clients_write_them() {
        assert_eq!(token_amount(1_500_000, 6)["uiAmountString"], "1.5");
        assert_eq!(token_amount(5, 6)["uiAmountString"], "0.000005");
        assert_eq!(token_amount(0, 9)["uiAmountString"], "0");
        assert_eq!(token_amount(42, 0)["uiAmountString"], "42");
    }
}
