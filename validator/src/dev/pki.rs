//! A certificate authority and certificates for etcd and the validators of the playground.

use {
    crate::exit::Failure,
    rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        KeyUsagePurpose,
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
            let ca_key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params.distinguished_name = name("tandem playground CA");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages =
                vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
            let ca_path = folder.join("ca.pem");
            fs::write(&ca_path, params.self_signed(&ca_key)?.pem())?;
            let issuer = Issuer::new(params, ca_key);
            let leaf =
                |file: &str, common_name: &str, last_year: Option<i32>| -> Result<Pair, Box<dyn std::error::Error>> {
                    let key = KeyPair::generate()?;
                    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
                    names.extend(hosts.iter().map(IpAddr::to_string));
                    let mut params = CertificateParams::new(names)?;
                    if let Some(year) = last_year {
                        params.not_before = rcgen::date_time_ymd(year, 1, 1);
                        params.not_after = rcgen::date_time_ymd(year, 12, 31);
                    }
                    params.distinguished_name = name(common_name);
                    params.use_authority_key_identifier_extension = true;
                    params.extended_key_usages =
                        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
                    let pair =
                        Pair { cert: folder.join(format!("{file}.pem")), key: folder.join(format!("{file}-key.pem")) };
                    fs::write(&pair.cert, params.signed_by(&key, &issuer)?.pem())?;
                    fs::write(&pair.key, key.serialize_pem())?;
                    fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o600))?;
                    Ok(pair)
                };
            Ok(Self {
                server: leaf("etcd", "etcd", None)?,
                client: leaf("validator", "validator", None)?,
                expired: leaf("validator-expired", "validator", Some(2020))?,
                ca: ca_path,
            })
        };
        make().map_err(|error| Failure::failed(format!("making certificates in {}: {error}", folder.display())))
    }
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}
