//! The one lease of this process: granted with the first `PutLeased`, renewed while the process lives.
//! For hints only (a heartbeat that disappears by itself); nothing that must be safe depends on it.

use {
    crate::{
        classify::Failure,
        kv::{Core, EtcdKv},
    },
    std::{
        sync::{Arc, Weak},
        time::{Duration, Instant},
    },
    tandem_role::kv::KvError,
    tokio::{sync::Mutex, time},
};

pub(crate) struct Lease {
    ttl: Duration,
    id: Mutex<Option<i64>>,
}

impl Lease {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, id: Mutex::new(None) }
    }

    /// Forgets a lease that the store no longer has, unless another was granted meanwhile.
    pub(crate) async fn forget(&self, lost: Option<i64>) {
        let mut id = self.id.lock().await;
        if *id == lost {
            *id = None;
        }
    }
}

impl EtcdKv {
    /// Ends the lease: what `PutLeased` wrote is gone at once. For a polite stop; the next `PutLeased` starts anew.
    pub fn revoke_lease(&self, deadline: Duration) {
        let core = self.core.clone();
        let revoke = async move {
            let Some(id) = core.lease.id.lock().await.take() else { return };
            for member in core.order() {
                if member.client.lease_client().revoke(id).await.is_ok() {
                    return;
                }
            }
        };
        let _politeness_only = self.threads.run(deadline, revoke);
    }
}

impl Core {
    pub(crate) async fn lease_id(self: &Arc<Self>, end: Instant) -> Result<i64, KvError> {
        let mut held = self.lease.id.lock().await;
        if let Some(id) = *held {
            return Ok(id);
        }
        let seconds = i64::try_from(self.lease.ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        let mut failed =
            KvError::Unavailable { endpoint: "etcd".into(), reason: "no member granted a lease in time".into() };
        for member in self.order() {
            let left = end.saturating_duration_since(Instant::now());
            let share = if self.members.len() > 1 { left / 2 } else { left };
            let endpoint = || member.name.clone();
            let reason = match time::timeout(share, member.client.lease_client().grant(seconds, None)).await {
                Ok(Ok(granted)) => {
                    self.answered(&member);
                    *held = Some(granted.id());
                    tokio::spawn(renew(Arc::downgrade(self), granted.id(), self.lease.ttl / 3));
                    return Ok(granted.id());
                }
                Ok(Err(error)) => match self.classify(&error) {
                    Failure::Refused(reason) => return Err(KvError::Refused { endpoint: endpoint(), reason }),
                    // A lease that was granted unseen holds nothing and expires by itself.
                    Failure::NotDone(reason) | Failure::Unknown(reason) => reason,
                    Failure::LeaseGone => "it does not know the lease it grants".to_owned(),
                },
                Err(_elapsed) => format!("no answer within {} ms", share.as_millis()),
            };
            member.failed();
            failed = KvError::Unavailable { endpoint: endpoint(), reason };
        }
        Err(failed)
    }
}

/// Renews until the lease is another, or gone, or nobody holds the store.
async fn renew(core: Weak<Core>, id: i64, every: Duration) {
    loop {
        time::sleep(every).await;
        let Some(core) = core.upgrade() else { return };
        if *core.lease.id.lock().await != Some(id) {
            return;
        }
        for member in core.order() {
            match time::timeout(every, member.client.lease_client().keep_alive(id)).await {
                Ok(Ok(_renewed)) => {
                    core.answered(&member);
                    break;
                }
                Ok(Err(etcd_client::Error::LeaseKeepAliveError(_gone))) => {
                    core.lease.forget(Some(id)).await;
                    return;
                }
                Ok(Err(_)) | Err(_) => member.failed(),
            }
        }
    }
}
