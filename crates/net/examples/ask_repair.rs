//! Asks a real node for the shreds of a slot over our repair client, and for our address over ip echo:
//! `cargo run -p tandem-net --example ask_repair -- SERVE_REPAIR_ADDRESS GOSSIP_ADDRESS IDENTITY SLOT`

use {
    std::{
        collections::BTreeSet,
        error::Error,
        net::SocketAddr,
        sync::{Arc, atomic::AtomicBool},
        time::{Duration, Instant, SystemTime, UNIX_EPOCH},
    },
    tandem_net::{UdpOptions, UdpPort, ip_echo, spawn_receiver},
    tandem_repair::{ClientEvent, Effect, Packet, RepairClient, RepairPeer, Signer, SlotGap},
    tandem_types::{Keypair, Pubkey, Signature, Signer as _, Slot, Tick, UnixMillis},
};

struct Key(Keypair);

impl Signer for Key {
    fn pubkey(&self) -> Pubkey {
        self.0.pubkey()
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        self.0.sign_message(bytes)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addr, gossip, pubkey, slot] = arguments.as_slice() else {
        return Err("usage: ask_repair SERVE_REPAIR_ADDRESS GOSSIP_ADDRESS IDENTITY SLOT".into());
    };
    let (addr, gossip, slot): (SocketAddr, SocketAddr, Slot) = (addr.parse()?, gossip.parse()?, slot.parse()?);
    println!("ip echo: {:?}", ip_echo::ask(gossip, None, &tandem_wire::ip_echo::Request::default())?);

    let port = UdpPort::bind("127.0.0.1:0".parse()?, &UdpOptions::big())?;
    let (sender, inbox) = crossbeam_channel::bounded(1000);
    let stop = Arc::<AtomicBool>::default();
    let _receiver = spawn_receiver(&port, "repair", sender, stop.clone(), Arc::default())?;
    let (key, mut client, mut out) = (Key(Keypair::new()), RepairClient::new([7; 32]), Vec::new());
    let start = Instant::now();
    let now = || Tick(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    let wall = UnixMillis(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?);
    let peer = RepairPeer { pubkey: pubkey.parse()?, addr, stake: 1, lowest_slot: 0 };
    client.handle(now(), wall, ClientEvent::Peers(vec![peer]), &key, &mut out);

    let mut have: BTreeSet<u32> = BTreeSet::new();
    let mut last = None;
    let mut ancestors: BTreeSet<Slot> = BTreeSet::new();
    while last.is_none_or(|last| have.len() <= last as usize) || ancestors.len() < 2 {
        if start.elapsed() > Duration::from_secs(20) {
            return Err(format!("not whole after 20 s: {} shreds, last {last:?}", have.len()).into());
        }
        let received = have.last().map_or(0, |highest| highest + 1);
        let missing = (0..received).filter(|index| !have.contains(index)).collect();
        let gap = SlotGap { slot, received, missing, unknown_last: last.is_none(), orphan: ancestors.len() < 2 };
        client.handle(now(), wall, ClientEvent::Missing(vec![gap]), &key, &mut out);
        let wait = client.next_deadline().map_or(Duration::from_millis(5), |at| at.since(now()));
        if let Ok(packet) = inbox.recv_timeout(wait.min(Duration::from_millis(5))) {
            let packet = Packet { from: packet.from, bytes: packet.bytes };
            client.handle(now(), wall, ClientEvent::Packet(packet), &key, &mut out);
        }
        for effect in out.drain(..) {
            match effect {
                Effect::Send { to, bytes } => port.send(to, &bytes)?,
                Effect::Shred { bytes, .. } => {
                    let of = Slot::from_le_bytes(bytes[65..73].try_into()?);
                    ancestors.insert(of);
                    if of == slot {
                        let index = u32::from_le_bytes(bytes[73..77].try_into()?);
                        have.insert(index);
                        // LAST_SHRED_IN_SLOT
                        last = last.or((bytes[85] & 0xc0 == 0xc0).then_some(index));
                    }
                }
                Effect::Counted(reason) => println!("counted: {}", reason.label()),
            }
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    println!(
        "slot {slot}: all {} data shreds after {} ms; orphan answer told of {ancestors:?}",
        have.len(),
        start.elapsed().as_millis()
    );
    Ok(())
}
