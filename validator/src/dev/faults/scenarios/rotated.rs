//! The pair's vote account is given to another identity (`vote-update-validator`) while the pair runs: its promises go on under the new one,
//! and whoever still speaks as the old one finds out at its first word.

use {
    super::voters::send,
    crate::{
        dev::{
            cluster::{PRIMARY, SECONDARY},
            faults::{
                lab::{ACTIVE, CATCH_UP, END, Lab},
                round::Round,
            },
            interrupt,
        },
        exit::{Failure, Status},
    },
    rustix::process::Signal,
    solana_transaction::Transaction,
    solana_vote_interface::instruction::update_validator_identity,
    std::time::Instant,
    tandem_env::unix_nanos,
    tandem_types::{Keypair, Pubkey, Signer},
};

const NEW: &str = "rotated-identity";
/// For the fees of its votes.
const LAMPORTS: u64 = 5_000_000_000;

/// The owner sleeps from before any root of its own shows the change until the new identity votes: it learns nothing of it from the chain,
/// and is asked to let go in vain.
pub fn asleep(lab: &mut Lab) -> Result<Round, Failure> {
    let new = rotate(lab)?;
    lab.signal(PRIMARY, Signal::STOP);
    let since = unix_nanos();
    let ms = take_over(lab)?;
    lab.wait_vote(SECONDARY, CATCH_UP)?;
    lab.signal(PRIMARY, Signal::CONT);
    lab.gone(PRIMARY, &[Status::Fenced], END)?;
    let why = format!("its vote account belongs to identity {new} now");
    if !lab.says(PRIMARY, &why) {
        return Err(Failure::failed(format!("the old identity's machine does not say: {why}")));
    }
    lab.wait_vote(SECONDARY, CATCH_UP)?;
    lab.round(since, SECONDARY, ms)
}

/// Both are awake: the old identity's owner gives it back, because the root says so or because it is asked to, whichever comes first.
pub fn awake(lab: &mut Lab) -> Result<Round, Failure> {
    rotate(lab)?;
    let since = unix_nanos();
    let ms = take_over(lab)?;
    lab.gone(PRIMARY, &[Status::Fenced, Status::Refused], END)?;
    lab.wait_vote(SECONDARY, CATCH_UP)?;
    lab.round(since, SECONDARY, ms)
}

/// By the authorized withdrawer, which is the old identity, and the new one.
fn rotate(lab: &mut Lab) -> Result<Pubkey, Failure> {
    let path = lab.cluster.keys.join(format!("{NEW}.json"));
    tandem_identity::write_keypair_file(&Keypair::new(), &path).map_err(Failure::failed)?;
    let (old, new) = (lab.key("validator-keypair")?, lab.key(NEW)?);
    let account = lab.cluster.vote_account;
    lab.rotated.push(new.pubkey());
    send(lab, |hash| solana_system_transaction::transfer(&old, &new.pubkey(), LAMPORTS, hash))?;
    send(lab, |hash| {
        let change = update_validator_identity(&account, &old.pubkey(), &new.pubkey());
        Transaction::new_signed_with_payer(&[change], Some(&old.pubkey()), &[&old, &new], hash)
    })?;
    Ok(new.pubkey())
}

/// As an operator would: again, until the root of the machine that is to take over shows the change. Milliseconds of the one that did.
fn take_over(lab: &Lab) -> Result<f64, Failure> {
    let started = Instant::now();
    loop {
        match lab.set_identity(SECONDARY, NEW, &[]) {
            Ok(report) if report.role == ACTIVE => return Ok(report.ms),
            Ok(report) => return Err(Failure::failed(format!("took over, but is {}", report.role))),
            Err(failure) if started.elapsed() > CATCH_UP => return Err(failure),
            Err(_) => interrupt::pause(std::time::Duration::from_millis(500))?,
        }
    }
}
