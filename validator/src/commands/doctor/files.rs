//! Keypairs and certificates.

use {
    super::{Finding, Patient},
    crate::{args::TowerStorageKind, commands::place::address},
    std::{fs, os::unix::fs::PermissionsExt, path::Path},
    tandem_etcd::{Certificate, check_client},
    tandem_types::{Pubkey, Signer},
};

/// The keys that could be read.
#[derive(Default)]
pub struct KeysFound {
    pub identity: Option<Pubkey>,
    pub authorized_voters: Vec<Pubkey>,
    pub vote_account: Option<Pubkey>,
}

pub fn look(patient: &Patient<'_>, findings: &mut Vec<Finding>) -> KeysFound {
    let run = &patient.run;
    let mut keys = KeysFound::default();
    match &run.identity {
        Some(path) => keys.identity = keypair("--identity", path, findings),
        None => findings.push(Finding::fail(
            "identity",
            "none is given",
            "without its flags, or a running validator in --ledger, nothing can be said about a pair",
            "validator doctor with the flags the validator is started with",
        )),
    }
    for path in &run.authorized_voter {
        keys.authorized_voters.extend(keypair("--authorized-voter", path, findings));
    }
    if let Some(text) = &run.vote_account {
        match address("--vote-account", text) {
            Ok(account) => keys.vote_account = Some(account),
            Err(failure) => {
                let remedy = failure.remedy.unwrap_or_else(|| "give the vote account's address".to_owned());
                findings.push(Finding::fail("vote account", text, failure.what, remedy));
            }
        }
    }
    if run.store.tower_storage == TowerStorageKind::Etcd {
        certificates(patient, findings);
    }
    keys
}

fn keypair(flag: &str, path: &Path, findings: &mut Vec<Finding>) -> Option<Pubkey> {
    let subject = format!("keypair {}", path.display());
    match tandem_identity::read_keypair_file(path) {
        Ok(key) => {
            let pubkey = key.pubkey();
            findings.push(private(&subject, path, &format!("{pubkey} ({flag})")));
            Some(pubkey)
        }
        Err(error) => {
            findings.push(Finding::fail(
                subject,
                format!("cannot be used as {flag}"),
                error,
                format!("copy the keypair to {} and chmod 600 it", path.display()),
            ));
            None
        }
    }
}

/// A secret is its owner's only.
fn private(subject: &str, path: &Path, fact: &str) -> Finding {
    let mode = fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        return Finding::warn(
            subject,
            format!("{fact}, mode {mode:o}"),
            "other users of this machine can read it, and sign with it",
            format!("chmod 600 {}", path.display()),
        );
    }
    Finding::ok(subject, format!("{fact}, mode {mode:o}"))
}

fn certificates(patient: &Patient<'_>, findings: &mut Vec<Finding>) {
    let store = &patient.run.store;
    for (flag, path) in [("--etcd-cacert-file", &store.etcd_cacert_file), ("--etcd-cert-file", &store.etcd_cert_file)] {
        match path {
            Some(path) => findings.push(certificate(flag, path)),
            None => findings.push(Finding::warn(
                flag,
                "not given",
                "etcd would have to talk to anybody, and votes depend on it",
                "make certificates with `validator certs init`, and give the flags it prints",
            )),
        }
    }
    if let Some(key) = &store.etcd_key_file {
        findings.push(match fs::File::open(key) {
            Ok(_) => private(&format!("key {}", key.display()), key, "readable"),
            Err(error) => Finding::fail(
                format!("key {}", key.display()),
                "cannot be read",
                error,
                "copy it from the machine that made it, and chmod 600 it",
            ),
        });
    }
    if let (Some(ca), Some(cert), Some(key)) = (&store.etcd_cacert_file, &store.etcd_cert_file, &store.etcd_key_file) {
        let subject = format!("client certificate {}", cert.display());
        findings.push(match check_client(ca, cert, key) {
            Ok(()) => Finding::ok(subject, format!("etcd will take it: signed by {}, for clients", ca.display())),
            Err(reason) => Finding::fail(
                subject,
                format!("a server that trusts {} will not take it", ca.display()),
                reason,
                "issue it with that authority for client use (validator certs renew), and copy both files of the pair",
            ),
        });
    }
}

fn certificate(flag: &str, path: &Path) -> Finding {
    let subject = format!("certificate {}", path.display());
    let leaf = match Certificate::read(path).map(|found| found.into_iter().next()) {
        Ok(Some(leaf)) => leaf,
        Ok(None) => return Finding::fail(subject, "empty", "it holds no certificate", format!("name one with {flag}")),
        Err(error) => return Finding::fail(subject, "cannot be used", error.reason, error.remedy),
    };
    let (left, fact) = (leaf.days_left(), format!("{}, expires {}", leaf.subject, leaf.expires));
    let remedy = "validator certs renew, and copy the pair to this machine; no restart is needed";
    match left {
        left if left < 0 => Finding::fail(subject, fact, format!("it expired {} days ago", -left), remedy),
        left if left < EXPIRY_WARN_DAYS => Finding::warn(subject, fact, format!("{left} days are left"), remedy),
        left => Finding::ok(subject, format!("{fact} (in {left} days)")),
    }
}

const EXPIRY_WARN_DAYS: i64 = 30;
