//! The log: text to standard error or a file, at the level of RUST_LOG; `set-log-filter` changes it while the node runs.

mod writer;

use {
    crate::exit::Failure,
    std::{io::IsTerminal, path::Path, sync::OnceLock, time::Duration},
    tracing_subscriber::{EnvFilter, Registry, filter::ParseError, fmt, prelude::*, reload},
    writer::{Lines, Target},
};

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();
static LINES: OnceLock<Lines> = OnceLock::new();

/// Starts logging, once. A file is appended to, so that it can be rotated by copying and truncating, or by moving it away and
/// SIGUSR1.
pub fn start(file: Option<&Path>) -> Result<(), Failure> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_unset| DEFAULT_FILTER.to_owned());
    let filter = parse(&wanted).map_err(|error| {
        Failure::usage(format!("RUST_LOG={wanted:?}: {error}")).remedy("write it as info or tandem_vote=debug,info")
    })?;
    let (filter, handle) = reload::Layer::new(filter);
    let failure = |error: &dyn std::fmt::Display| Failure::failed(format!("starting the log: {error}"));
    let (target, ansi) = match file {
        None => (Target::StandardError, std::io::stderr().is_terminal()),
        Some(path) => {
            let target = Target::file(path).map_err(|error| {
                Failure::usage(format!("log file {}: {error}", path.display())).remedy("choose another file with --log")
            })?;
            (target, false)
        }
    };
    let lines = Lines::start(target).map_err(|error| failure(&error))?;
    let writer = lines.clone();
    let layer = fmt::layer().with_writer(move || writer.clone()).with_ansi(ansi);
    tracing_subscriber::registry().with(filter).with(layer).try_init().map_err(|error| failure(&error))?;
    let _set_once = LINES.set(lines);
    FILTER.set(handle).map_err(|_| Failure::failed("the log was started twice"))
}

/// Changes what is logged from now on (RUST_LOG syntax).
pub fn set_filter(filter: &str) -> Result<(), String> {
    let parsed = parse(filter).map_err(|error| error.to_string())?;
    let handle = FILTER.get().ok_or("nothing is logged by this process")?;
    handle.reload(parsed).map_err(|error| error.to_string())?;
    tracing::info!("log filter is now {filter:?}");
    Ok(())
}

/// Opens the log file anew: who rotates logs has moved it away.
pub fn reopen(why: &str) {
    if let Some(lines) = LINES.get() {
        lines.reopen();
        tracing::info!("{why}: the log file was opened anew");
    }
}

/// Log lines that were dropped because writing the log did not keep up.
pub fn dropped() -> u64 {
    LINES.get().map_or(0, Lines::dropped)
}

/// Before the process ends: waits a moment for what was logged to be written.
pub fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(FLUSH_MAX);
    }
}

fn parse(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(filter)
}

const DEFAULT_FILTER: &str = "info";
/// Whoever reads the log may have stopped for good.
const FLUSH_MAX: Duration = Duration::from_secs(1);
