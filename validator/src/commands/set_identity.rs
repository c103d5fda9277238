//! `validator set-identity`: take over, or step down.

use {
    super::keypair_from,
    crate::{admin::client::AdminClient, args::SetIdentityArgs, exit::Failure, status::HandoverReport},
    std::path::Path,
    tandem_types::Signer,
};

pub fn set_identity(ledger: &Path, args: &SetIdentityArgs) -> Result<(), Failure> {
    let keypair = keypair_from(args.identity.as_ref())?;
    let mut client = AdminClient::connect(ledger)?;
    if !args.format.json() {
        println!("New validator identity: {}", keypair.pubkey());
    }
    let report: HandoverReport =
        client.call_with_key("tandemSetIdentity", &keypair, &[if args.require_tower { "true" } else { "false" }])?;
    if args.format.json() {
        println!("{}", serde_json::to_string(&report).map_err(Failure::failed)?);
        return Ok(());
    }
    let term = report.term.map_or("-".to_string(), |term| term.to_string());
    let last_vote = report.last_vote_slot.map_or("none".to_string(), |slot| slot.to_string());
    println!(
        "{} in {:.1} ms: term {term}, last vote slot {last_vote}, {} slots to vote on since",
        report.role, report.ms, report.slots_missed
    );
    for (phase, ms) in &report.phases_ms {
        println!("  {phase:<12} {ms:>9.1} ms");
    }
    Ok(())
}
