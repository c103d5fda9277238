//! Reading parameters: positions, strings to keys, commitments, limits. Texts of errors are those of agave, whose are
//! those of jsonrpc-derive and rpc.rs.

use {
    crate::{
        context::Context,
        error::{Reply, invalid, min_context_slot},
    },
    base64::{Engine, prelude::BASE64_STANDARD},
    jsonrpsee::types::{ErrorObjectOwned, Params},
    serde::de::DeserializeOwned,
    serde_json::Value,
    solana_commitment_config::CommitmentConfig,
    solana_message::{VersionedMessage, v1::MAX_TRANSACTION_SIZE},
    solana_rpc_client_types::{
        config::RpcContextConfig,
        response::{Response, RpcResponseContext},
    },
    solana_transaction_status::{TransactionBinaryEncoding, UiTransactionEncoding},
    std::{fmt::Display, ops::RangeInclusive, str::FromStr, sync::Arc},
    tandem_bank::Bank,
    tandem_types::{PACKET_BYTES_MAX, Pubkey, Signature, Slot, VersionedTransaction},
};

/// The parameters of one call, by position. For optional ones JSON `null` and "left out" are the same.
pub struct Args(Vec<Value>);

impl Args {
    /// `count`: how many the method takes.
    pub fn of(params: &Params<'_>, count: RangeInclusive<usize>) -> Reply<Self> {
        let text = params.as_str().map_or("", str::trim);
        let given: Vec<Value> = match text.as_bytes().first() {
            None => Vec::new(),
            Some(b'[') => serde_json::from_str(text).map_err(|error| invalid(format!("Invalid params: {error}.")))?,
            Some(_) if text == "null" => Vec::new(),
            Some(_) => return Err(invalid("`params` should be an array")),
        };
        let (least, most) = count.into_inner();
        if given.len() < least {
            return Err(invalid(format!("`params` should have at least {least} argument(s)")));
        }
        if given.len() > most {
            let expected = match most {
                0 => "No parameters were expected".to_owned(),
                _ => format!("Expected from {least} to {most} parameters."),
            };
            let got = format!("Got: {}", given.len());
            return Err(ErrorObjectOwned::owned(-32602, format!("Invalid parameters: {expected}"), Some(got)));
        }
        Ok(Self(given))
    }

    pub fn none(params: &Params<'_>) -> Reply<()> {
        Self::of(params, 0..=0).map(|_| ())
    }

