//! Who we are on QUIC: the self-signed certificate that every Solana node presents, and TLS with it.
//!
//! The certificate is a fixed form in which only the Ed25519 key differs; its own signature is junk and nobody checks it.
//! What proves the key is the handshake signature, which is checked here (solana-tls-utils-4.2.2).

use {
    crate::NetError,
    arc_swap::ArcSwap,
    rustls::{
        ClientConfig, DigitallySignedStruct, DistinguishedName, Error, NamedGroup, ServerConfig, SignatureAlgorithm,
        SignatureScheme,
        client::{
            ResolvesClientCert, Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls13_signature},
        server::{
            ClientHello, ResolvesServerCert,
            danger::{ClientCertVerified, ClientCertVerifier},
        },
        sign::{CertifiedKey, Signer as TlsSigner, SigningKey},
    },
    rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    std::sync::Arc,
    tandem_types::{Keypair, Pubkey, Signature, Signer},
    tokio::sync::watch,
    x509_parser::prelude::{FromDer, X509Certificate},
};

pub const ALPN_TPU: &[u8] = b"solana-tpu";

/// The identity that our QUIC endpoints present. Clones share it: `set` changes it everywhere at once, for connections
/// made from then on. `TpuSender` closes the older ones; the server keeps them, as agave's does: they sign nothing.
#[derive(Clone)]
pub struct TpuIdentity {
    certified: Arc<ArcSwap<CertifiedKey>>,
    pubkey: Arc<watch::Sender<Pubkey>>,
}

impl TpuIdentity {
    pub fn new(keypair: &Keypair) -> Self {
        Self {
            certified: Arc::new(ArcSwap::from_pointee(certified_key(keypair))),
            pubkey: Arc::new(watch::Sender::new(keypair.pubkey())),
        }
    }

    pub fn set(&self, keypair: &Keypair) {
        self.certified.store(Arc::new(certified_key(keypair)));
        self.pubkey.send_replace(keypair.pubkey());
    }

    /// Like `set`, for a key that stays where it is: handshakes ask `sign`. When it answers nothing, the handshake fails.
    pub fn set_signer(&self, pubkey: Pubkey, sign: SignHandshake) {
        let key = CertifiedKey::new(vec![node_certificate(&pubkey)], Arc::new(RemoteKey(sign)));
        self.certified.store(Arc::new(key));
        self.pubkey.send_replace(pubkey);
    }

    pub fn pubkey(&self) -> Pubkey {
        *self.pubkey.borrow()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Pubkey> {
        self.pubkey.subscribe()
    }

    pub(crate) fn client_config(&self) -> Result<ClientConfig, NetError> {
        let provider = Arc::new(provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| NetError::Tls { what: "the TPU client", reason: error.to_string() })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyKey(provider)))
            .with_client_cert_resolver(Arc::new(Resolver(self.certified.clone())));
        config.alpn_protocols = vec![ALPN_TPU.to_vec()];
        // A resumed session carries the certificate of the first one: after a change of identity that would be the old.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    pub(crate) fn server_config(&self) -> Result<ServerConfig, NetError> {
        let provider = Arc::new(provider());
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| NetError::Tls { what: "the TPU server", reason: error.to_string() })?
            .with_client_cert_verifier(Arc::new(AnyKey(provider)))
            .with_cert_resolver(Arc::new(Resolver(self.certified.clone())));
        config.alpn_protocols = vec![ALPN_TPU.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

impl std::fmt::Debug for TpuIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TpuIdentity({})", self.pubkey())
    }
}

/// Signs what a TLS handshake asks to be signed, or refuses.
pub type SignHandshake = Arc<dyn Fn(&[u8]) -> Option<Signature> + Send + Sync>;

/// An Ed25519 key that is held elsewhere.
struct RemoteKey(SignHandshake);

impl std::fmt::Debug for RemoteKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RemoteKey")
    }
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn TlsSigner>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(RemoteKey(self.0.clone())) as Box<dyn TlsSigner>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl TlsSigner for RemoteKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match (self.0)(message) {
            Some(signature) => Ok(signature.as_ref().to_vec()),
            None => Err(Error::General("the node key refused to sign the handshake".into())),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// The certificate of a key, as every Solana node makes it.
pub fn node_certificate(pubkey: &Pubkey) -> CertificateDer<'static> {
    let mut der = Vec::with_capacity(CERT_BEFORE_KEY.len() + 32 + CERT_AFTER_KEY.len() + 64);
    der.extend_from_slice(&CERT_BEFORE_KEY);
    der.extend_from_slice(pubkey.as_ref());
    der.extend_from_slice(&CERT_AFTER_KEY);
    der.extend_from_slice(&[0xff; 64]);
    CertificateDer::from(der)
}

/// The Ed25519 key of a certificate, if that is what it holds.
pub fn certificate_pubkey(certificate: &CertificateDer<'_>) -> Option<Pubkey> {
    let (_, certificate) = X509Certificate::from_der(certificate.as_ref()).ok()?;
    let key = &certificate.tbs_certificate.subject_pki;
    if key.algorithm.algorithm.to_id_string() != OID_ED25519 {
        return None;
    }
    Pubkey::try_from(key.subject_public_key.data.as_ref()).ok()
}

