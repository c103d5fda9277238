//! Certificates as an operator asks about them: whose, for which names, until when, and would the other side take them.

use {
    crate::tls::{FileError, certificates},
    rustls::{RootCertStore, crypto::ring, pki_types::UnixTime, server::WebPkiClientVerifier},
    rustls_pki_types::{PrivateKeyDer, pem::PemObject},
    std::{
        fs,
        net::IpAddr,
        path::Path,
        sync::Arc,
        time::{SystemTime, UNIX_EPOCH},
    },
    x509_parser::prelude::{FromDer, GeneralName, X509Certificate},
};

/// What one certificate says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// As `CN=etcd-ca`.
    pub subject: String,
    pub common_name: Option<String>,
    pub issuer: String,
    /// Host names and addresses it stands for.
    pub names: Vec<String>,
    pub not_before: UnixSeconds,
    pub not_after: UnixSeconds,
    /// `not_after` in words.
    pub expires: String,
    pub is_authority: bool,
    /// No usage named means every usage.
    pub for_clients: bool,
    pub for_servers: bool,
}

pub type UnixSeconds = i64;

impl Certificate {
    /// Whole days until it expires, negative when it has.
    pub fn days_left(&self) -> i64 {
        (self.not_after - now()).div_euclid(24 * 3600)
    }

    /// All certificates of a PEM file, the leaf first.
    pub fn read(path: &Path) -> Result<Vec<Self>, FileError> {
        let wrong = |reason: String| FileError {
            path: path.to_owned(),
            reason,
            remedy: "name a PEM file (-----BEGIN CERTIFICATE-----)".to_owned(),
        };
        let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
        certificates(path, &pem, "the flag that names it")?
            .iter()
            .map(|der| {
                let (_, found) = X509Certificate::from_der(der)
                    .map_err(|error| wrong(format!("holds a certificate that cannot be parsed ({error})")))?;
                Ok(facts(&found))
            })
            .collect()
    }
}

fn facts(found: &X509Certificate<'_>) -> Certificate {
    let usages = found.extended_key_usage().ok().flatten().map(|usages| usages.value);
    let names = found.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect()).unwrap_or_default();
    let common_name = found.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned);
    Certificate {
        subject: found.subject().to_string(),
        common_name,
        issuer: found.issuer().to_string(),
        names,
        not_before: found.validity().not_before.timestamp(),
        not_after: found.validity().not_after.timestamp(),
        expires: found.validity().not_after.to_string(),
        is_authority: found.is_ca(),
        for_clients: usages.is_none_or(|usages| usages.any || usages.client_auth),
        for_servers: usages.is_none_or(|usages| usages.any || usages.server_auth),
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            ref bytes => <[u8; 16]>::try_from(bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        // Not a host.
        _ => None,
    }
}

/// Would a server that trusts `authority` take this client certificate, now? Checks the chain, the dates, the usage and
/// that the key belongs to it. `Err`: why not.
pub fn check_client(authority: &Path, certificate: &Path, key: &Path) -> Result<(), String> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (roots_pem, chain_pem, key_pem) = (read(authority)?, read(certificate)?, read(key)?);
    let mut roots = RootCertStore::empty();
    for root in certificates(authority, &roots_pem, "--etcd-cacert-file").map_err(|error| error.to_string())? {
        roots.add(root).map_err(|error| format!("{} is no authority: {error}", authority.display()))?;
    }
    let chain = certificates(certificate, &chain_pem, "--etcd-cert-file").map_err(|error| error.to_string())?;
    let (leaf, between) = chain.split_first().ok_or("it holds no certificate")?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| error.to_string())?;
    verifier.verify_client_cert(leaf, between, UnixTime::now()).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| format!("{}: {error}", key.display()))?;
    let signer = provider.key_provider.load_private_key(key).map_err(|error| error.to_string())?;
    let pair = rustls::sign::CertifiedKey::new(chain, signer);
    pair.keys_match().map_err(|error| format!("the key is another certificate's ({error})"))
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds::try_from(since.as_secs()).unwrap_or(UnixSeconds::MAX)
}
