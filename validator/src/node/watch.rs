//! From etcd's watch to the role stage's inbox.

use {
    crate::{exit::Failure, topology::RoleInput},
    std::thread,
    tandem_env::Tx,
    tandem_etcd::EtcdKv,
    tandem_role::{
        Keys,
        event::Event,
        kv::WatchEvent,
        records::{IntentRecord, OwnerRecord, Record},
    },
};

pub fn spawn(kv: &EtcdKv, keys: &Keys, role: Tx<RoleInput>) -> Result<(), Failure> {
    let events = kv.watch(keys.prefix());
    let (owner, intent) = (keys.owner(), keys.intent());
    thread::Builder::new()
        .name("watch".into())
        .spawn(move || {
            for event in events {
                let hint = match event {
                    WatchEvent::Put(entry) if entry.key == owner => {
                        Event::OwnerChanged(OwnerRecord::decode(&entry.value).ok().map(Box::new))
                    }
                    WatchEvent::Put(entry) if entry.key == intent => match IntentRecord::decode(&entry.value) {
                        Ok(intent) => Event::IntentSeen(Box::new(intent)),
                        Err(_) => continue,
                    },
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
