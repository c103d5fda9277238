//! How many files this process may have open, and who gets how many: what votes, leads and keeps the ledger first. Whoever
//! connects from outside takes from the rest only, so that no number of idle connections takes a file the node needs.

use crate::exit::Failure;

/// What each may have open at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shares {
    /// Slot files kept open by the ledger.
    pub ledger: usize,
    pub admin: usize,
    pub echo: usize,
    /// Of JSON-RPC, and as many of WebSocket.
    pub rpc: u32,
    /// Of this many.
    pub allowed: u64,
}

/// Raises the limit as far as this user may, and shares it out.
pub fn make_room() -> Result<Shares, Failure> {
    let allowed = raise();
    share(allowed).ok_or_else(|| {
        Failure::refused(format!("this process may have {allowed} files open, and a validator needs {FILES_MIN}"))
            .remedy(REMEDY)
    })
}

/// For the operator, once nothing speaks against the start any more.
pub fn tell(shares: &Shares) {
    let Shares { ledger, admin, echo, rpc, allowed } = shares;
    let told = format!(
        "up to {allowed} open files: {rpc} JSON-RPC and {rpc} WebSocket connections, {admin} of the admin socket, {echo} of ip \
         echo, {ledger} slot files"
    );
    if *rpc < RPC_MAX {
        tracing::warn!("{told}: {REMEDY}");
    } else {
        tracing::info!("{told}");
    }
}

/// Nothing: too few for anybody.
fn share(allowed: u64) -> Option<Shares> {
    let left = allowed.checked_sub(FILES_MIN).map(|over| over + OUTSIDE_MIN)?;
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let ledger = (left / 4).clamp(4, LEDGER_MAX);
    let admin = (left / 8).clamp(4, ADMIN_MAX);
    let echo = (left / 8).clamp(2, ECHO_MAX);
    // One connection more than may stay is accepted for as long as it takes to turn it, or another, away.
    let rest = left - ledger - (admin + 1) - echo - 2;
    let rpc = u32::try_from(rest / 2).unwrap_or(u32::MAX).min(RPC_MAX);
    Some(Shares { ledger, admin, echo, rpc, allowed })
}

/// What this process may have open now.
fn raise() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours, and both calls only read or fill it.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            // Never with this argument; what any system allows will have to do.
            return FILES_USUAL;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raised) == 0 { raised.rlim_cur } else { limit.rlim_cur }
    }
}

/// Sockets, their copies, the store and the connections to etcd's members, logs, and files on their way to their place: 31
/// on a node that stands alone, and half as many again for the rest.
const HEART: u64 = 46;
const REMEDY: &str = "allow more with LimitNOFILE=1000000 in the systemd unit, or `ulimit -n` before the start";
const OUTSIDE_MIN: u64 = 18;
const FILES_MIN: u64 = HEART + OUTSIDE_MIN;
const FILES_USUAL: u64 = 1_024;
const LEDGER_MAX: usize = 64;
const ADMIN_MAX: usize = 64;
const ECHO_MAX: usize = 2_048;
const RPC_MAX: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_what_the_heart_needs() {
        assert_eq!(share(FILES_MIN - 1), None);
        assert_eq!(share(64), Some(Shares { ledger: 4, admin: 4, echo: 2, rpc: 2, allowed: 64 }));
        assert_eq!(share(1 << 30), Some(Shares { ledger: 64, admin: 64, echo: 2_048, rpc: 1_000, allowed: 1 << 30 }));
        for allowed in 64..8_192 {
            let Shares { ledger, admin, echo, rpc, .. } = share(allowed).unwrap();
            let all = HEART + (ledger + admin + 1 + echo) as u64 + 2 * u64::from(rpc + 1);
            assert!(all <= allowed && rpc >= 2, "{all} of {allowed}");
        }
    }
}
