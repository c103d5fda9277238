//! Joins a cluster's gossip and prints the contacts it learns:
//! `cargo run -p tandem-gossip --example spy -- ENTRYPOINT SHRED_VERSION [SECONDS] [GOSSIP_PORT]`
//! Shred version 0 asks the entrypoint's ip-echo server first. With a gossip port it offers gossip, tvu and tpu sockets
//! (ports behind it, where nobody listens) and so counts as a full peer; without, as a spy.

use {
    solana_keypair::Keypair,
    std::{
        io::{Read, Write},
        net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
        process::ExitCode,
        time::{Duration, Instant, SystemTime, UNIX_EPOCH},
    },
    tandem_gossip::{Config, Effect, Event, Gossip},
    tandem_types::{Pubkey, Signature, Signer as _, Tick, UnixMillis},
    tandem_wire::{
        contact_info::{CLIENT_TANDEM, ContactInfo, SocketTag, Version},
        ip_echo,
    },
};

struct Key(Keypair);

impl tandem_gossip::Signer for Key {
    fn pubkey(&self) -> Pubkey {
        self.0.pubkey()
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        self.0.sign_message(bytes)
    }
}

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\nusage: spy ENTRYPOINT SHRED_VERSION [SECONDS] [GOSSIP_PORT]");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [entrypoint, shred_version, options @ ..] = args else { return Err("too few arguments".into()) };
    let entrypoint: SocketAddr = entrypoint.parse()?;
    let seconds: u64 = options.first().map_or(Ok(20), |text| text.parse())?;
    let port: Option<u16> = options.get(1).map(|text| text.parse()).transpose()?;
    let shred_version = match shred_version.parse()? {
        0 => ask_shred_version(entrypoint)?,
        known => known,
    };
    let socket = UdpSocket::bind(("0.0.0.0", port.unwrap_or(0)))?;
    let port_bound = socket.local_addr()?.port();
    let key = Key(Keypair::new());
    let contact = own_contact(&key, shred_version, entrypoint.ip(), port_bound, port.is_some())?;
    println!("we are {} at port {port_bound}, shred version {shred_version}", key.0.pubkey());
    let gossip = Gossip::new(Config::new(vec![entrypoint], true), contact, key.0.pubkey().to_bytes());
    gossip_for(Duration::from_secs(seconds), gossip, &key, &socket)
}

fn gossip_for(
    span: Duration,
    mut gossip: Gossip,
    key: &Key,
    socket: &UdpSocket,
) -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let (mut effects, mut buffer) = (Vec::new(), [0u8; 2048]);
    let (mut sent, mut received, mut votes) = (0u64, 0u64, 0u64);
    while start.elapsed() < span {
        let now = Tick(start.elapsed().as_nanos() as u64);
        let wait = gossip.next_deadline().map_or(Duration::from_millis(100), |at| at.since(now));
        socket.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), Duration::from_millis(100))))?;
        let packet = socket.recv_from(&mut buffer).ok();
        let now = Tick(start.elapsed().as_nanos() as u64);
        if let Some((size, from)) = packet {
            received += 1;
            let event = Event::Packet { from, bytes: buffer[..size].to_vec() };
            gossip.handle(now, wall(), event, key, &mut effects);
        }
        if gossip.next_deadline().is_some_and(|at| at <= now) {
            gossip.handle(now, wall(), Event::Timer, key, &mut effects);
        }
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { to, bytes } => {
                    sent += 1;
                    socket.send_to(&bytes, to)?;
                }
                Effect::Votes(new) => {
                    votes += new.len() as u64;
                    for vote in new.iter().take(1) {
                        println!(
                            "{:>8} ms vote of {} for slot {:?}",
                            now.as_millis(),
                            vote.from,
                            vote.vote.last_slot()
                        );
                    }
                }
                Effect::ContactsChanged => print_contacts(now, &gossip),
                Effect::Counted(reason) => println!("{:>8} ms dropped: {reason:?}", now.as_millis()),
                other => println!("{:>8} ms {other:?}", now.as_millis()),
            }
        }
    }
    println!("{sent} packets sent, {received} received, {votes} votes, {} records", gossip.records());
    Ok(())
}

fn print_contacts(now: Tick, gossip: &Gossip) {
    for info in gossip.contacts() {
        println!("{:>8} ms {} version {} client {}", now.as_millis(), info.pubkey, info.version, info.version.client);
        for (key, addr) in info.sockets() {
            println!("             socket {key}: {addr}");
        }
        let (lowest, slots) = (gossip.lowest_slot(&info.pubkey), gossip.epoch_slots(&info.pubkey, 0).count());
        println!("             lowest slot {lowest:?}, {slots} epoch slots");
    }
}

fn own_contact(
    key: &Key,
    shred_version: u16,
    entrypoint: IpAddr,
    port: u16,
    full: bool,
) -> Result<ContactInfo, Box<dyn std::error::Error>> {
    let ip = if entrypoint.is_loopback() { entrypoint } else { local_ip(entrypoint)? };
    let version = Version { minor: 1, client: CLIENT_TANDEM, ..Version::default() };
    let mut info = ContactInfo::new(key.0.pubkey(), wall().0 * 1000, shred_version, version);
    info.set_socket(SocketTag::Gossip, SocketAddr::new(ip, port))?;
    if full {
        info.set_socket(SocketTag::Tvu, SocketAddr::new(ip, port + 1))?;
        info.set_socket(SocketTag::TpuQuic, SocketAddr::new(ip, port + 2))?;
    }
    Ok(info)
}

fn local_ip(towards: IpAddr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((towards, 9))?;
    Ok(socket.local_addr()?.ip())
}

fn ask_shred_version(entrypoint: SocketAddr) -> Result<u16, Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect_timeout(&entrypoint, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&ip_echo::Request::default().encode())?;
    let mut bytes = [0; ip_echo::RESPONSE_BYTES];
    stream.read_exact(&mut bytes)?;
    let response = ip_echo::Response::decode(&bytes)?;
    println!("the entrypoint sees us as {} and has shred version {:?}", response.address, response.shred_version);
    response.shred_version.ok_or_else(|| "the entrypoint does not tell its shred version".into())
}

fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(since.as_millis() as u64)
}
