//! `failover run`: the two commands of a planned handover in one.

use {
    crate::{
        args::{RunHandoverArgs, SetIdentityArgs, WaitArgs},
        commands::{keypair_from, set_identity, wait_for_restart_window},
        exit::Failure,
    },
    std::path::{Path, PathBuf},
    tandem_types::Signer,
};

pub fn run(ledger: &Path, args: &RunHandoverArgs) -> Result<(), Failure> {
    let file = args.window.identity.as_ref().map(PathBuf::from).ok_or_else(|| {
        Failure::usage("which identity is to be taken over?").remedy("give --identity KEYPAIR, its keypair file")
    })?;
    // The wrong file is found before a long wait, not after it.
    let identity = keypair_from(Some(&file))?.pubkey();
    if !args.no_wait {
        let window = WaitArgs { identity: Some(identity.to_string()), ..args.window.clone() };
        wait_for_restart_window(ledger, &window)?;
    }
    let takeover = SetIdentityArgs {
        identity: Some(file),
        require_tower: args.require_tower,
        do_not_require_vote_history: false,
        format: args.window.format,
    };
    set_identity(ledger, &takeover)
}
