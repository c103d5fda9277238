//! The log: text to standard error or a file, at the level of RUST_LOG; `set-log-filter` changes it while the node runs.

use {
    crate::exit::Failure,
    std::{
        fs::OpenOptions,
        io::IsTerminal,
        path::Path,
        sync::{Mutex, OnceLock},
    },
    tracing_subscriber::{EnvFilter, Registry, filter::ParseError, fmt, prelude::*, reload},
};

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging, once. A file is appended to, so that it can be rotated by copying and truncating.
pub fn start(file: Option<&Path>) -> Result<(), Failure> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_unset| DEFAULT_FILTER.to_owned());
    let filter = parse(&wanted).map_err(|error| {
        Failure::usage(format!("RUST_LOG={wanted:?}: {error}")).remedy("write it as info or tandem_vote=debug,info")
    })?;
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match file {
        None => registry
            .with(fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                Failure::usage(format!("log file {}: {error}", path.display())).remedy("choose another file with --log")
            })?;
            registry.with(fmt::layer().with_writer(Mutex::new(file)).with_ansi(false)).try_init()
        }
    };
    started.map_err(|error| Failure::failed(format!("starting the log: {error}")))?;
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

fn parse(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(filter)
}

const DEFAULT_FILTER: &str = "info";
