//! `validator contact-info`.

use {
    crate::{admin::client::AdminClient, args::OutputFormat, exit::Failure},
    serde_json::{Value, json},
    std::path::Path,
};

pub fn contact_info(ledger: &Path, format: OutputFormat) -> Result<(), Failure> {
    let contact: Value = AdminClient::connect(ledger)?.call("contactInfo", json!([]))?;
    if format.json() {
        println!("{contact}");
        return Ok(());
    }
    for (name, key) in LINES {
        let value = &contact[key];
        println!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    Ok(())
}

const LINES: [(&str, &str); 11] = [
    ("Identity", "id"),
    ("Gossip", "gossip"),
    ("TVU", "tvu"),
    ("TPU", "tpu"),
    ("TPU Forwards", "tpu_forwards"),
    ("TPU Votes", "tpu_vote"),
    ("RPC", "rpc"),
    ("RPC Pubsub", "rpc_pubsub"),
    ("Serve Repair", "serve_repair"),
    ("Last Updated Timestamp", "last_updated_timestamp"),
    ("Shred Version", "shred_version"),
];