    pub fn optional<T: DeserializeOwned>(&self, index: usize) -> Reply<Option<T>> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some),
        }
    }

    pub fn or_default<T: DeserializeOwned + Default>(&self, index: usize) -> Reply<T> {
        self.optional(index).map(Option::unwrap_or_default)
    }

    pub fn required<T: DeserializeOwned>(&self, index: usize) -> Reply<T> {
        read(self.0.get(index).unwrap_or(&Value::Null))
    }

    pub fn pubkey(&self, index: usize) -> Reply<Pubkey> {
        parse(&self.required::<String>(index)?)
    }

    pub fn signature(&self, index: usize) -> Reply<Signature> {
        parse(&self.required::<String>(index)?)
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Reply<T> {
    T::deserialize(value).map_err(|error| invalid(format!("Invalid params: {error}.")))
}

/// A key, a signature or a hash.
pub fn parse<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> Reply<T> {
    text.parse().map_err(|error| invalid(format!("Invalid param: {error:?}")))
}

/// The bank of a commitment, no older than `minContextSlot`.
pub fn bank(context: &Context, commitment: Option<CommitmentConfig>, min: Option<Slot>) -> Reply<Arc<Bank>> {
    let bank = context.bank(commitment);
    match min {
        Some(min) if bank.slot() < min => Err(min_context_slot(bank.slot())),
        Some(_) | None => Ok(bank),
    }
}

pub fn bank_of(context: &Context, config: RpcContextConfig) -> Reply<Arc<Bank>> {
    bank(context, config.commitment, config.min_context_slot)
}

/// A value with the slot it is from.
pub fn with_context<T>(bank: &Bank, value: T) -> Response<T> {
    Response { context: RpcResponseContext::new(bank.slot()), value }
}

/// What is asked of blocks that were agreed on cannot be asked of the tip (rpc.rs: check_is_at_least_confirmed).
pub fn at_least_confirmed(commitment: Option<CommitmentConfig>) -> Reply<CommitmentConfig> {
    let commitment = commitment.unwrap_or_default();
    if commitment.is_at_least_confirmed() {
        Ok(commitment)
    } else {
        Err(invalid("Method does not support commitment below `confirmed`"))
    }
}

/// A transaction and its bytes, in base58 (the default of old clients) or base64.
pub fn transaction(text: &str, encoding: Option<UiTransactionEncoding>) -> Reply<(Vec<u8>, VersionedTransaction)> {
    let encoding = encoding.unwrap_or(UiTransactionEncoding::Base58);
    let binary = encoding
        .into_binary_encoding()
        .ok_or_else(|| invalid(format!("unsupported encoding: {encoding}. Supported encodings: base58, base64")))?;
    let bytes = decode(text, binary)?;
    let transaction = wincode::deserialize(&bytes).map_err(|error| undecodable("transaction", error))?;
    Ok((bytes, transaction))
}

/// A message without signatures, in base64.
pub fn message(text: &str) -> Reply<VersionedMessage> {
    let bytes = decode(text, TransactionBinaryEncoding::Base64)?;
    wincode::deserialize(&bytes).map_err(|error| undecodable("message", error))
}

fn undecodable(what: &str, error: impl Display) -> ErrorObjectOwned {
    invalid(format!("failed to deserialize {what}: {error}"))
}

fn decode(text: &str, encoding: TransactionBinaryEncoding) -> Reply<Vec<u8>> {
    // Messages of version 1 begin with 0x81 or more: that can be told from the first two characters (rpc.rs:
    // V1_BASE64_PREFIX_LOWER_BOUND). Base58 was not extended to them.
    let is_long = text.as_bytes().get(..2).is_some_and(|start| *start >= b"gQ"[..]);
    let (name, text_max, bytes_max) = match encoding {
        TransactionBinaryEncoding::Base58 => ("base58", BASE58_TEXT_MAX, PACKET_BYTES_MAX),
        TransactionBinaryEncoding::Base64 if is_long => {
            ("base64", base64_length(MAX_TRANSACTION_SIZE), MAX_TRANSACTION_SIZE)
        }
        TransactionBinaryEncoding::Base64 => ("base64", base64_length(PACKET_BYTES_MAX), PACKET_BYTES_MAX),
    };
    // Before decoding: base58 takes time that grows with the square of the length.
    if text.len() > text_max {
        let length = text.len();
        return Err(invalid(format!(
            "{name} encoded transaction too large: {length} bytes (max: encoded/raw {text_max}/{bytes_max})"
        )));
    }
    let bytes = match encoding {
        TransactionBinaryEncoding::Base58 => bs58::decode(text).into_vec().map_err(|error| format!("{error:?}")),
        TransactionBinaryEncoding::Base64 => BASE64_STANDARD.decode(text).map_err(|error| format!("{error:?}")),
    };
    let bytes = bytes.map_err(|error| invalid(format!("invalid {name} encoding: {error}")))?;
    if bytes.len() > bytes_max {
        let length = bytes.len();
        return Err(invalid(format!("decoded transaction too large: {length} bytes (max: {bytes_max} bytes)")));
    }
    Ok(bytes)
}

const fn base64_length(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// 1232 bytes in base58 (rpc.rs: MAX_BASE58_SIZE).
const BASE58_TEXT_MAX: usize = 1683;

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str, count: RangeInclusive<usize>) -> Reply<Args> {
        Args::of(&Params::new(Some(text)), count)
    }

    fn message_of<T>(reply: Reply<T>) -> String {
        reply.err().expect("an error").message().to_owned()
    }

    #[test]
    fn counts_of_parameters_are_checked_as_agave_does() {
        assert_eq!(message_of(args("[]", 1..=2)), "`params` should have at least 1 argument(s)");
        assert_eq!(message_of(args("[1,2,3]", 1..=2)), "Invalid parameters: Expected from 1 to 2 parameters.");
        assert_eq!(message_of(args("[1]", 0..=0)), "Invalid parameters: No parameters were expected");
        assert_eq!(message_of(args("{\"a\":1}", 0..=1)), "`params` should be an array");
        assert!(args("null", 0..=0).is_ok());
        assert!(Args::of(&Params::new(None), 0..=1).is_ok());
    }

    #[test]
    fn null_stands_for_an_optional_parameter_only() {
        let args = args("[null, null]", 1..=2).unwrap();
        assert_eq!(args.optional::<u64>(1).unwrap(), None);
        assert_eq!(message_of(args.required::<u64>(0)), "Invalid params: invalid type: null, expected u64.");
    }

    #[test]
    fn long_and_broken_transactions_are_refused() {
        let base64 = Some(UiTransactionEncoding::Base64);
        assert!(message_of(transaction(&"1".repeat(1684), None)).contains("1684 bytes (max: encoded/raw 1683/1232)"));
        assert!(message_of(transaction(&"A".repeat(1648), base64)).contains("too large"));
        assert!(message_of(transaction("gQ==", base64)).starts_with("failed to deserialize transaction"));
        assert!(message_of(transaction("0", None)).starts_with("invalid base58 encoding"));
        assert!(
            message_of(transaction("a", Some(UiTransactionEncoding::Json))).starts_with("unsupported encoding: json")
        );
    }
}
