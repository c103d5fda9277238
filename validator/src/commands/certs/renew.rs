//! `validator certs renew`.

use {
    super::{AUTHORITY, files, write_pair},
    crate::{
        args::CertsRenewArgs,
        exit::{Failure, Status},
        pki::{Authority, Leaf},
    },
    std::{
        fs,
        path::{Path, PathBuf},
    },
    tandem_etcd::Certificate,
};

pub fn renew(args: &CertsRenewArgs) -> Result<(), Failure> {
    let (authority, facts) = load(&args.dir)?;
    let names = match args.names.as_slice() {
        [] => signed_here(&args.dir, &facts)?,
        given => given.to_vec(),
    };
    if names.is_empty() {
        return Err(Failure::failed(format!("{} holds no certificate of {}", args.dir.display(), facts.subject))
            .remedy("make them with `validator certs init`"));
    }
    // All are read before the first is replaced.
    let leaves: Vec<(String, Certificate)> = names
        .into_iter()
        .map(|name| {
            let [certificate, _] = files(&args.dir, &name);
            let found = leaf(&certificate)?;
            if name == AUTHORITY || found.issuer != facts.subject {
                return Err(Failure::refused(format!("{} is not of {}", certificate.display(), facts.subject))
                    .remedy("renew it with the authority that issued it"));
            }
            Ok((name, found))
        })
        .collect::<Result<_, Failure>>()?;
    for (name, old) in leaves {
        let days = u32::try_from(facts.days_left()).unwrap_or(0).min(args.days);
        if days < args.days {
            println!("note: the authority itself expires in {days} days, and {name} with it");
        }
        let common_name = old.common_name.clone().unwrap_or_else(|| name.clone());
        let leaf = Leaf { common_name, names: old.names, server: old.for_servers, days };
        let issued = authority.issue(&leaf).map_err(|error| Failure::failed(format!("renewing {name}: {error}")))?;
        write_pair(&args.dir, &name, &issued)?;
        println!(
            "Renewed {} (it would have expired in {} days, now in {days})",
            files(&args.dir, &name)[0].display(),
            (old.not_after - now()) / 86_400
        );
    }
    println!("Copy each pair to its machine; validators and etcd take it up without a restart.");
    Ok(())
}

fn load(dir: &Path) -> Result<(Authority, Certificate), Failure> {
    let [certificate, key] = files(dir, AUTHORITY);
    let read = |path: &PathBuf| {
        fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("{}: {error}", path.display())).remedy(
                "name the folder that `validator certs init` wrote with --dir; renewing needs the authority's key",
            )
        })
    };
    let facts = leaf(&certificate)?;
    if facts.days_left() < 0 {
        return Err(Failure::refused(format!("the authority {} expired on {}", certificate.display(), facts.expires))
            .remedy(
                "make a new one with `validator certs init --force`, and give its etcd-ca.pem to every machine first",
            ));
    }
    let authority = Authority::load(read(&certificate)?, &read(&key)?)
        .map_err(|error| Failure::usage(format!("{} with {}: {error}", certificate.display(), key.display())))?;
    Ok((authority, facts))
}

fn leaf(path: &Path) -> Result<Certificate, Failure> {
    let found = Certificate::read(path).map_err(|error| Failure::caused(Status::Usage, &error))?;
    found.into_iter().next().ok_or_else(|| Failure::usage(format!("{} holds no certificate", path.display())))
}

/// Names of all pairs in the folder that the authority signed, in order.
fn signed_here(dir: &Path, authority: &Certificate) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(dir).map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".pem").map(str::to_owned))
        .filter(|name| name != AUTHORITY && files(dir, name).iter().all(|path| path.exists()))
        .filter(|name| leaf(&files(dir, name)[0]).is_ok_and(|found| found.issuer == authority.subject))
        .collect();
    names.sort();
    Ok(names)
}

fn now() -> i64 {
    i64::try_from(tandem_env::wall_clock().0 / 1_000).unwrap_or(i64::MAX)
}
