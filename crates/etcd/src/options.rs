//! What an operator says about the store, checked once.

use {
    crate::tls::FileError,
    std::{path::PathBuf, time::Duration},
};

/// The flags are agave 2.3's: `--etcd-endpoints`, `--etcd-cacert-file`, `--etcd-cert-file`, `--etcd-key-file`,
/// `--etcd-domain-name`.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// `https://host:port` each; `http://` only for a store on this machine. Without a scheme: https.
    pub endpoints: Vec<String>,
    pub cacert_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// The name verified in the servers' certificates, instead of each endpoint's host.
    pub domain_name: Option<String>,
    /// For TCP and TLS together, for each endpoint.
    pub connect_timeout: Duration,
    /// How long a read waits for one endpoint before it asks the next too.
    pub hedge_after: Duration,
    /// Lifetime of what `PutLeased` wrote, without renewal.
    pub lease_ttl: Duration,
}

impl EtcdOptions {
    /// Timings for endpoints in one region; the rest is the operator's.
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            cacert_file: None,
            cert_file: None,
            key_file: None,
            domain_name: None,
            connect_timeout: Duration::from_secs(1),
            hedge_after: Duration::from_millis(100),
            lease_ttl: Duration::from_secs(3),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("no etcd endpoint is given: name at least one with --etcd-endpoints https://HOST:2379")]
    NoEndpoints,
    #[error("etcd endpoint {endpoint:?} is not an address ({reason}): write it as https://HOST:2379")]
    Endpoint { endpoint: String, reason: &'static str },
    #[error(
        "etcd endpoint {endpoint} is https: name the authority that signed its certificate with --etcd-cacert-file"
    )]
    NoAuthority { endpoint: String },
    #[error("{given} needs {missing}: a client certificate is a pair of files")]
    HalfPair { given: &'static str, missing: &'static str },
    #[error("--etcd-domain-name {name:?} is not a host name")]
    DomainName { name: String },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("starting the etcd client's threads: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Where one member listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    pub https: bool,
    pub host: String,
    pub port: u16,
}

impl Address {
    pub(crate) fn parse(endpoint: &str) -> Result<Self, OpenError> {
        let wrong = |reason| OpenError::Endpoint { endpoint: endpoint.to_owned(), reason };
        let (https, rest) = match endpoint.trim().split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(wrong("its scheme is neither https nor http")),
            None => (true, endpoint.trim()),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && (!host.contains(':') || host.ends_with(']')) => {
                (host, port.parse().map_err(|_| wrong("its port is not a number up to 65535"))?)
            }
            Some(_) | None => return Err(wrong("it needs a host and a port")),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
            return Err(wrong("its host is malformed"));
        }
        Ok(Self { https, host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_operators_write_them() {
        for (written, meant) in [
            ("https://10.0.0.1:2379", "https://10.0.0.1:2379"),
            ("10.0.0.1:2379", "https://10.0.0.1:2379"),
            (" https://etcd.example:2379/ ", "https://etcd.example:2379"),
            ("http://[::1]:2379", "http://[::1]:2379"),
        ] {
            assert_eq!(Address::parse(written).expect(written).to_string(), meant);
        }
        for wrong in ["", "https://", "ftp://a:1", "https://host", "https://host:99999", "https://a b:1", "::1:2379"] {
            let error = Address::parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains("https://HOST:2379"), "{error}");
        }
    }
}