/// Who is at the other end. None unless it presented exactly one certificate with an Ed25519 key.
pub(crate) fn peer_pubkey(connection: &quinn::Connection) -> Option<Pubkey> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    match chain.as_slice() {
        [only] => certificate_pubkey(only),
        _none_or_many => None,
    }
}

/// The server name we ask for. Nobody checks it, but it keys the server's tokens (solana-tls-utils-4.2.2).
pub(crate) fn server_name(peer: std::net::SocketAddr) -> String {
    // A colon is not allowed in a host name.
    format!("{}.{}.sol", peer.ip().to_string().replace(':', "-"), peer.port())
}

fn certified_key(keypair: &Keypair) -> CertifiedKey {
    let mut pkcs8 = PKCS8_BEFORE_SEED.to_vec();
    pkcs8.extend_from_slice(keypair.secret_bytes());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8));
    let signing_key =
        ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(key.secret_der())).expect("invariant: the form is PKCS#8");
    CertifiedKey::new(vec![node_certificate(&keypair.pubkey())], signing_key)
}

/// ring, with X25519 as the only key exchange (solana-tls-utils-4.2.2/src/crypto_provider.rs).
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    provider
}

#[derive(Debug)]
struct Resolver(Arc<ArcSwap<CertifiedKey>>);

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Takes any certificate, and checks that the peer holds its key.
#[derive(Debug)]
struct AnyKey(Arc<CryptoProvider>);

impl AnyKey {
    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
    }
}

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

const OID_ED25519: &str = "1.3.101.112";

/// PKCS#8 version 1, algorithm Ed25519, a 32-byte key (RFC 8410, section 7).
const PKCS8_BEFORE_SEED: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// X.509 version 3, serial of eight 0x01, signed with Ed25519, issuer CN "Solana node", valid 1970 to 4096, no subject,
/// up to the 32 bytes of the Ed25519 key (protocol.md 5.1).
const CERT_BEFORE_KEY: [u8; 100] = [
    0x30, 0x81, 0xf6, 0x30, 0x81, 0xa9, 0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x08, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
    0x01, 0x01, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x30, 0x16, 0x31, 0x14, 0x30, 0x12, 0x06, 0x03, 0x55, 0x04,
    0x03, 0x0c, 0x0b, b'S', b'o', b'l', b'a', b'n', b'a', b' ', b'n', b'o', b'd', b'e', 0x30, 0x20, 0x17, 0x0d, b'7',
    b'0', b'0', b'1', b'0', b'1', b'0', b'0', b'0', b'0', b'0', b'0', b'Z', 0x18, 0x0f, b'4', b'0', b'9', b'6', b'0',
    b'1', b'0', b'1', b'0', b'0', b'0', b'0', b'0', b'0', b'Z', 0x30, 0x00, 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b,
    0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Critical subjectAltName dNSName "localhost", critical empty basicConstraints, then the header of the signature.
const CERT_AFTER_KEY: [u8; 53] = [
    0xa3, 0x29, 0x30, 0x27, 0x30, 0x17, 0x06, 0x03, 0x55, 0x1d, 0x11, 0x01, 0x01, 0xff, 0x04, 0x0d, 0x30, 0x0b, 0x82,
    0x09, b'l', b'o', b'c', b'a', b'l', b'h', b'o', b's', b't', 0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01,
    0xff, 0x04, 0x02, 0x30, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x41, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_the_networks_249_bytes_and_holds_the_key() {
        let keypair = Keypair::new_from_array([7; 32]);
        let certificate = node_certificate(&keypair.pubkey());
        assert_eq!(certificate.len(), 249);
        assert_eq!(certificate_pubkey(&certificate), Some(keypair.pubkey()));
        let (rest, parsed) = X509Certificate::from_der(&certificate).expect("well-formed DER");
        assert!(rest.is_empty());
        assert_eq!(parsed.issuer().to_string(), "CN=Solana node");
        assert_eq!(parsed.validity().not_before.timestamp(), 0);
        assert_eq!(parsed.signature_value.data.as_ref(), [0xff; 64]);
    }

    #[test]
    fn garbage_holds_no_key() {
        let good = node_certificate(&Pubkey::new_unique());
        assert_eq!(certificate_pubkey(&CertificateDer::from(good[..200].to_vec())), None);
        assert_eq!(certificate_pubkey(&CertificateDer::from(vec![])), None);
        let mut other_algorithm = good.to_vec();
        other_algorithm[96] = 0x71; // Ed448
        assert_eq!(certificate_pubkey(&CertificateDer::from(other_algorithm)), None);
    }

    #[test]
    fn set_changes_what_is_presented() {
        let identity = TpuIdentity::new(&Keypair::new_from_array([1; 32]));
        let clone = identity.clone();
        let next = Keypair::new_from_array([2; 32]);
        clone.set(&next);
        assert_eq!(identity.pubkey(), next.pubkey());
        assert_eq!(certificate_pubkey(&identity.certified.load().cert[0]), Some(next.pubkey()));
    }
}
