//! `validator exit`.

use {
    crate::{admin::client::AdminClient, exit::Failure},
    serde_json::json,
    std::path::Path,
};

pub fn exit(ledger: &Path) -> Result<(), Failure> {
    AdminClient::connect(ledger)?.call::<()>("exit", json!([]))?;
    println!("Exit request sent");
    Ok(())
}
