//! A voter of the cluster whose node never runs, and whose votes say what it likes: signed and genuine.

use {
    crate::{dev::interrupt, exit::Failure},
    solana_transaction::Transaction,
    std::{
        collections::BTreeMap,
        net::{SocketAddr, UdpSocket},
        time::{Duration, Instant},
    },
    tandem_env::wall_clock,
    tandem_gossip::{Config, Effect, Event, Gossip},
    tandem_types::{Hash, Keypair, Pubkey, Signature, Signer, Slot, Tick, UnixMillis, VersionedTransaction},
    tandem_wire::{
        contact_info::{ContactInfo, SocketTag, Version},
        vote_tx,
    },
};

pub struct SmallVoter {
    pub node: Keypair,
    pub account: Pubkey,
}

impl SmallVoter {
    fn vote(&self, slot: Slot) -> VersionedTransaction {
        let sync = vote_tx::tower_sync(&[(slot, 1)], None, Hash::new_from_array([7; 32]), None, Hash::default());
        let instruction = vote_tx::tower_sync_instruction(&self.account, &self.node.pubkey(), sync, None);
        let payer = Some(self.node.pubkey());
        Transaction::new_signed_with_payer(&[instruction], payer.as_ref(), &[&self.node], Hash::default()).into()
    }

    pub fn send_to_vote_ports(&self, slot: Slot, ports: &[SocketAddr]) -> Result<(), Failure> {
        let socket = UdpSocket::bind("0.0.0.0:0").map_err(Failure::failed)?;
        let bytes = bincode::serialize(&self.vote(slot)).map_err(Failure::failed)?;
        ports.iter().try_for_each(|port| socket.send_to(&bytes, port).map(drop)).map_err(Failure::failed)
    }

    /// Is a node of the cluster's gossip for a while, and shows the vote there, until both have answered it several times.
    pub fn gossip(&self, slot: Slot, shred_version: u16, nodes: &[SocketAddr]) -> Result<(), Failure> {
        let socket = UdpSocket::bind("0.0.0.0:0").map_err(Failure::failed)?;
        socket.set_read_timeout(Some(Duration::from_millis(20))).map_err(Failure::failed)?;
        let wall = || UnixMillis(wall_clock().0);
        let mut contact =
            ContactInfo::new(self.node.pubkey(), wall().0.saturating_mul(1_000), shred_version, Version::default());
        contact.set_socket(SocketTag::Gossip, own_address(&socket, nodes)?).map_err(Failure::failed)?;
        let transaction = self.vote(slot);
        let seed = self.node.pubkey().to_bytes();
        let mut gossip = Gossip::new(Config::new(nodes.to_vec(), true), contact, seed);
        let mut answers: BTreeMap<SocketAddr, u32> = nodes.iter().map(|node| (*node, 0)).collect();
        let started = Instant::now();
        let (mut effects, mut buffer, mut show_at) = (Vec::new(), [0; 2048], started);
        while answers.values().any(|count| *count < ANSWERS) || started.elapsed() < SHOWN_FOR {
            let now = Tick::from_millis(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
            if let Ok((size, from)) = socket.recv_from(&mut buffer) {
                answers.entry(from).and_modify(|count| *count += 1);
                let bytes = buffer[..size].to_vec();
                gossip.handle(now, wall(), Event::Packet { from, bytes }, self, &mut effects);
            }
            if gossip.next_deadline().is_some_and(|at| at <= now) {
                gossip.handle(now, wall(), Event::Timer, self, &mut effects);
            }
            if show_at <= Instant::now() {
                show_at = Instant::now() + Duration::from_millis(500);
                let event = Event::PublishVote { slot, transaction: transaction.clone() };
                gossip.handle(now, wall(), event, self, &mut effects);
            }
            for effect in effects.drain(..) {
                if let Effect::Send { to, bytes } = effect {
                    // Whoever is not there does not hear it.
                    let _ = socket.send_to(&bytes, to);
                }
            }
            interrupt::check()?;
            if started.elapsed() > Duration::from_secs(60) {
                return Err(Failure::failed(format!("the machines do not answer in gossip: {answers:?}")));
            }
        }
        Ok(())
    }
}

/// Where those nodes can answer to.
fn own_address(socket: &UdpSocket, nodes: &[SocketAddr]) -> Result<SocketAddr, Failure> {
    let probe = UdpSocket::bind("0.0.0.0:0").map_err(Failure::failed)?;
    if let Some(node) = nodes.first() {
        probe.connect(node).map_err(Failure::failed)?;
    }
    let ip = probe.local_addr().map_err(Failure::failed)?.ip();
    Ok(SocketAddr::new(ip, socket.local_addr().map_err(Failure::failed)?.port()))
}

impl tandem_gossip::Signer for SmallVoter {
    fn pubkey(&self) -> Pubkey {
        self.node.pubkey()
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        self.node.sign_message(bytes)
    }
}

/// A ping is answered, a pull, and pushes come.
const ANSWERS: u32 = 5;
const SHOWN_FOR: Duration = Duration::from_secs(5);
