use {
    super::*,
    crate::{
        stages::testing::{VOTE, World, leader, port, world},
        topology::Readers,
    },
    tandem_ledger::{Ledger, Source as From},
    tandem_types::{BlockKey, Hash, Keypair, Pubkey},
    tandem_wire::contact_info::{ContactInfo, Version},
};

struct Node {
    stage: RepairStage,
    world: World,
    ledger: Ledger,
    shreds: Rx<ShredInput>,
    client: UdpPort,
    server: UdpPort,
}

impl Node {
    fn new(key: Keypair) -> Self {
        let (world, readers, ledger) = world();
        world.shared.views.vault.stand_by_as(key);
        let Readers { repair_packets, serve_repair_packets, repair, shreds, .. } = readers;
        let links = RepairLinks { answers: repair_packets, requests: serve_repair_packets, inbox: repair };
        let (client, server) = (port(), port());
        let ports = RepairPorts { client: client.clone(), server: server.clone() };
        let stage = RepairStage::new(world.shared.clone(), links, ports, [[1; 32], [2; 32]]);
        Self { stage, world, ledger, shreds, client, server }
    }

    fn identity(&self) -> Pubkey {
        self.world.shared.views.vault.node().pubkey()
    }

    fn knows(&self, other: &Node) {
        let mut contact = ContactInfo::new(other.identity(), 1, 1, Version::default());
        contact.set_socket(SocketTag::ServeRepair, other.server.local_addr()).expect("a socket");
        self.world.shared.views.peers.store(Arc::new(vec![contact]));
    }

    /// What the sockets hold goes into the links, as the receivers do it; then the stage runs.
    fn step(&mut self, now: Tick) {
        let writers = &self.world.shared.writers;
        for (port, link) in [(&self.client, &writers.repair_packets), (&self.server, &writers.serve_repair_packets)] {
            let socket = port.socket().expect("a handle");
            socket.set_nonblocking(true).expect("a mode");
            let mut buffer = [0; 2048];
            while let Ok((size, from)) = socket.recv_from(&mut buffer) {
                link.offer(Packet { from, bytes: buffer[..size].to_vec() });
            }
        }
        while self.stage.step(now).expect("no failure") == Progress::Busy {}
    }

    /// What the shred stage would do with what was repaired.
    fn keep(&mut self) {
        while let Some(ShredInput::Repaired(shred)) = self.shreds.pop() {
            self.ledger.insert(vec![shred], From::Repair, wall_clock()).expect("a disk");
        }
    }
}

#[test]
fn a_late_node_gets_the_blocks_it_missed_from_another() {
    let (mut has, mut lacks) = (Node::new(leader()), Node::new(Keypair::new_from_array([51; 32])));
    let slots = [1, 2, 5, 6, 7, 8, 9];
    for (parent, slot) in std::iter::once(0).chain(slots).zip(slots) {
        let block = has.world.shred(slot, parent, has.world.root_id(), &has.world.entries(&has.world.root, slot), true);
        has.ledger.insert(block.data, From::Turbine, wall_clock()).expect("a disk");
    }
    has.knows(&lacks);
    lacks.knows(&has);
    // All it knows is that the cluster votes for slot 9.
    let voted = [(VOTE, BlockKey::new(9, Hash::default()))];
    lacks.world.shared.views.saw_votes(Tick::ZERO, &lacks.world.root, &voted);
    let mut now = Tick::from_millis(1_000);
    let missing = |node: &Node| slots.iter().filter(|slot| !node.world.shared.views.ledger.is_complete(**slot)).count();
    for _ in 0..400 {
        now = now + Duration::from_millis(10);
        lacks.step(now);
        has.step(now);
        lacks.keep();
        if missing(&lacks) == 0 {
            break;
        }
    }
    assert_eq!(missing(&lacks), 0);
    let (asked, came) = (lacks.world.count("repair_requests_sent"), lacks.world.count("repair_shreds"));
    assert!(came >= 7 * 32 && asked < 2 * came, "{asked} questions for {came} shreds");
    assert!(!lacks.world.shared.views.ledger.has_shreds(3), "what never was cannot be had");
}

#[test]
fn nothing_more_is_asked_for_of_a_dead_block() {
    let (mut has, mut lacks) = (Node::new(leader()), Node::new(Keypair::new_from_array([51; 32])));
    let block = has.world.block(1);
    has.knows(&lacks);
    lacks.knows(&has);
    lacks.ledger.insert(block.data[..20].to_vec(), From::Turbine, wall_clock()).expect("a disk");
    let mut now = Tick::from_millis(1_000);
    let mut asked = |lacks: &mut Node| {
        let before = lacks.world.count("repair_requests_sent");
        for _ in 0..100 {
            now = now + Duration::from_millis(10);
            lacks.step(now);
            has.step(now);
        }
        lacks.world.count("repair_requests_sent") - before
    };
    assert!(asked(&mut lacks) > 0, "twelve shreds are missing");
    lacks.ledger.mark_dead(1).expect("a disk");
    asked(&mut lacks);
    assert_eq!(asked(&mut lacks), 0);
}
