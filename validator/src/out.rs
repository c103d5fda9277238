//! What commands print. Whoever reads it may go away in the middle (`validator set-identity KEY | head -1`), and then the
//! command goes on with what it was asked to do: the standard library's macros would end it with a panic. Declared first in
//! `main.rs`, these take the place of those everywhere in this program.

use std::{
    fmt::Arguments,
    io::Write,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

macro_rules! println {
    () => { $crate::out::line(::core::format_args!("")) };
    ($($text:tt)*) => { $crate::out::line(::core::format_args!($($text)*)) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::out::error_line(::core::format_args!($($text)*)) };
}

static CLOSED: AtomicBool = AtomicBool::new(false);

pub fn line(text: Arguments<'_>) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        CLOSED.store(true, Relaxed);
    }
}

/// Where even this cannot be said, the exit status says it.
pub fn error_line(text: Arguments<'_>) {
    let _nobody_reads = writeln!(std::io::stderr().lock(), "{text}");
}

/// Nobody reads standard output any more: a command that does nothing but print is done.
pub fn is_closed() -> bool {
    CLOSED.load(Relaxed)
}
