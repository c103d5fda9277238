//! A certificate authority and certificates for etcd and the validators of the playground.

use {
    crate::{
        exit::Failure,
        pki::{Authority, Leaf},
    },
    std::{
        fs,
        net::IpAddr,
        os::unix::fs::PermissionsExt,
        path::{Path, PathBuf},
    },
};

pub struct Pki {
    pub ca: PathBuf,
    pub server: Pair,
    pub client: Pair,
    /// A client's whose time is over.
    pub expired: Pair,
}

pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Pki {
    /// Makes everything anew in `folder`.
    pub fn create(folder: &Path) -> Result<Self, Failure> {
        Self::create_for(folder, &[])
    }

    /// The same, good for further addresses than those of this machine.
    pub fn create_for(folder: &Path, hosts: &[IpAddr]) -> Result<Self, Failure> {
        let make = || -> Result<Self, Box<dyn std::error::Error>> {
            fs::create_dir_all(folder)?;
            // The authority's key is forgotten: nobody renews a playground's certificates.
            let (authority, _key) = Authority::create("tandem playground CA", DAYS)?;
            let ca = folder.join("ca.pem");
            fs::write(&ca, &authority.certificate)?;
            let leaf = |file: &str, days: u32| -> Result<Pair, Box<dyn std::error::Error>> {
                let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
                names.extend(hosts.iter().map(IpAddr::to_string));
                let leaf = Leaf { common_name: file.to_owned(), names, server: true, days };
                let issued = authority.issue(&leaf)?;
                let pair =
                    Pair { cert: folder.join(format!("{file}.pem")), key: folder.join(format!("{file}-key.pem")) };
                fs::write(&pair.cert, issued.certificate)?;
                fs::write(&pair.key, issued.key)?;
                fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o600))?;
                Ok(pair)
            };
            Ok(Self {
                server: leaf("etcd", DAYS)?,
                client: leaf("validator", DAYS)?,
                // Over as soon as it is made.
                expired: leaf("validator-expired", 0)?,
                ca,
            })
        };
        make().map_err(|error| Failure::failed(format!("making certificates in {}: {error}", folder.display())))
    }
}

/// A playground may stand for a while.
const DAYS: u32 = 3_650;
