//! Watches: changes as they happen, on a channel. They make things fast, never safe, and say so when they may have
//! missed something: after every interruption there is a `Gap`, sent when the new watch is already in place, so that a
//! reader who reads again then misses nothing.

use {
    crate::kv::{Core, EtcdKv, key_value},
    crossbeam_channel::{Receiver, Sender, TrySendError, bounded},
    etcd_client::{EventType, WatchOptions, WatchResponse},
    std::{
        sync::{Arc, Weak, mpsc},
        time::Duration,
    },
    tandem_role::kv::WatchEvent,
    tokio::time,
};

impl EtcdKv {
    /// Watches all keys that start with `prefix`. Returns when the watch is in place, so that what is read afterwards
    /// and what is seen overlap; if no member answers in time, the first event is a `Gap` when one does. It ends when
    /// the receiver or the store is dropped.
    pub fn watch(&self, prefix: &str) -> Receiver<WatchEvent> {
        let (events, receiver) = bounded(EVENTS_MAX);
        let (placed, in_place) = mpsc::sync_channel(1);
        let watch = Watch { prefix: prefix.to_owned(), out: Out { events, missed: false }, placed: Some(placed) };
        self.threads.spawn(watch.run(Arc::downgrade(&self.core)));
        let _late_is_a_gap = in_place.recv_timeout(self.core.options.connect_timeout * 2);
        receiver
    }
}

struct Watch {
    prefix: String,
    out: Out,
    /// Told once, when the first watch is in place.
    placed: Option<mpsc::SyncSender<()>>,
}

struct Out {
    events: Sender<WatchEvent>,
    /// Something could not be delivered: a gap is owed.
    missed: bool,
}

/// Nobody reads any more.
struct Closed;

impl Watch {
    async fn run(mut self, core: Weak<Core>) {
        let mut pause = PAUSE_MIN;
        while let Some(core) = core.upgrade() {
            let member = core.order().remove(0);
            let stream = time::timeout(core.options.connect_timeout, self.open(&member)).await;
            // A watch must not keep the store alive.
            drop(core);
            let Ok(Some(mut stream)) = stream else {
                member.failed();
                time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                self.out.missed = true;
                continue;
            };
            member.answered();
            pause = PAUSE_MIN;
            let in_time = self.placed.take().is_some_and(|placed| placed.send(()).is_ok());
            self.out.missed |= !in_time;
            if self.follow(&mut stream).await.is_err() {
                return;
            }
            member.failed();
            self.out.missed = true;
        }
    }

    async fn open(&self, member: &crate::member::Member) -> Option<etcd_client::WatchStream> {
        let options = WatchOptions::new().with_prefix().with_progress_notify();
        let mut stream = member.client.watch_client().watch(self.prefix.as_str(), Some(options)).await.ok()?;
        let first = stream.message().await.ok()??;
        (first.created() && !first.canceled()).then_some(stream)
    }

    /// Ok: the watch was lost.
    async fn follow(&mut self, stream: &mut etcd_client::WatchStream) -> Result<(), Closed> {
        let mut silent = 0;
        loop {
            self.out.settle()?;
            match time::timeout(PROBE_EVERY, stream.message()).await {
                Ok(Ok(Some(response))) => {
                    silent = 0;
                    if response.canceled() {
                        return Ok(());
                    }
                    self.deliver(&response)?;
                }
                Ok(Ok(None) | Err(_)) => return Ok(()),
                Err(_elapsed) => {
                    // A member that is paused or cut off looks like one with nothing to say: ask.
                    silent += 1;
                    if silent > SILENT_MAX || stream.request_progress().await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn deliver(&mut self, response: &WatchResponse) -> Result<(), Closed> {
        for event in response.events() {
            let Some(kv) = event.kv().map(key_value) else { continue };
            self.out.put(match event.event_type() {
                EventType::Put => WatchEvent::Put(kv),
                EventType::Delete => WatchEvent::Deleted { key: kv.key, mod_revision: kv.mod_revision },
            })?;
        }
        Ok(())
    }
}

impl Out {
    fn put(&mut self, event: WatchEvent) -> Result<(), Closed> {
        self.settle()?;
        if self.missed {
            return Ok(());
        }
        match self.events.try_send(event) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.missed = true;
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(Closed),
        }
    }

    /// Sends the gap that is owed, if there is room for it.
    fn settle(&mut self) -> Result<(), Closed> {
        if self.missed {
            match self.events.try_send(WatchEvent::Gap) {
                Ok(()) => self.missed = false,
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Disconnected(_)) => return Err(Closed),
            }
        }
        Ok(())
    }
}

const EVENTS_MAX: usize = 1024;
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Probes without any answer before the watch is given up: two seconds.
const SILENT_MAX: u32 = 3;

#[cfg(test)]
mod tests {
    use {super::*, tandem_role::kv::KeyValue};

    fn put(n: u64) -> WatchEvent {
        WatchEvent::Put(KeyValue { key: "k".into(), value: vec![], mod_revision: n })
    }

    #[test]
    fn a_slow_reader_is_told_that_it_missed_something() {
        let (events, receiver) = bounded(2);
        let mut out = Out { events, missed: false };
        for n in 1..=3 {
            assert!(out.put(put(n)).is_ok());
        }
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [put(1), put(2)]);
        assert!(out.put(put(4)).is_ok());
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [WatchEvent::Gap, put(4)]);
        drop(receiver);
        assert!(out.put(put(5)).is_err());
    }
}
