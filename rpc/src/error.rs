//! Errors of the methods, with the codes clients know (solana-rpc-client-api 4.2.2, custom_error.rs).

use {
    jsonrpsee::types::ErrorObjectOwned,
    serde_json::{Value, json},
    std::fmt,
    tandem_types::Slot,
};

const BLOCK_NOT_AVAILABLE: i32 = -32004;
const SEND_TRANSACTION_PREFLIGHT_FAILURE: i32 = -32002;
const TRANSACTION_SIGNATURE_VERIFICATION_FAILURE: i32 = -32003;
const NODE_UNHEALTHY: i32 = -32005;
const SLOT_SKIPPED: i32 = -32007;
const MIN_CONTEXT_SLOT_NOT_REACHED: i32 = -32016;
const INVALID_PARAMS: i32 = -32602;
const INTERNAL: i32 = -32603;

pub type Reply<T> = Result<T, ErrorObjectOwned>;

pub fn invalid(reason: impl fmt::Display) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INVALID_PARAMS, reason.to_string(), None::<()>)
}

pub fn internal(reason: impl fmt::Display) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INTERNAL, reason.to_string(), None::<()>)
}

pub fn unhealthy(slots_behind: Option<u64>) -> ErrorObjectOwned {
    let message = match slots_behind {
        Some(slots) => format!("Node is behind by {slots} slots"),
        None => "Node is unhealthy".to_owned(),
    };
    ErrorObjectOwned::owned(NODE_UNHEALTHY, message, Some(json!({ "numSlotsBehind": slots_behind })))
}

pub fn preflight(reason: impl fmt::Display, simulation: Value) -> ErrorObjectOwned {
    let message = format!("Transaction simulation failed: {reason}");
    ErrorObjectOwned::owned(SEND_TRANSACTION_PREFLIGHT_FAILURE, message, Some(simulation))
}

pub fn bad_signature() -> ErrorObjectOwned {
    ErrorObjectOwned::owned(
        TRANSACTION_SIGNATURE_VERIFICATION_FAILURE,
        "Transaction signature verification failure",
        None::<()>,
    )
}

pub fn block_not_available(slot: Slot) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(BLOCK_NOT_AVAILABLE, format!("Block not available for slot {slot}"), None::<()>)
}

pub fn slot_skipped(slot: Slot) -> ErrorObjectOwned {
    let message = format!("Slot {slot} was skipped, or missing due to ledger jump to recent snapshot");
    ErrorObjectOwned::owned(SLOT_SKIPPED, message, None::<()>)
}

pub fn min_context_slot(slot: Slot) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(
        MIN_CONTEXT_SLOT_NOT_REACHED,
        "Minimum context slot has not been reached",
        Some(json!({ "contextSlot": slot })),
    )
}
