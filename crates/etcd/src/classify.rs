//! What an error means for a write: did not happen, will not happen, or nobody knows. The heart of the safety of this
//! crate: what is not surely one of the first two is the third.

use {
    crate::{member::ConnectFailure, tls::TlsFiles},
    rustls::{CertificateError, Error as TlsError},
    std::error::Error,
    tonic::{Code, Status},
};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// It did not happen, and another member may be able to do it.
    NotDone(String),
    /// The store said no: it did not happen, and no other member will say otherwise.
    Refused(String),
    /// It did not happen because the lease it names is gone.
    LeaseGone,
    /// It may have happened.
    Unknown(String),
}

pub(crate) fn classify(error: &etcd_client::Error, tls: Option<&TlsFiles>) -> Failure {
    match error {
        etcd_client::Error::GRpcStatus(status) => classify_status(status, tls),
        // Found by the library before it sent anything.
        etcd_client::Error::InvalidArgs(_) | etcd_client::Error::InvalidUri(_) => Failure::Refused(error.to_string()),
        _other => Failure::Unknown(error.to_string()),
    }
}

fn classify_status(status: &Status, tls: Option<&TlsFiles>) -> Failure {
    if let Some(failure) = connect_failure(status) {
        return Failure::NotDone(explain(failure, tls));
    }
    let text = status.message();
    let said = || if text.is_empty() { status.code().to_string() } else { text.to_owned() };
    match status.code() {
        // etcd answers these before the request is proposed (api/v3rpc/rpctypes/error.go; interceptor.go; v3_server.go).
        Code::Unavailable if text == NO_LEADER || text == NOT_CAPABLE => Failure::NotDone(said()),
        Code::ResourceExhausted if text == TOO_MANY_REQUESTS => Failure::NotDone(said()),
        Code::NotFound if text == LEASE_NOT_FOUND => Failure::LeaseGone,
        // The transaction that crosses the quota is applied, and then answered so (server/etcdserver/apply_quota.go, etcd 3.4
        // and 3.5: applierV3.Txn first, then ErrNoSpace); those after it are not.
        Code::ResourceExhausted if text == NO_SPACE => Failure::Unknown(format!(
            "{text}: free space with `etcdctl compact` and `etcdctl defrag`, then `etcdctl alarm disarm`, or raise \
             --quota-backend-bytes"
        )),
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::NotFound
        | Code::OutOfRange
        | Code::Unimplemented
            if text.starts_with("etcdserver: ") =>
        {
            Failure::Refused(said())
        }
        // Timed out, leader lost, server stopped, connection lost: the request may have been proposed.
        _unsure => Failure::Unknown(chain(status)),
    }
}

/// The reason why no connection was made, if that is what went wrong.
fn connect_failure(status: &Status) -> Option<&ConnectFailure> {
    let mut error: Option<&(dyn Error + 'static)> = status.source();
    while let Some(at) = error {
        if let Some(failure) = at.downcast_ref::<ConnectFailure>() {
            return Some(failure);
        }
        error = at.source();
    }
    None
}

/// One line for an operator: what is wrong with the connection, and what to do.
pub(crate) fn explain(failure: &ConnectFailure, tls: Option<&TlsFiles>) -> String {
    let ConnectFailure::Tls(io) = failure else {
        return match failure {
            ConnectFailure::Tcp(_) => format!("{failure}: is etcd running there, and does a firewall let us through?"),
            ConnectFailure::Timeout(_) => {
                format!("{failure}: the member hangs, or a firewall drops our packets")
            }
            ConnectFailure::Tls(_) | ConnectFailure::Name(_) => failure.to_string(),
        };
    };
    let authority = tls.map_or_else(String::new, |tls| tls.authority().display().to_string());
    let certificate = tls
        .and_then(TlsFiles::certificate)
        .map_or_else(|| "no certificate".to_owned(), |path| path.display().to_string());
    match io.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            format!(
                "its certificate was not signed by {authority}: name the authority of the etcd cluster with \
             --etcd-cacert-file"
            )
        }
        Some(TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            format!("its certificate has expired ({io}): renew the certificate of that etcd member")
        }
        Some(TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => format!("{io}: name one of the certificate's names with --etcd-domain-name"),
        Some(TlsError::AlertReceived(alert)) => format!(
            "it refused our certificate ({alert:?}; we showed {certificate}): give a certificate that its \
             --trusted-ca-file signed, for client authentication and not expired, with --etcd-cert-file and --etcd-key-file"
        ),
        Some(TlsError::InvalidMessage(_)) => {
            format!("{io}: it does not speak TLS there; is it http:// instead of https://?")
        }
        Some(_) | None => format!("TLS: {io}"),
    }
}

fn chain(status: &Status) -> String {
    let mut text = format!("{}: {}", status.code(), status.message());
    let mut error = status.source();
    while let Some(at) = error {
        let more = at.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        error = at.source();
    }
    text
}

const NO_LEADER: &str = "etcdserver: no leader";
const NOT_CAPABLE: &str = "etcdserver: not capable";
const TOO_MANY_REQUESTS: &str = "etcdserver: too many requests";
const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";
const LEASE_NOT_FOUND: &str = "etcdserver: requested lease not found";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: Code, text: &str) -> Failure {
        classify(&etcd_client::Error::GRpcStatus(Status::new(code, text)), None)
    }

    #[test]
    fn what_may_have_been_proposed_is_unknown() {
        for (code, text) in [
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to connection lost"),
            (Code::Unavailable, "etcdserver: server stopped"),
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::DeadlineExceeded, ""),
            (Code::Cancelled, ""),
            (Code::Unknown, "transport error"),
            (Code::Internal, "h2 protocol error"),
            (Code::Unavailable, "something a later etcd says"),
        ] {
            assert!(matches!(of(code, text), Failure::Unknown(_)), "{code:?} {text}");
        }
    }

    #[test]
    fn the_write_that_crosses_the_quota_may_have_happened() {
        let Failure::Unknown(text) = of(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded") else {
            panic!("etcd applies it, and then says that there is no space");
        };
        assert!(text.contains("etcdctl"), "{text}");
    }

    #[test]
    fn what_was_surely_not_proposed_may_go_to_another_member() {
        assert!(matches!(of(Code::Unavailable, "etcdserver: no leader"), Failure::NotDone(_)));
        assert!(matches!(of(Code::ResourceExhausted, "etcdserver: too many requests"), Failure::NotDone(_)));
        let refused = Status::from_error(Box::new(tonic::ConnectError(Box::new(ConnectFailure::Tcp(
            std::io::Error::from(std::io::ErrorKind::ConnectionRefused),
        )))));
        let failure = classify(&etcd_client::Error::GRpcStatus(refused), None);
        assert!(matches!(&failure, Failure::NotDone(text) if text.contains("refused")), "{failure:?}");
    }

    #[test]
    fn what_the_store_judged_is_refused() {
        assert!(matches!(of(Code::InvalidArgument, "etcdserver: request is too large"), Failure::Refused(_)));
        assert!(matches!(of(Code::PermissionDenied, "etcdserver: permission denied"), Failure::Refused(_)));
        assert_eq!(of(Code::NotFound, "etcdserver: requested lease not found"), Failure::LeaseGone);
    }
}
