//! From etcd's watch to the role stage's inbox.

use {
    crate::{
        exit::Failure,
        topology::{FailoverInput, RoleInput},
    },
    crossbeam_channel::Receiver,
    std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        thread,
    },
    tandem_env::Tx,
    tandem_etcd::EtcdKv,
    tandem_role::{
        Keys,
        event::{Event, OwnerSign},
        hints::{BeatRecord, HoldRecord},
        kv::{KeyValue, WatchEvent},
        records::{IntentRecord, OwnerRecord, Record},
    },
};

/// One of the watches that followed each other.
#[derive(Clone)]
pub struct Turn {
    number: u64,
    last: Arc<AtomicU64>,
}

impl Turn {
    pub fn next(last: &Arc<AtomicU64>) -> Self {
        Self { number: last.fetch_add(1, Relaxed) + 1, last: last.clone() }
    }

    fn is_over(&self) -> bool {
        self.last.load(Relaxed) != self.number
    }
}

pub fn spawn(kv: &EtcdKv, keys: &Keys, role: Tx<RoleInput>, turn: Turn) -> Result<(), Failure> {
    if let Some(agave) = keys.agave() {
        // An agave node takes the identity by this key alone. Our own claims are seen here too: one read too many each.
        forward(kv.watch(&agave.instance), keys.clone(), role.clone(), turn.clone())?;
    }
    forward(kv.watch(keys.prefix()), keys.clone(), role, turn)
}

fn forward(events: Receiver<WatchEvent>, keys: Keys, role: Tx<RoleInput>, turn: Turn) -> Result<(), Failure> {
    let agave = keys.agave().map(|agave| agave.instance.clone());
    let (owner, intent, hold) = (keys.owner(), keys.intent(), keys.hold());
    let alive = keys.alive();
    let signs = [keys.alive(), keys.tower(), keys.window()];
    thread::Builder::new()
        .name("watch".into())
        .spawn(move || {
            for event in events {
                // Another identity is watched now, and this one's changes would be taken for that one's.
                if turn.is_over() {
                    return;
                }
                if let WatchEvent::Put(entry) = &event {
                    let revision = entry.mod_revision;
                    if let Some(beat) = beat_of(entry, &alive)
                        && role.send(RoleInput::Failover(FailoverInput::Beat(beat))).is_err()
                    {
                        return;
                    }
                    let is_mute = || BeatRecord::decode(&entry.value).is_ok_and(|beat| !beat.may_vote);
                    let failover = if entry.key == alive && is_mute() {
                        None
                    } else if signs.contains(&entry.key) {
                        Some(FailoverInput::Sign(revision))
                    } else if entry.key == hold {
                        let hold = HoldRecord::decode(&entry.value).unwrap_or_else(|_| HoldRecord::unreadable());
                        Some(FailoverInput::Hold(Box::new(hold)))
                    } else if entry.key == owner {
                        let owner = OwnerRecord::decode(&entry.value).ok();
                        owner.map(|owner| FailoverInput::Owner { term: owner.term, released: owner.released, revision })
                    } else {
                        None
                    };
                    if failover.is_some_and(|input| role.send(RoleInput::Failover(input)).is_err()) {
                        return;
                    }
                }
                let hint = match event {
                    WatchEvent::Put(entry) if entry.key == owner => {
                        Event::OwnerChanged(OwnerRecord::decode(&entry.value).ok().map(Box::new))
                    }
                    WatchEvent::Put(entry) if entry.key == intent => match IntentRecord::decode(&entry.value) {
                        Ok(intent) => Event::IntentSeen(Box::new(intent)),
                        Err(_) => continue,
                    },
                    WatchEvent::Put(entry) if agave.as_ref() == Some(&entry.key) => Event::OwnerChanged(None),
                    WatchEvent::Gap => Event::OwnerChanged(None),
                    WatchEvent::Put(_) | WatchEvent::Deleted { .. } => continue,
                };
                if role.send(RoleInput::Event(hint)).is_err() {
                    return;
                }
            }
        })
        .map(drop)
        .map_err(|error| Failure::failed(format!("starting the watch of the store: {error}")))
}

/// An owner that may vote, by its own word. One that cannot holds nobody off.
fn beat_of(entry: &KeyValue, alive: &str) -> Option<OwnerSign> {
    let beat = BeatRecord::decode(&entry.value).ok().filter(|beat| entry.key == alive && beat.may_vote)?;
    Some(OwnerSign { term: beat.term, tip: beat.tip, finalizes: beat.finalizes })
}
