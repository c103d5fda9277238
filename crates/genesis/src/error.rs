//! What can be wrong with a genesis, for the operator: which file, why, and what to do.

use {std::io, std::path::PathBuf, tandem_types::Hash};

#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    #[error(
        "no genesis in {}: neither genesis.bin nor genesis.tar.bz2 is there; copy one of them from the cluster's other \
         nodes, or make a new one", folder.display()
    )]
    Missing { folder: PathBuf },
    #[error("reading {}: check that the file exists and that this user may read it", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("writing {}: check that the folder exists, is writable and has space", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than {max} bytes, which no genesis is; check that this is the right file", path.display())]
    TooLarge { path: PathBuf, max: u64 },
    #[error("{} is not a genesis archive; download it again", path.display())]
    Archive {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the archive {} holds \"{entry}\", which does not belong into a genesis; download it again from a node you trust",
        path.display()
    )]
    ArchiveEntry { path: PathBuf, entry: String },
    #[error("the archive {} has no genesis.bin; download it again", path.display())]
    ArchiveEmpty { path: PathBuf },
    #[error("the genesis in {} cannot be used", path.display())]
    InFile {
        path: PathBuf,
        #[source]
        source: Box<GenesisError>,
    },
    #[error("these bytes are no genesis configuration (bincode of GenesisConfig): the file is damaged, fetch it again")]
    Decode(#[source] bincode::Error),
    #[error("the genesis configuration makes no cluster: {0}; it was not made by solana-genesis, make it again")]
    Unusable(&'static str),
    #[error(
        "this is the genesis of another cluster: its hash is {found}, expected {expected}; remove it and fetch the right \
         one, or correct the expected hash"
    )]
    WrongHash { expected: Hash, found: Hash },
}
