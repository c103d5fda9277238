//! How a shred came to us.

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    Turbine,
    Repair,
    /// Rebuilt from the other shreds of its set.
    Recovered,
    /// We made the block.
    Own,
}

impl Source {
    /// Never zero: a record of zeros is one that was never written.
    pub(crate) fn code(self) -> u8 {
        match self {
            Source::Turbine => 1,
            Source::Repair => 2,
            Source::Recovered => 3,
            Source::Own => 4,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Source::Turbine, Source::Repair, Source::Recovered, Source::Own]
            .into_iter()
            .find(|source| source.code() == code)
    }
}
