//! Making certificates: an authority, and what it signs. For etcd of a pair and of the playground.

use {
    rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        KeyUsagePurpose,
    },
    std::{
        error::Error,
        fmt,
        time::{Duration, SystemTime},
    },
};

pub struct Authority {
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate is to say.
pub struct Leaf {
    pub common_name: String,
    /// Host names and addresses.
    pub names: Vec<String>,
    /// Etcd's members show theirs to each other too, as clients: a server's has both usages.
    pub server: bool,
    pub days: u32,
}

/// A certificate and its key, both PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

#[derive(Debug)]
pub struct PkiError(Box<dyn Error>);

impl Authority {
    pub fn create(common_name: &str, days: u32) -> Result<(Self, String), PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        lasts(&mut params, days);
        let certificate = params.self_signed(&key)?.pem();
        let key_pem = key.serialize_pem();
        Ok((Self { certificate, issuer: Issuer::new(params, key) }, key_pem))
    }

    pub fn load(certificate: String, key: &str) -> Result<Self, PkiError> {
        let issuer = Issuer::from_ca_cert_pem(&certificate, KeyPair::from_pem(key)?)?;
        Ok(Self { certificate, issuer })
    }

    pub fn issue(&self, leaf: &Leaf) -> Result<Issued, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(leaf.names.clone())?;
        params.distinguished_name = name(&leaf.common_name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match leaf.server {
            true => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            false => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        lasts(&mut params, leaf.days);
        Ok(Issued { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// From an hour ago, for a machine whose clock is behind.
fn lasts(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(3_600)).into();
    params.not_after = (now + Duration::from_secs(u64::from(days) * 24 * 3_600)).into();
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for PkiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for PkiError {}
