//! The role stage over links with nobody behind them.

mod dead_runs;
mod swings;

use super::*;
