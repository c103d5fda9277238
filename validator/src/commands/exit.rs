//! `validator exit`: as agave's, it waits for a restart window first unless it is forced.

use {
    super::wait_for_restart_window,
    crate::{
        admin::{client::AdminClient, socket_path},
        args::ExitArgs,
        exit::{Failure, Status},
    },
    serde_json::json,
    std::{
        os::unix::net::UnixStream,
        path::Path,
        thread,
        time::{Duration, Instant},
    },
};

pub fn exit(ledger: &Path, args: &ExitArgs) -> Result<(), Failure> {
    if !args.force {
        wait_for_restart_window(ledger, &args.window)?;
    }
    AdminClient::connect(ledger)?.call::<()>("exit", json!([]))?;
    println!("Exit request sent");
    if args.wait_for_exit {
        wait_until_gone(ledger)?;
        println!("The validator has ended");
    }
    Ok(())
}

fn wait_until_gone(ledger: &Path) -> Result<(), Failure> {
    let path = socket_path(ledger);
    let deadline = Instant::now() + END_TIME_MAX;
    while UnixStream::connect(&path).is_ok() {
        if Instant::now() > deadline {
            return Err(Failure::new(
                Status::TimedOut,
                format!("{} still answers after {END_TIME_MAX:?}", path.display()),
            )
            .remedy("see the validator's log"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Releasing the identity and ending the stages takes a second or two.
const END_TIME_MAX: Duration = Duration::from_secs(60);
