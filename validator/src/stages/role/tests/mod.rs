//! The role stage over links with nobody behind them.

mod dead_runs;
mod requests;
mod swings;

use super::*;
