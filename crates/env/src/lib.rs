//! The ports of a node to its machine: clocks, doorbells and links between threads, durable files, entropy.
//! Owns: what touches the operating system outside networks.   Never knows: any protocol.
//! Read first: `doorbell.rs`, `link.rs`.

mod clock;
mod disk;
mod doorbell;
mod entropy;
mod link;
mod pulse;

pub use {
    clock::{MonotonicClock, unix_nanos, wall_clock},
    disk::{DiskError, FolderLock, sync_folder, write_durably},
    doorbell::Doorbell,
    entropy::{random_instance_id, random_seed},
    link::{Closed, Rx, Tx, link},
    pulse::{Pulse, Seen},
};
