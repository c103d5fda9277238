//! `validator set-log-filter`.

use {
    crate::{admin::client::AdminClient, exit::Failure},
    serde_json::json,
    std::path::Path,
};

pub fn set_log_filter(ledger: &Path, filter: &str) -> Result<(), Failure> {
    AdminClient::connect(ledger)?.call::<()>("setLogFilter", json!([filter]))
}
