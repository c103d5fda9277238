//! One voter's word about where the cluster is. It is signed and genuine, and says what it likes.

use {
    super::{hostile::status, *},
    solana_transaction::Transaction,
    tandem_gossip::{Config, Effect, Event, Gossip},
    tandem_identity::read_keypair_file,
    tandem_types::{Hash, Keypair, Pubkey, Signature, Signer, Slot, Tick, UnixMillis, VersionedTransaction},
    tandem_wire::{
        contact_info::{ContactInfo, SocketTag, Version},
        vote_tx,
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

const FAR: Slot = 400;

#[test]
fn one_signed_vote_for_a_far_slot_changes_nothing() {
    let place = Place::empty();
    // A small voter, whose node never runs, has its tenth of the stake.
    place.make_genesis(
        "ledger",
        "",
        "--bootstrap-validator @si.json @sv.json @ss.json \
         --bootstrap-validator-stake-lamports 9000000000000 --bootstrap-validator-stake-lamports 1000000000000",
    );
    let mut node = place.run("");
    node.wait_until("it confirms blocks", || status(&place)["confirmed"].as_u64() > Some(1));
    let small = read_keypair_file(&place.path("si.json")).unwrap();
    let account = read_keypair_file(&place.path("sv.json")).unwrap().pubkey();
    let contact: serde_json::Value =
        serde_json::from_slice(&place.command("-l @ledger contact-info --output json").output().unwrap().stdout)
            .unwrap();
    let address = |name: &str| -> SocketAddr { contact[name].as_str().unwrap().parse().unwrap() };

    let received = |name: &str| status(&place)["counters"][name].as_u64().unwrap_or_default();
    let before = received("vote_port_received") - received("votes_released");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bytes = bincode::serialize(&vote(&small, &account, FAR)).unwrap();
    socket.send_to(&bytes, address("tpu_vote")).unwrap();
    let version = contact["shred_version"].as_u64().and_then(|version| u16::try_from(version).ok()).unwrap();
    gossip_until(address("gossip"), version, small, vote_of(account), || received("gossip_votes") > 0);
    assert!(received("vote_port_received") - received("votes_released") >= before);

    // The node looks at the cluster many times a second.
    for _ in 0..10 {
        let status = status(&place);
        let (tip, cluster) = (status["tip"].as_u64().unwrap(), status["cluster_tip"].as_u64().unwrap());
        assert!(
            cluster < FAR && cluster <= tip + 8,
            "a tenth of the stake named slot {FAR}: tip {tip}, cluster {cluster}"
        );
        assert_eq!(status["caught_up"], serde_json::json!(true), "{status}");
        thread::sleep(Duration::from_millis(200));
    }
    let window = place
        .command(
            "-l @ledger wait-for-restart-window --min-idle-time 0 --max-delinquent-stake 50 --timeout 3 --output json",
        )
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&window.stdout);
    assert!(!told.contains("not healthy"), "{told}");
}

fn vote(key: &Keypair, account: &Pubkey, slot: Slot) -> VersionedTransaction {
    let sync = vote_tx::tower_sync(&[(slot, 1)], None, Hash::new_from_array([7; 32]), None, Hash::default());
    let instruction = vote_tx::tower_sync_instruction(account, &key.pubkey(), sync, None);
    Transaction::new_signed_with_payer(&[instruction], Some(&key.pubkey()), &[key], Hash::default()).into()
}

fn vote_of(account: Pubkey) -> impl Fn(&Keypair) -> VersionedTransaction {
    move |key| vote(key, &account, FAR + 1)
}

/// Is a node of the cluster's gossip under this key, and shows the vote there.
fn gossip_until(
    entrypoint: SocketAddr,
    shred_version: u16,
    key: Keypair,
    vote: impl Fn(&Keypair) -> VersionedTransaction,
    mut done: impl FnMut() -> bool,
) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let wall = || UnixMillis(tandem_env::wall_clock().0);
    let mut contact = ContactInfo::new(key.pubkey(), wall().0 * 1000, shred_version, Version::default());
    contact.set_socket(SocketTag::Gossip, socket.local_addr().unwrap()).unwrap();
    let transaction = vote(&key);
    let key = Key(key);
    let mut gossip = Gossip::new(Config::new(vec![entrypoint], true), contact, key.pubkey().to_bytes());
    let started = Instant::now();
    let mut effects = Vec::new();
    let mut buffer = [0; 2048];
    let mut next_look = started;
    loop {
        let now = Tick::from_millis(started.elapsed().as_millis() as u64);
        if let Ok((size, from)) = socket.recv_from(&mut buffer) {
            gossip.handle(now, wall(), Event::Packet { from, bytes: buffer[..size].to_vec() }, &key, &mut effects);
        }
        if gossip.next_deadline().is_some_and(|at| at <= now) {
            gossip.handle(now, wall(), Event::Timer, &key, &mut effects);
        }
        if next_look <= Instant::now() {
            next_look = Instant::now() + Duration::from_millis(500);
            if done() {
                return;
            }
            let event = Event::PublishVote { slot: FAR + 1, transaction: transaction.clone() };
            gossip.handle(now, wall(), event, &key, &mut effects);
        }
        for effect in effects.drain(..) {
            if let Effect::Send { to, bytes } = effect {
                socket.send_to(&bytes, to).unwrap();
            }
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the vote did not reach the node by gossip");
    }
}

use tandem_gossip::Signer as _;
