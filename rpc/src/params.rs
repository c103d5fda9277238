//! Reading parameters: strings to keys, commitments, limits.

use {
    crate::{
        context::Context,
        error::{Reply, invalid, min_context_slot},
    },
    base64::{Engine, prelude::BASE64_STANDARD},
    jsonrpsee::types::Params,
    serde::de::DeserializeOwned,
    serde_json::Value,
    solana_commitment_config::CommitmentConfig,
    solana_rpc_client_types::response::{Response, RpcResponseContext},
    std::{str::FromStr, sync::Arc},
    tandem_bank::Bank,
    tandem_types::{Hash, PACKET_BYTES_MAX, Pubkey, Signature, Slot, VersionedTransaction},
};

/// The parameters of one call, by position. JSON `null` and "left out" are the same.
pub struct Args(Vec<Value>);

impl Args {
    pub fn of(params: &Params<'_>) -> Reply<Self> {
        if params.as_str().is_none_or(|text| text.trim().is_empty() || text.trim() == "null") {
            return Ok(Self(Vec::new()));
        }
        params.parse::<Vec<Value>>().map(Self)
    }

    pub fn optional<T: DeserializeOwned>(&self, index: usize) -> Reply<Option<T>> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value.clone())
                .map(Some)
                .map_err(|error| invalid(format!("Invalid params: parameter {}: {error}.", index + 1))),
        }
    }

    pub fn required<T: DeserializeOwned>(&self, index: usize) -> Reply<T> {
        self.optional(index)?.ok_or_else(|| invalid(format!("Invalid params: parameter {} is missing.", index + 1)))
    }

    pub fn pubkey(&self, index: usize) -> Reply<Pubkey> {
        pubkey(&self.required::<String>(index)?)
    }
}

pub fn pubkey(text: &str) -> Reply<Pubkey> {
    Pubkey::from_str(text).map_err(|error| invalid(format!("Invalid param: {error:?}")))
}

pub fn signature(text: &str) -> Reply<Signature> {
    Signature::from_str(text).map_err(|error| invalid(format!("Invalid param: {error:?}")))
}

pub fn hash(text: &str) -> Reply<Hash> {
    Hash::from_str(text).map_err(|error| invalid(format!("Invalid param: {error:?}")))
}

/// The bank of a commitment, no older than `min_context_slot`.
pub fn bank(context: &Context, commitment: Option<CommitmentConfig>, min: Option<Slot>) -> Reply<Arc<Bank>> {
    let bank = context.bank(commitment);
    match min {
        Some(min) if bank.slot() < min => Err(min_context_slot(bank.slot())),
        Some(_) | None => Ok(bank),
    }
}

/// A value with the slot it is from.
pub fn with_context<T>(bank: &Bank, value: T) -> Response<T> {
    Response { context: RpcResponseContext::new(bank.slot()), value }
}

/// Config objects of which only `commitment` and `minContextSlot` matter.
#[derive(serde::Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase")]
pub struct ContextConfig {
    #[serde(flatten)]
    pub commitment: Option<CommitmentConfig>,
    pub min_context_slot: Option<Slot>,
}

/// A transaction in base58 (the default of old clients) or base64.
pub fn transaction(text: &str, encoding: Option<&str>) -> Reply<(Vec<u8>, VersionedTransaction)> {
    let bytes = match encoding.unwrap_or("base58") {
        "base58" => {
            // Base58 decoding is quadratic: refuse early what cannot fit (agave rpc.rs:MAX_BASE58_SIZE).
            if text.len() > 1683 {
                return Err(invalid(format!("base58 encoded transaction too large: {} bytes", text.len())));
            }
            bs58::decode(text).into_vec().map_err(|error| invalid(format!("invalid base58 encoding: {error:?}")))?
        }
        "base64" => {
            if text.len() > 1644 * 4 {
                return Err(invalid(format!("base64 encoded transaction too large: {} bytes", text.len())));
            }
            BASE64_STANDARD.decode(text).map_err(|error| invalid(format!("invalid base64 encoding: {error:?}")))?
        }
        other => return Err(invalid(format!("unsupported encoding: {other}. Supported encodings: base58, base64"))),
    };
    if bytes.len() > PACKET_BYTES_MAX {
        return Err(invalid(format!(
            "decoded transaction too large: {} bytes (max: {PACKET_BYTES_MAX} bytes)",
            bytes.len()
        )));
    }
    let transaction: VersionedTransaction = bincode::deserialize(&bytes)
        .map_err(|error| invalid(format!("failed to deserialize transaction: {error}")))?;
    transaction.sanitize().map_err(|error| invalid(format!("invalid transaction: {error}")))?;
    Ok((bytes, transaction))
}
