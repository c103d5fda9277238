//! One peer of the sender: its connection, opened when needed, reopened when lost, with a pause when refused.

use {
    super::{Item, Shared},
    crate::tls,
    bytes::Bytes,
    quinn::{Connection, SendStream, VarInt},
    std::{
        future,
        net::SocketAddr,
        sync::{Arc, atomic::Ordering},
        time::{Duration, Instant},
    },
    tandem_types::Pubkey,
    tokio::{
        sync::{mpsc, watch},
        time,
    },
};

pub(super) async fn run(shared: Arc<Shared>, to: SocketAddr, mut inbox: mpsc::Receiver<Item>) {
    let identity = shared.identity.changes();
    let mut peer = Peer { shared, to, identity, link: None, last: None, pause: None };
    let idle_after = peer.shared.options.idle_after;
    loop {
        tokio::select! {
            biased;
            // Before anything is sent: what is sent after a change of identity goes out under the new one.
            _ = peer.identity.changed() => peer.drop_link_of_old_identity(),
            () = lost(peer.link.as_ref()) => peer.link_lost(),
            item = time::timeout(idle_after, inbox.recv()) => match item {
                Ok(Some(item)) => peer.handle(item).await,
                // Idle, or the sender is gone and the queue is empty.
                Ok(None) | Err(_) => break,
            }
        }
    }
    peer.finish().await;
}

struct Peer {
    shared: Arc<Shared>,
    to: SocketAddr,
    identity: watch::Receiver<Pubkey>,
    link: Option<Link>,
    last: Option<SendStream>,
    pause: Option<Pause>,
}

struct Link {
    connection: Connection,
    since: Instant,
}

/// After a failure: not before `until`, and how long the next pause is.
struct Pause {
    until: Instant,
    next: Duration,
}

impl Peer {
    async fn handle(&mut self, item: Item) {
        let Some(bytes) = item.bytes else {
            self.ensure_link().await;
            return;
        };
        if item.at.elapsed() > self.shared.options.age_max {
            self.shared.counters.dropped_old.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // A connection may have died unseen (the peer restarted): one more try on a new one. Twice is harmless, a
        // transaction is processed once.
        for _attempt in 0..2 {
            if !self.ensure_link().await {
                break;
            }
            if self.send(&bytes).await {
                self.shared.counters.sent.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.link_lost();
        }
        self.shared.counters.dropped_unreachable.fetch_add(1, Ordering::Relaxed);
    }

    async fn send(&mut self, bytes: &Bytes) -> bool {
        let Some(link) = &self.link else { return false };
        let write = async {
            let mut stream = link.connection.open_uni().await.ok()?;
            stream.write_all(bytes).await.ok()?;
            stream.finish().ok()?;
            Some(stream)
        };
        match time::timeout(self.shared.options.send_timeout, write).await {
            Ok(Some(stream)) => {
                self.last = Some(stream);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// True: there is a connection, made with the identity of now.
    async fn ensure_link(&mut self) -> bool {
        if self.identity.has_changed().unwrap_or(false) {
            self.drop_link_of_old_identity();
        }
        if self.link.is_some() {
            return true;
        }
        if self.pause.as_ref().is_some_and(|pause| Instant::now() < pause.until) {
            return false;
        }
        let mut connected = self.connect().await;
        if self.identity.has_changed().unwrap_or(false) {
            // The identity changed while we shook hands: whose certificate was shown is not known.
            if let Some(connection) = connected.take() {
                connection.close(VarInt::from_u32(0), b"identity changed");
            }
            self.identity.mark_unchanged();
            connected = self.connect().await;
        }
        match connected {
            Some(connection) => {
                self.shared.counters.connections_opened.fetch_add(1, Ordering::Relaxed);
                self.link = Some(Link { connection, since: Instant::now() });
                true
            }
            None => {
                self.shared.counters.connections_failed.fetch_add(1, Ordering::Relaxed);
                self.pause_longer();
                false
            }
        }
    }

    async fn connect(&self) -> Option<Connection> {
        let connecting = self.shared.endpoint.connect(self.to, &tls::server_name(self.to)).ok()?;
        match time::timeout(self.shared.options.connect_timeout, connecting).await {
            Ok(Ok(connection)) => Some(connection),
            Ok(Err(error)) => {
                tracing::debug!(peer = %self.to, %error, "TPU connection failed");
                None
            }
            Err(_elapsed) => None,
        }
    }

    fn drop_link_of_old_identity(&mut self) {
        self.identity.mark_unchanged();
        self.last = None;
        if let Some(link) = self.link.take() {
            self.shared.counters.closed_by_identity_change.fetch_add(1, Ordering::Relaxed);
            link.connection.close(VarInt::from_u32(0), b"identity changed");
        }
    }

    fn link_lost(&mut self) {
        let Some(link) = self.link.take() else { return };
        self.shared.counters.connections_lost.fetch_add(1, Ordering::Relaxed);
        link.connection.close(VarInt::from_u32(0), b"done");
        self.last = None;
        if link.since.elapsed() < SOON {
            // Closed right after it was opened: the peer does not want us. Asking again at once would cost our rate.
            self.pause_longer();
        } else {
            self.pause = None;
        }
    }

    fn pause_longer(&mut self) {
        let options = &self.shared.options;
        let pause = self.pause.as_ref().map_or(options.backoff_min, |pause| pause.next);
        let next = (pause * 2).min(options.backoff_max);
        self.pause = Some(Pause { until: Instant::now() + pause, next });
    }

    async fn finish(mut self) {
        if let Some(last) = self.last.take() {
            // A closed connection loses what is on its way: wait until the last stream was acknowledged.
            let _in_time = time::timeout(LAST_ACK_MAX, last.stopped()).await;
        }
        if let Some(link) = self.link.take() {
            link.connection.close(VarInt::from_u32(0), b"done");
        }
    }
}

async fn lost(link: Option<&Link>) {
    match link {
        Some(link) => drop(link.connection.closed().await),
        None => future::pending().await,
    }
}

const SOON: Duration = Duration::from_secs(1);
const LAST_ACK_MAX: Duration = Duration::from_secs(1);
