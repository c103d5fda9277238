//! Where promises are kept: the same flags for the validator and for every command that reads its store.

use {
    clap::{Args, ValueEnum},
    std::path::PathBuf,
};

#[derive(Args, Debug, Clone, PartialEq)]
pub struct StoreArgs {
    /// Where this identity's votes and leader slots are recorded before they are signed
    #[arg(long, value_enum, default_value = "file")]
    pub tower_storage: TowerStorageKind,

    /// Folder of the file tower store [default: <LEDGER>/tower-store]
    #[arg(long, value_name = "DIR")]
    pub tower: Option<PathBuf>,

    /// etcd endpoint, as host:port or https://host:port; give every member of the cluster
    #[arg(long, alias = "etcd-endpoints", value_name = "HOST:PORT", value_delimiter = ',')]
    pub etcd_endpoint: Vec<String>,

    /// Certificate authority that signed etcd's certificates (PEM)
    #[arg(long, value_name = "FILE")]
    pub etcd_cacert_file: Option<PathBuf>,

    /// Our client certificate for etcd (PEM)
    #[arg(long, value_name = "FILE")]
    pub etcd_cert_file: Option<PathBuf>,

    /// Key of our client certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub etcd_key_file: Option<PathBuf>,

    /// Name that etcd's certificate must carry [default: the endpoint's host]
    #[arg(long, value_name = "DOMAIN")]
    pub etcd_domain_name: Option<String>,

    /// Keep the keys of agave 2.3's etcd tower store too (`<identity>/instance` and `<identity>/tower`), in the same
    /// transactions, so that an agave 2.3 node can be the other machine while a pair migrates. Give it to every Tandem
    /// node of the pair, or to none
    #[arg(long)]
    pub etcd_mirror_agave_keys: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum TowerStorageKind {
    File,
    Etcd,
}
