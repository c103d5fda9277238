//! The certificate files: read, judged, and read again when their content changes.

use {
    crate::options::{EtcdOptions, OpenError},
    rustls::{ClientConfig, RootCertStore, crypto::ring},
    rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    std::{
        fs,
        hash::{DefaultHasher, Hash, Hasher},
        path::{Path, PathBuf},
        sync::{Arc, Mutex, PoisonError},
    },
    x509_parser::prelude::{ASN1Time, FromDer, X509Certificate},
};

/// A certificate or key file that cannot be used: which, why, and what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {reason}: {remedy}", path.display())]
pub struct FileError {
    pub path: PathBuf,
    pub reason: String,
    pub remedy: String,
}

/// The files of a store with https endpoints, and the TLS configuration made of what they last held.
pub(crate) struct TlsFiles {
    authority: PathBuf,
    pair: Option<(PathBuf, PathBuf)>,
    current: Mutex<Current>,
}

struct Current {
    digest: u64,
    config: Arc<ClientConfig>,
    /// What is wrong with the files as they are now, while an older content is still used. Said once.
    complained: Option<FileError>,
}

struct Contents {
    authority: Vec<u8>,
    pair: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsFiles {
    /// None: no endpoint needs TLS.
    pub(crate) fn open(options: &EtcdOptions, https: Option<&str>) -> Result<Option<Arc<Self>>, OpenError> {
        let Some(endpoint) = https else { return Ok(None) };
        let Some(authority) = options.cacert_file.clone() else {
            return Err(OpenError::NoAuthority { endpoint: endpoint.to_owned() });
        };
        let pair = match (options.cert_file.clone(), options.key_file.clone()) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(OpenError::HalfPair { given: "--etcd-cert-file", missing: "--etcd-key-file" });
            }
            (None, Some(_)) => {
                return Err(OpenError::HalfPair { given: "--etcd-key-file", missing: "--etcd-cert-file" });
            }
        };
        let contents = read(&authority, pair.as_ref())?;
        let config = build(&authority, pair.as_ref(), &contents)?;
        let current = Mutex::new(Current { digest: contents.digest(), config, complained: None });
        Ok(Some(Arc::new(Self { authority, pair, current })))
    }

    /// The configuration for a new connection. Reads the files: etcd certificates are short-lived, and a validator is
    /// not restarted for a new one. Content that cannot be used (half written) leaves the last one that could.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read(&self.authority, self.pair.as_ref());
        let rebuilt = read.and_then(|contents| {
            let digest = contents.digest();
            if digest == current.digest {
                return Ok(None);
            }
            build(&self.authority, self.pair.as_ref(), &contents).map(|config| Some((digest, config)))
        });
        match rebuilt {
            Ok(Some((digest, config))) => {
                tracing::info!("etcd certificate files changed and were read again");
                *current = Current { digest, config, complained: None };
            }
            Ok(None) => current.complained = None,
            Err(error) => {
                if current.complained.as_ref() != Some(&error) {
                    tracing::warn!("etcd certificates: {error}; going on with the earlier content");
                    current.complained = Some(error);
                }
            }
        }
        Arc::clone(&current.config)
    }

    /// Judges the files as they are now. Ok: warnings about what will go wrong soon.
    pub(crate) fn check(&self) -> Result<Vec<String>, FileError> {
        let contents = read(&self.authority, self.pair.as_ref())?;
        build(&self.authority, self.pair.as_ref(), &contents)?;
        let mut warnings = Vec::new();
        let authority_remedy = "get the authority's current certificate and name it with --etcd-cacert-file";
        check_dates(&self.authority, &contents.authority, authority_remedy, &mut warnings)?;
        if let (Some((path, _)), Some((certificate, _))) = (&self.pair, &contents.pair) {
            let remedy = "issue a new one from the same authority and replace the file (no restart is needed)";
            check_dates(path, certificate, remedy, &mut warnings)?;
        }
        Ok(warnings)
    }

    pub(crate) fn authority(&self) -> &Path {
        &self.authority
    }

    pub(crate) fn certificate(&self) -> Option<&Path> {
        self.pair.as_ref().map(|(certificate, _)| certificate.as_path())
    }
}

impl Contents {
    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.authority, &self.pair).hash(&mut hasher);
        hasher.finish()
    }
}

fn read(authority: &Path, pair: Option<&(PathBuf, PathBuf)>) -> Result<Contents, FileError> {
    let pair = match pair {
        Some((certificate, key)) => {
            Some((read_one(certificate, "--etcd-cert-file")?, read_one(key, "--etcd-key-file")?))
        }
        None => None,
    };
    Ok(Contents { authority: read_one(authority, "--etcd-cacert-file")?, pair })
}

fn read_one(path: &Path, flag: &str) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|error| FileError {
        path: path.to_owned(),
        reason: format!("cannot be read ({error})"),
        remedy: format!("check the path given with {flag}, and that this user may read the file"),
    })
}

fn build(
    authority: &Path,
    pair: Option<&(PathBuf, PathBuf)>,
    contents: &Contents,
) -> Result<Arc<ClientConfig>, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority, &contents.authority, "--etcd-cacert-file")? {
        roots.add(certificate).map_err(|error| FileError {
            path: authority.to_owned(),
            reason: format!("holds a certificate that cannot be an authority ({error})"),
            remedy: "give the authority's certificate, not the server's".to_owned(),
        })?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("invariant: ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let mut config = match (pair, &contents.pair) {
        (Some((certificate_path, key_path)), Some((certificate, key))) => {
            let chain = certificates(certificate_path, certificate, "--etcd-cert-file")?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| FileError {
                path: key_path.clone(),
                reason: format!("holds no private key in PEM form ({error})"),
                remedy: "name the key of the client certificate with --etcd-key-file".to_owned(),
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| FileError {
                path: key_path.clone(),
                reason: format!("does not fit the certificate {} ({error})", certificate_path.display()),
                remedy: "name the certificate and the key that were issued together".to_owned(),
            })?
        }
        (_, _) => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

pub(crate) fn certificates(path: &Path, pem: &[u8], flag: &str) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let wrong = |reason: String| FileError {
        path: path.to_owned(),
        reason,
        remedy: format!("give a PEM file (-----BEGIN CERTIFICATE-----) with {flag}"),
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong("holds no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(format!("is not valid PEM ({error})"))),
    }
}

fn check_dates(path: &Path, pem: &[u8], remedy: &str, warnings: &mut Vec<String>) -> Result<(), FileError> {
    let now = ASN1Time::now();
    for der in certificates(path, pem, "the flag that names it")? {
        let wrong = |reason| FileError { path: path.to_owned(), reason, remedy: remedy.to_owned() };
        let (_, certificate) = X509Certificate::from_der(&der)
            .map_err(|error| wrong(format!("holds a certificate that cannot be parsed ({error})")))?;
        let validity = certificate.validity();
        if now > validity.not_after {
            return Err(wrong(format!("the certificate expired on {}", validity.not_after)));
        }
        if now < validity.not_before {
            return Err(wrong(format!(
                "the certificate is not valid before {} (is this machine's clock right?)",
                validity.not_before
            )));
        }
        let left_s = validity.not_after.timestamp() - now.timestamp();
        if left_s < WARN_BEFORE_S {
            warnings.push(format!("{}: the certificate expires on {}: {remedy}", path.display(), validity.not_after));
        }
    }
    Ok(())
}

const WARN_BEFORE_S: i64 = 30 * 24 * 3600;
