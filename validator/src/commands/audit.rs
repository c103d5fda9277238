//! `validator audit`: judges what was released, with the witness's own rules.

use {
    super::read_keypair,
    crate::{args::AuditArgs, exit::Failure},
    serde_json::json,
    std::path::Path,
    tandem_types::{Pubkey, Signer},
    tandem_witness::{Input, Judge, Verdict},
};

pub fn audit(args: &AuditArgs) -> Result<(), Failure> {
    let identities = args.identity.iter().map(|text| identity_of(text).map(|identity| identity.to_bytes()));
    let mut judge = Judge::of_identities(identities.collect::<Result<_, _>>()?);
    let mut inputs = Vec::new();
    for path in &args.inputs {
        if !args.format.json() {
            eprintln!("reading {}", path.display());
        }
        inputs.push(judge.add_path(path).map_err(Failure::usage)?);
    }
    let verdict = judge.verdict();
    if args.format.json() {
        let clean = outcome(&verdict).is_ok();
        println!("{}", json!({ "inputs": inputs, "audit": verdict, "clean": clean }));
    } else {
        print(&inputs, &verdict);
    }
    outcome(&verdict)
}

fn outcome(verdict: &Verdict) -> Result<(), Failure> {
    if verdict.violations() > 0 {
        return Err(Failure::failed(format!(
            "{} conflicting votes, {} lockout violations, {} duplicate blocks",
            verdict.conflicting_votes, verdict.lockout_violations, verdict.duplicate_blocks
        ))
        .remedy(
            "keep these files and the ledgers of both machines, and stop one of the two until the cause is known",
        ));
    }
    if verdict.unreadable > 0 {
        return Err(Failure::failed(format!("{} votes or records cannot be judged", verdict.unreadable))
            .remedy("they are of a form this version does not know, or the file is damaged"));
    }
    if verdict.votes_checked + verdict.shreds_checked == 0 {
        return Err(Failure::failed("there is no vote and no shred to judge in these files")
            .remedy("check the files, and --identity"));
    }
    Ok(())
}

fn print(inputs: &[Input], verdict: &Verdict) {
    for input in inputs {
        println!("{}: {}, {} items", input.path.display(), input.format, input.items);
    }
    println!("votes checked       {:>9}", verdict.votes_checked);
    println!("shreds checked      {:>9}", verdict.shreds_checked);
    println!("conflicting votes   {:>9}", verdict.conflicting_votes);
    println!("lockout violations  {:>9}", verdict.lockout_violations);
    println!("duplicate blocks    {:>9}", verdict.duplicate_blocks);
    println!("not readable        {:>9}", verdict.unreadable);
    println!("of others, unsigned {:>9}", verdict.foreign);
    println!("passed over         {:>9}", verdict.passed_over);
    if verdict.ordered_by_clock > 0 {
        println!("ordered by clocks   {:>9}", verdict.ordered_by_clock);
        println!(
            "    (a release log of an older version does not say where each promise stands: these votes were put in order by the clocks of the \
             machines, which a late send or a wrong clock can make wrong)"
        );
    }
    for finding in &verdict.findings {
        println!("{}", finding.reason);
        for item in &finding.items {
            println!("    {}\n        seen in {}", item.what, item.seen);
        }
    }
}

fn identity_of(text: &str) -> Result<Pubkey, Failure> {
    match text.parse() {
        Ok(identity) => Ok(identity),
        Err(_) => read_keypair(Path::new(text)).map(|keypair| keypair.pubkey()),
    }
}
