//! `validator doctor`: is everything as a failover needs it? One finding after the other; a thing that is missing is a
//! finding, never a reason to stop looking. Changes nothing.

mod chain;
mod etcd;
mod features;
mod files;
mod machine;
mod promises;
mod running;

use {
    super::finding::{self, Finding},
    crate::{
        args::{DoctorArgs, RunArgs},
        exit::Failure,
    },
    std::path::{Path, PathBuf},
};

/// What is looked at.
struct Patient<'a> {
    ledger: PathBuf,
    run: RunArgs,
    url: Option<&'a str>,
}

pub fn doctor(ledger: &Path, args: &DoctorArgs) -> Result<(), Failure> {
    let ledger = std::path::absolute(ledger)
        .map_err(|error| Failure::usage(format!("--ledger {}: {error}", ledger.display())))?;
    let mut findings = Vec::new();
    let node = running::look(&ledger, &mut findings);
    let run = match running::flags(node.as_ref(), &args.run) {
        Some(flags) => {
            findings.push(Finding::ok("flags", "those of the running validator"));
            flags
        }
        None => args.run.clone(),
    };
    let patient = Patient { ledger, run, url: args.url.as_deref() };
    machine::look(&patient, node.is_some(), &mut findings);
    let keys = files::look(&patient, &mut findings);
    etcd::look(&patient, &mut findings);
    let identity = chain::pair_identity(&patient, node.as_ref(), &keys, &mut findings);
    let tower = identity.and_then(|identity| promises::look(&patient, identity, &mut findings));
    chain::look(&patient, &keys, identity, tower.as_ref(), &mut findings);
    finding::report(&findings, args.format.json())
}
