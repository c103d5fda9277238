//! Bugs planted on purpose, for the simulator's table of mutants: each line that matters for safety has a name here that
//! switches it off, and the simulator must notice.
//!
//! Without the feature `mutants` the function is a constant `false` and the compiler removes the planted branch, so a
//! product build holds nothing of it. With it, one bug at a time is chosen by a cell of the running thread: the cores take
//! no configuration for this, since an argument for it would be in the product as well; and the simulator runs one world
//! a thread, so a cell of the thread is a cell of the world.

#[cfg(feature = "mutants")]
pub use planted::{mutant, plant, reached};

/// Whether the bug of this name is planted. Never, in this build.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn mutant(_name: &str) -> bool {
    false
}

#[cfg(feature = "mutants")]
mod planted {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<&'static str> = const { Cell::new("") };
        static REACHED: Cell<u64> = const { Cell::new(0) };
    }

    /// Plants the bug of this name for this thread, and no other; an empty name plants none.
    pub fn plant(name: &'static str) {
        PLANTED.set(name);
        REACHED.set(0);
    }

    /// Whether the bug of this name is planted.
    pub fn mutant(name: &str) -> bool {
        let planted = PLANTED.get() == name;
        if planted {
            REACHED.set(REACHED.get() + 1);
        }
        planted
    }

    /// How often the planted bug's place was passed since it was planted.
    pub fn reached() -> u64 {
        REACHED.get()
    }
}
