//! SIGTERM and SIGINT: release, then end.

use {
    crate::{admin::RoleRequest, exit::Failure, topology::RoleInput},
    tandem_env::Tx,
    tokio::{
        signal::unix::{SignalKind, signal},
        sync::oneshot,
    },
};

pub fn forward(runtime: &tokio::runtime::Runtime, role: Tx<RoleInput>) -> Result<(), Failure> {
    let _guard = runtime.enter();
    let failure = |error| Failure::failed(format!("listening for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failure)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failure)?;
    runtime.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let (reply, _) = oneshot::channel();
        // If the role stage has gone, the node is ending already.
        let _ = role.send(RoleInput::Request(RoleRequest::Exit { reply }));
    });
    Ok(())
}
