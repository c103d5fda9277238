//! Sending shreds: those of others on to our children, our own each to its one first receiver.

use {
    super::admission::is_in_force,
    crate::views::Views,
    agave_feature_set::switch_to_chacha8_turbine,
    std::{collections::BTreeMap, net::SocketAddr, sync::Arc},
    tandem_bank::Bank,
    tandem_net::UdpPort,
    tandem_shred::Shred,
    tandem_turbine::{AddressRule, Cipher, ClusterNodes, FANOUT},
    tandem_types::{Epoch, Hash, Pubkey, Signature, Slot},
    tandem_wire::contact_info::{ContactInfo, SocketTag},
};

pub(super) struct Turbine {
    port: UdpPort,
    rule: AddressRule,
    clusters: BTreeMap<Epoch, ClusterNodes>,
    /// What they were made of.
    me: Pubkey,
    peers: Arc<Vec<ContactInfo>>,
    contact: Arc<ContactInfo>,
    /// Our signature of the last set that wanted one: its shreds come together.
    resigned: Option<(Pubkey, Hash, Signature)>,
}

impl Turbine {
    pub fn new(port: UdpPort, rule: AddressRule) -> Self {
        let nobody = ContactInfo::new(Pubkey::default(), 0, 0, Default::default());
        Self {
            port,
            rule,
            clusters: BTreeMap::new(),
            me: Pubkey::default(),
            peers: Arc::default(),
            contact: Arc::new(nobody),
            resigned: None,
        }
    }

    /// Takes note of who is there now.
    pub fn look(&mut self, views: &Views) {
        let (me, peers, contact) = (views.vault.node().pubkey(), views.peers.load_full(), views.contact.load_full());
        if me != self.me || !Arc::ptr_eq(&peers, &self.peers) || !Arc::ptr_eq(&contact, &self.contact) {
            self.clusters.clear();
            (self.me, self.peers, self.contact) = (me, peers, contact);
        }
    }

    /// `shreds` are verified. Those of our own slots stay here.
    pub fn retransmit(&mut self, views: &Views, bank: &Bank, shreds: Vec<Shred>) {
        let mut out: Vec<(SocketAddr, Shred)> = Vec::new();
        for mut shred in shreds {
            let Some(leader) = bank.leader_at(shred.slot()).map(|leader| leader.identity) else { continue };
            let seed = shred.id().seed(&leader);
            let Some(cluster) = self.cluster(bank, shred.slot()) else { continue };
            let Ok(children) = cluster.retransmit_children(seed, &leader, FANOUT) else { continue };
            if children.addresses.is_empty() {
                continue;
            }
            if shred.resigned() {
                let Some(signature) = self.signature(views, shred.merkle_root()) else { continue };
                shred.resign(&signature);
            }
            out.extend(children.addresses.into_iter().map(|to| (to, shred.clone())));
        }
        let sent = self.send(&out);
        views.counters.add("shreds_retransmitted", sent);
    }

    /// Our own block's, durable and logged.
    pub fn broadcast(&mut self, views: &Views, bank: &Bank, shreds: &[Shred]) {
        let mut out: Vec<(SocketAddr, Shred)> = Vec::new();
        for shred in shreds {
            let seed = bank.leader_at(shred.slot()).map(|leader| shred.id().seed(&leader.identity));
            let cluster = self.cluster(bank, shred.slot());
            let peer = seed.zip(cluster).and_then(|(seed, cluster)| cluster.broadcast_peer(seed)?.tvu);
            out.extend(peer.map(|to| (to, shred.clone())));
        }
        let sent = self.send(&out);
        views.counters.add("shreds_broadcast", sent);
    }

    fn send(&self, shreds: &[(SocketAddr, Shred)]) -> u64 {
        let datagrams: Vec<(SocketAddr, &[u8])> =
            shreds.iter().map(|(to, shred)| (*to, shred.payload().as_ref())).collect();
        self.port.send_many(&datagrams).packets as u64
    }

    fn cluster(&mut self, bank: &Bank, slot: Slot) -> Option<&ClusterNodes> {
        let epoch = bank.epoch_schedule().get_epoch(slot);
        if !self.clusters.contains_key(&epoch) {
            let stakes = bank.epoch_stakes(epoch)?;
            let stakes = stakes.staked_nodes().iter().map(|(node, stake)| (*node, *stake)).collect();
            let is_new = is_in_force(bank, &switch_to_chacha8_turbine::id(), slot);
            let cipher = if is_new { Cipher::ChaCha8 } else { Cipher::ChaCha20 };
            let contacts = self.peers.iter().filter_map(|peer| Some((peer.pubkey, peer.socket(SocketTag::Tvu)?)));
            let tvu = self.contact.socket(SocketTag::Tvu);
            let cluster = ClusterNodes::new(self.me, tvu, &stakes, contacts, cipher, self.rule);
            if self.clusters.len() >= EPOCHS_MAX {
                self.clusters.pop_first();
            }
            self.clusters.insert(epoch, cluster);
        }
        self.clusters.get(&epoch)
    }

    fn signature(&mut self, views: &Views, root: Hash) -> Option<Signature> {
        if let Some((by, of, signature)) = self.resigned
            && by == self.me
            && of == root
        {
            return Some(signature);
        }
        let key = views.vault.node();
        let signature = key.sign(root.as_ref()).ok()?;
        self.resigned = Some((key.pubkey(), root, signature));
        Some(signature)
    }
}

const EPOCHS_MAX: usize = 4;
