//! The admin socket `<ledger>/admin.rpc`: what an operator, or a script, asks of a running validator.

pub mod client;
mod failover;
mod framing;
mod methods;
mod places;
mod secret;
mod server;
#[cfg(test)]
mod tests;

pub use {
    methods::{AdminContext, AdminError, RoleRequest},
    server::AdminServer,
};

use {
    crate::exit::Failure,
    std::{
        os::unix::ffi::OsStrExt,
        path::{Path, PathBuf},
    },
};

/// Where the socket of a validator with this ledger is.
pub fn socket_path(ledger: &Path) -> PathBuf {
    ledger.join("admin.rpc")
}

/// The same, refused where no Unix socket can be: the system calls say only that an argument is not valid.
pub fn usable_socket_path(ledger: &Path) -> Result<PathBuf, Failure> {
    let path = socket_path(ledger);
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        return Err(Failure::usage(format!(
            "the admin socket would be {}, a path of {bytes} bytes, and that of a Unix socket has {SOCKET_PATH_BYTES_MAX} \
             at most",
            path.display()
        ))
        .remedy("give --ledger a shorter path: a relative one, or a symbolic link to the folder"));
    }
    Ok(path)
}

/// `sun_path` of sockaddr_un has 108 bytes, one of them for the end.
const SOCKET_PATH_BYTES_MAX: usize = 107;
