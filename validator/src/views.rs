//! What the stages publish for everybody: immutable values, replaced whole by their one writer.

use {
    crate::{logging, own_votes::OwnVotes, release::ReleaseRecorder, status::NodeStatus, vote_path::VotePath},
    arc_swap::ArcSwap,
    std::{
        collections::{BTreeMap, HashMap},
        sync::{
            Arc, Mutex, PoisonError,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
    },
    tandem_bank::Bank,
    tandem_env::Pulse,
    tandem_identity::Vault,
    tandem_ledger::LedgerReader,
    tandem_net::{QuicServerCounters, UdpCounters},
    tandem_role::reach::Reach,
    tandem_rpc::{ChainEvent, ChainView, History},
    tandem_types::{BlockKey, Hash, Pubkey, Tick},
    tandem_wire::contact_info::ContactInfo,
    tokio::sync::broadcast,
};

pub struct Views {
    /// Written by the vote stage.
    pub chain: Arc<ArcSwap<ChainView>>,
    /// Our root and the heaviest tip, by slot; written by the vote stage.
    pub root: AtomicU64,
    /// How far the cluster is: what voters with a third of the stake have reached. Written by whoever sees votes.
    pub cluster_tip: AtomicU64,
    /// The same without our own vote account.
    pub others_tip: AtomicU64,
    pub reach: Mutex<Reach>,
    /// Newest vote of our vote account seen in gossip or on the vote port; written by the vote stage.
    pub own_vote_seen: AtomicU64,
    /// Votes this process released; written by the promise stage.
    pub own_votes: OwnVotes,
    /// The other nodes; written by the gossip stage.
    pub peers: ArcSwap<Vec<ContactInfo>>,
    /// Ourselves as we announce it; written by the gossip stage.
    pub contact: Arc<ArcSwap<ContactInfo>>,
    /// The node identity in use; written by the role stage.
    pub identity: Arc<ArcSwap<Pubkey>>,
    /// Written by the role stage.
    pub status: Arc<ArcSwap<NodeStatus>>,
    pub ledger: LedgerReader,
    pub history: Arc<History>,
    pub events: broadcast::Sender<ChainEvent>,
    pub vault: Arc<Vault>,
    pub genesis_hash: Hash,
    pub shred_version: u16,
    pub vote_account: Option<Pubkey>,
    pub release: ReleaseRecorder,
    pub counters: Counters,
    /// Beats as long as this process runs.
    pub pulse: Pulse,
    /// Written by the promise stage.
    pub vote_path: VotePath,
}

impl Views {
    /// Votes that were seen on their way, their signatures and authorized voters checked.
    pub fn saw_votes(&self, now: Tick, bank: &Bank, votes: &[(Pubkey, BlockKey)]) {
        let Some(stakes) = bank.epoch_stakes(bank.epoch()).filter(|_| !votes.is_empty()) else { return };
        let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        for (vote_account, block) in votes {
            reach.note(now, *vote_account, block.slot);
        }
        let stake_of = |vote_account: &Pubkey| stakes.vote_account_stake(vote_account);
        let tip = reach.slot(stake_of, stakes.total_stake());
        let own = self.vote_account.unwrap_or_default();
        self.others_tip.store(reach.slot_of_others(&own, stake_of, stakes.total_stake()), Relaxed);
        // Under the lock: what was computed later is written later.
        self.cluster_tip.store(tip, Relaxed);
    }

    pub fn peer(&self, node: &Pubkey) -> Option<ContactInfo> {
        self.peers.load().iter().find(|peer| peer.pubkey == *node).cloned()
    }
}

/// Counts by name: what was received, dropped, refused.
#[derive(Default)]
pub struct Counters {
    named: Mutex<HashMap<&'static str, u64>>,
    /// Of all receiving threads, and of both QUIC servers: they count for themselves.
    pub udp: Arc<UdpCounters>,
    pub quic: Arc<QuicServerCounters>,
}

impl Counters {
    pub fn add(&self, name: &'static str, count: u64) {
        if count > 0 {
            *self.named.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += count;
        }
    }

    pub fn all(&self) -> BTreeMap<String, u64> {
        let (udp, quic) = (&self.udp, &self.quic);
        let of_net = [
            ("udp_packets", &udp.packets),
            ("udp_dropped_full", &udp.dropped_full),
            ("udp_oversize", &udp.dropped_oversize),
            ("udp_errors", &udp.errors),
            ("quic_accepted", &quic.accepted),
            ("quic_handshakes_failed", &quic.handshakes_failed),
            ("quic_refused_rate_all", &quic.refused_rate_all),
            ("quic_refused_rate_ip", &quic.refused_rate_ip),
            ("quic_refused_room", &quic.refused_room),
            ("quic_streams_invalid", &quic.streams_invalid),
            ("quic_dropped_full", &quic.dropped_full),
        ];
        let of_net =
            of_net.into_iter().map(|(name, count)| (name, count.load(Relaxed))).filter(|(_, count)| *count > 0);
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let named = named.iter().map(|(name, count)| (*name, *count));
        let log = [("log_lines_dropped", logging::dropped())].into_iter().filter(|(_, count)| *count > 0);
        named.chain(of_net).chain(log).map(|(name, count)| (name.to_owned(), count)).collect()
    }
}
