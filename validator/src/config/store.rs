//! Where promises are kept.

use {
    crate::{
        args::{StoreArgs, TowerStorageKind},
        exit::{Failure, Status},
    },
    std::path::{Path, PathBuf},
    tandem_etcd::{EtcdKv, EtcdOptions},
};

#[derive(Clone, Debug)]
pub enum TowerStorage {
    File {
        dir: PathBuf,
    },
    Etcd {
        options: EtcdOptions,
        /// Keep agave 2.3's flat keys in step too.
        mirror_agave_keys: bool,
    },
}

impl TowerStorage {
    /// Reads and judges the certificate files, connects to nothing.
    pub fn new(ledger: &Path, args: &StoreArgs) -> Result<Self, Failure> {
        match args.tower_storage {
            TowerStorageKind::File => {
                if let Some(flag) = etcd_flag(args) {
                    // Silently keeping promises in a file when the operator means etcd would leave the pair without a fence.
                    return Err(Failure::usage(format!("{flag} is given, but the tower store is a file"))
                        .remedy("add --tower-storage etcd, or leave the --etcd flags out"));
                }
                Ok(Self::File { dir: args.tower.clone().unwrap_or_else(|| ledger.join("tower-store")) })
            }
            TowerStorageKind::Etcd => {
                let options = EtcdOptions {
                    cacert_file: args.etcd_cacert_file.clone(),
                    cert_file: args.etcd_cert_file.clone(),
                    key_file: args.etcd_key_file.clone(),
                    domain_name: args.etcd_domain_name.clone(),
                    ..EtcdOptions::new(args.etcd_endpoint.clone())
                };
                // Reads and judges the files, connects to nothing; the node opens its own.
                EtcdKv::open(options.clone()).map_err(|error| Failure::caused(Status::Usage, &error))?;
                Ok(Self::Etcd { options, mirror_agave_keys: args.etcd_mirror_agave_keys })
            }
        }
    }
}

fn etcd_flag(args: &StoreArgs) -> Option<&'static str> {
    let flags = [
        ("--etcd-endpoint", !args.etcd_endpoint.is_empty()),
        ("--etcd-cacert-file", args.etcd_cacert_file.is_some()),
        ("--etcd-cert-file", args.etcd_cert_file.is_some()),
        ("--etcd-key-file", args.etcd_key_file.is_some()),
        ("--etcd-domain-name", args.etcd_domain_name.is_some()),
        ("--etcd-mirror-agave-keys", args.etcd_mirror_agave_keys),
    ];
    flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
}
