//! `failover plan`.

use {
    super::{address_of, print_json},
    crate::{
        admin::client::AdminClient,
        args::PlanArgs,
        exit::{Failure, Status},
        failover::report::PlanReport,
    },
    serde_json::json,
    std::path::Path,
};

pub fn plan(ledger: &Path, args: &PlanArgs) -> Result<(), Failure> {
    let identity = args.identity.as_deref().map(address_of).transpose()?.map(|identity| identity.to_string());
    let mut client = AdminClient::connect(ledger)?;
    let report: PlanReport = client.call("tandemFailoverPlan", json!([identity]))?;
    if args.format.json() {
        print_json(&report)?;
    } else {
        println!("a handover of {} to this node would", report.identity);
        for (number, step) in (1..).zip(&report.steps) {
            let at_most = step.at_most_ms.map_or(String::new(), |ms| format!(" (at most {ms} ms)"));
            println!("  {number}. {}{at_most}", step.what);
        }
        for refusal in &report.refused {
            println!("it would be refused: {}; {}", refusal.reason, refusal.remedy);
        }
        if report.would_succeed {
            println!("nothing speaks against it now: `validator failover run`");
        }
    }
    match report.refused.into_iter().next() {
        None => Ok(()),
        Some(refusal) => {
            Err(Failure::new(Status::from_code(refusal.status), format!("it would be refused: {}", refusal.reason))
                .remedy(refusal.remedy))
        }
    }
}
