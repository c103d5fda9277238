//! `validator certs show`.

use {
    crate::{
        args::CertsShowArgs,
        exit::{Failure, Status},
    },
    serde_json::json,
    tandem_etcd::Certificate,
};

pub fn show(args: &CertsShowArgs) -> Result<(), Failure> {
    let mut all = Vec::new();
    for file in &args.files {
        let found = Certificate::read(file).map_err(|error| Failure::caused(Status::Usage, &error))?;
        all.extend(found.into_iter().map(|certificate| (file, certificate)));
    }
    if args.format.json() {
        let values: Vec<_> = all
            .iter()
            .map(|(file, found)| {
                json!({
                    "file": file,
                    "subject": found.subject,
                    "issuer": found.issuer,
                    "names": found.names,
                    "notAfter": found.not_after,
                    "expires": found.expires,
                    "daysLeft": found.days_left(),
                    "authority": found.is_authority,
                    "forClients": found.for_clients,
                    "forServers": found.for_servers,
                })
            })
            .collect();
        println!("{}", json!(values));
        return Ok(());
    }
    for (file, found) in all {
        let uses = match (found.is_authority, found.for_servers, found.for_clients) {
            (true, _, _) => "an authority",
            (false, true, true) => "servers and clients",
            (false, true, false) => "servers",
            (false, false, true) => "clients",
            (false, false, false) => "neither servers nor clients",
        };
        println!("{}", file.display());
        println!("  subject  {}", found.subject);
        println!("  issuer   {}", found.issuer);
        println!("  names    {}", if found.names.is_empty() { "none".to_owned() } else { found.names.join(" ") });
        println!("  for      {uses}");
        match found.days_left() {
            left if left < 0 => println!("  expired  {} ({} days ago)", found.expires, -left),
            left => println!("  expires  {} (in {left} days)", found.expires),
        }
    }
    Ok(())
}
