//! Errors of the methods, with the codes and texts clients know (solana-rpc-client-api-4.2.2, custom_error.rs).

use {
    jsonrpsee::types::ErrorObjectOwned,
    serde_json::json,
    solana_rpc_client_types::response::RpcSimulateTransactionResult,
    solana_transaction_status::EncodeError,
    std::fmt,
    tandem_types::{Signature, Slot},
};

pub type Reply<T> = Result<T, ErrorObjectOwned>;

pub fn invalid(reason: impl fmt::Display) -> ErrorObjectOwned {
    plain(INVALID_PARAMS, reason)
}

/// What agave answers where a request makes no sense at all, and where data does not fit base58.
pub fn refused(reason: impl fmt::Display) -> ErrorObjectOwned {
    plain(INVALID_REQUEST, reason)
}

pub fn internal(reason: impl fmt::Display) -> ErrorObjectOwned {
    plain(INTERNAL, reason)
}

pub fn unhealthy(slots_behind: Option<u64>) -> ErrorObjectOwned {
    let message = match slots_behind {
        Some(slots) => format!("Node is behind by {slots} slots"),
        None => "Node is unhealthy".to_owned(),
    };
    ErrorObjectOwned::owned(NODE_UNHEALTHY, message, Some(json!({ "numSlotsBehind": slots_behind })))
}

pub fn preflight(reason: impl fmt::Display, simulation: RpcSimulateTransactionResult) -> ErrorObjectOwned {
    let message = format!("Transaction simulation failed: {reason}");
    ErrorObjectOwned::owned(PREFLIGHT_FAILURE, message, Some(simulation))
}

pub fn block_not_available(slot: Slot) -> ErrorObjectOwned {
    plain(BLOCK_NOT_AVAILABLE, format!("Block not available for slot {slot}"))
}

pub fn block_cleaned_up(slot: Slot, first: Slot) -> ErrorObjectOwned {
    let message = format!("Block {slot} cleaned up, does not exist on node. First available block: {first}");
    plain(BLOCK_CLEANED_UP, message)
}

pub fn slot_skipped(slot: Slot) -> ErrorObjectOwned {
    plain(SLOT_SKIPPED, format!("Slot {slot} was skipped, or missing due to ledger jump to recent snapshot"))
}

pub fn no_snapshot() -> ErrorObjectOwned {
    plain(NO_SNAPSHOT, "No snapshot")
}

pub fn no_slot_history() -> ErrorObjectOwned {
    plain(NO_SLOT_HISTORY, "No slot history")
}

pub fn transaction_not_found(signature: &Signature) -> ErrorObjectOwned {
    plain(FILTER_TRANSACTION_NOT_FOUND, format!("Transaction {signature} not found"))
}

pub fn not_encodable(error: EncodeError) -> ErrorObjectOwned {
    let EncodeError::UnsupportedTransactionVersion(version) = error;
    plain(
        UNSUPPORTED_TRANSACTION_VERSION,
        format!(
            "Transaction version ({version}) is not supported by the requesting client. Please try the request again \
             with the following configuration parameter: \"maxSupportedTransactionVersion\": {version}"
        ),
    )
}

pub fn min_context_slot(slot: Slot) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(
        MIN_CONTEXT_SLOT_NOT_REACHED,
        "Minimum context slot has not been reached",
        Some(json!({ "contextSlot": slot })),
    )
}

fn plain(code: i32, message: impl fmt::Display) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, message.to_string(), None::<()>)
}

const BLOCK_CLEANED_UP: i32 = -32001;
const PREFLIGHT_FAILURE: i32 = -32002;
const BLOCK_NOT_AVAILABLE: i32 = -32004;
const NODE_UNHEALTHY: i32 = -32005;
const SLOT_SKIPPED: i32 = -32007;
const NO_SNAPSHOT: i32 = -32008;
const UNSUPPORTED_TRANSACTION_VERSION: i32 = -32015;
const MIN_CONTEXT_SLOT_NOT_REACHED: i32 = -32016;
const FILTER_TRANSACTION_NOT_FOUND: i32 = -32020;
const NO_SLOT_HISTORY: i32 = -32021;
const INVALID_REQUEST: i32 = -32600;
const INVALID_PARAMS: i32 = -32602;
const INTERNAL: i32 = -32603;
