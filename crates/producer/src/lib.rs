//! Making our own blocks: when a leader slot starts, how fast it ticks, which transactions go in, when bytes are cut.
//! Owns: the leader window, PoH pacing, packing order, entry batching.   Never knows: networking, banks, keys, disks, clocks.
//! In: `window::Event`, `Pacer::poll/record`, `Pack::insert/complete`, `Coalescer::push`.  Out: effects, ticks, batches.
//! Read first: `window.rs`, then `pacer.rs`, `pack.rs`, `broadcast.rs`.
//! Must match: agave poh/src/{poh_recorder,poh_service}.rs, turbine/src/broadcast_stage/broadcast_utils.rs (v4.2).
//!
//! Invariants: a slot is started only on its own claim and at most once; a block ends exactly at its last tick; no two
//! batches in flight conflict; no cost limit is ever exceeded by what is committed plus what is in flight.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod broadcast;
pub mod pacer;
pub mod pack;
mod params;
pub mod window;

pub use params::BlockParams;
