//! How the process ends, as numbers that scripts and supervisors can tell apart.

/// Exit status of the validator and of its commands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(i32)]
pub enum ExitStatus {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Refused = 5,
    TimedOut = 6,
    /// The identity was taken by another machine.
    Fenced = 7,
    StoreLost = 8,
    TowerMissing = 9,
    /// Somebody else speaks for the identity without sharing this node's store.
    Twin = 10,
}

impl ExitStatus {
    pub fn code(self) -> i32 {
        self as i32
    }
}
