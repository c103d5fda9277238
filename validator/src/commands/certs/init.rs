//! `validator certs init`.

use {
    super::{AUTHORITY, files, write, write_pair},
    crate::{
        args::CertsInitArgs,
        exit::Failure,
        pki::{Authority, Leaf},
    },
    std::{fs, path::PathBuf},
};

pub fn init(args: &CertsInitArgs) -> Result<(), Failure> {
    let members = members(args)?;
    let machines = machines(args, &members)?;
    let names = std::iter::once(AUTHORITY).chain(members.iter().map(|(name, _)| name.as_str()));
    let names: Vec<&str> = names.chain(machines.iter().map(String::as_str)).collect();
    let there: Vec<PathBuf> =
        names.iter().flat_map(|name| files(&args.dir, name)).filter(|path| path.exists()).collect();
    if let Some(first) = there.first().filter(|_| !args.force) {
        return Err(Failure::refused(format!("{} is there already", first.display())).remedy(
            "renew certificates with `validator certs renew`, write to another --dir, or start over with --force",
        ));
    }
    fs::create_dir_all(&args.dir).map_err(|error| Failure::failed(format!("{}: {error}", args.dir.display())))?;
    let failed = |what: &str, error| Failure::failed(format!("making the certificate of {what}: {error}"));
    let (authority, key) = Authority::create(AUTHORITY, args.ca_days).map_err(|error| failed(AUTHORITY, error))?;
    let [ca, ca_key] = files(&args.dir, AUTHORITY);
    write(&ca_key, &key)?;
    write(&ca, &authority.certificate)?;
    for (name, hosts) in &members {
        let leaf = Leaf { common_name: name.clone(), names: hosts.clone(), server: true, days: args.days };
        write_pair(&args.dir, name, &authority.issue(&leaf).map_err(|error| failed(name, error))?)?;
    }
    for name in &machines {
        let leaf = Leaf { common_name: name.clone(), names: Vec::new(), server: false, days: args.days };
        write_pair(&args.dir, name, &authority.issue(&leaf).map_err(|error| failed(name, error))?)?;
    }
    tell(args, &members, &machines);
    Ok(())
}

/// File name and hosts of each member. Every member is also reached on its own machine.
fn members(args: &CertsInitArgs) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let several = args.members.len() > 1;
    let named = args.members.iter().enumerate().map(|(index, hosts)| {
        let name = if several { format!("etcd-{}", index + 1) } else { "etcd".to_owned() };
        let mut all: Vec<String> = hosts.split(',').map(|host| host.trim().to_owned()).collect();
        if let Some(wrong) = all.iter().find(|host| !is_host(host)) {
            return Err(Failure::usage(format!("--member {hosts}: {wrong:?} is neither a host name nor an address"))
                .remedy("write it as etcd1.example,10.0.0.1, without scheme and port"));
        }
        for local in ["localhost", "127.0.0.1"] {
            if !all.iter().any(|host| host == local) {
                all.push(local.to_owned());
            }
        }
        Ok((name, all))
    });
    named.collect()
}

fn machines(args: &CertsInitArgs, members: &[(String, Vec<String>)]) -> Result<Vec<String>, Failure> {
    for (index, name) in args.machines.iter().enumerate() {
        let taken = name == AUTHORITY || members.iter().any(|(member, _)| member == name);
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if taken
            || !plain
            || name.starts_with(['.', '-'])
            || name.ends_with("-key")
            || args.machines[..index].contains(name)
        {
            return Err(Failure::usage(format!("--machine {name:?} cannot be the name of a certificate file here"))
                .remedy(
                    "use letters, digits, dots and dashes, each name once, and not the authority's or a member's",
                ));
        }
    }
    Ok(args.machines.clone())
}

fn is_host(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
        || (!host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '*'))
}

fn tell(args: &CertsInitArgs, members: &[(String, Vec<String>)], machines: &[String]) {
    let shown = |name: &str| files(&args.dir, name).map(|path| path.display().to_string());
    let [ca, ca_key] = shown(AUTHORITY);
    println!("Authority: {ca} (give it to every machine), {ca_key} (keep it off all of them; `certs renew` needs it)");
    let port = |name: &str| if members.len() == 1 { "etcd".to_owned() } else { name.to_owned() };
    let url = |host: &String, port: u16| match host.contains(':') {
        true => format!("https://[{host}]:{port}"),
        false => format!("https://{host}:{port}"),
    };
    let cluster: Vec<String> =
        members.iter().map(|(name, hosts)| format!("{}={}", port(name), url(&hosts[0], 2380))).collect();
    for (name, hosts) in members {
        let [certificate, key] = shown(name);
        let (client, peer) = (url(&hosts[0], 2379), url(&hosts[0], 2380));
        println!("\n# etcd member {name}, for {}", hosts.join(" "));
        println!("etcd --name {} --auto-compaction-retention 1000 --auto-compaction-mode revision \\", port(name));
        println!("  --cert-file={certificate} --key-file={key} --client-cert-auth --trusted-ca-file={ca} \\");
        println!("  --listen-client-urls={client} --advertise-client-urls={client} \\");
        println!(
            "  --peer-cert-file={certificate} --peer-key-file={key} --peer-client-cert-auth --peer-trusted-ca-file={ca} \\"
        );
        println!(
            "  --listen-peer-urls={peer} --initial-advertise-peer-urls={peer} --initial-cluster={}",
            cluster.join(",")
        );
    }
    let endpoints: Vec<String> =
        members.iter().map(|(_, hosts)| format!("--etcd-endpoint {}", url(&hosts[0], 2379))).collect();
    for name in machines {
        let [certificate, key] = shown(name);
        println!("\n# machine {name}: flags of its validator");
        println!("  --tower-storage etcd --etcd-cacert-file {ca} --etcd-cert-file {certificate} \\");
        println!("  --etcd-key-file {key} {}", endpoints.join(" "));
    }
    println!(
        "\nThey expire in {} days: `validator certs renew --dir {}` makes new ones.",
        args.days,
        args.dir.display()
    );
}
