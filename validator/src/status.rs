//! What a running validator says of itself: one immutable value, published by the role stage, read by the admin socket,
//! health and `monitor`.

use {
    crate::vote_path::VotePathReport,
    serde::{Deserialize, Serialize},
    serde_json::{Value, json},
    std::collections::BTreeMap,
    tandem_types::Slot,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Role state, as STANDBY or ACTIVE.
    pub role: String,
    /// The identity this node shows in gossip at the moment.
    pub identity: String,
    /// The identity of the pair, when this node knows it.
    pub pair_identity: Option<String>,
    pub vote_account: Option<String>,
    pub term: Option<u64>,
    /// Highest slot frozen here, and the slot that voters with a third of the stake have reached.
    pub tip: Slot,
    pub cluster_tip: Slot,
    /// Nothing while this node does not know where the cluster is.
    pub slots_behind: Option<u64>,
    pub caught_up: bool,
    pub root: Slot,
    pub confirmed: Slot,
    pub last_vote: Option<Slot>,
    pub next_leader_slot: Option<Slot>,
    pub peers: usize,
    pub store: String,
    /// Why nothing is signed on the store's word, if so.
    #[serde(default)]
    pub quarantine: Option<String>,
    /// Why this node may not claim, by what the chain's root says of its vote account.
    #[serde(default)]
    pub objection: Option<String>,
    /// The newest sign that a second process uses this identity's keys with another store, while it is recent.
    #[serde(default)]
    pub twin: Option<TwinReport>,
    /// The last takeover by this process, when there was one.
    pub last_handover: Option<HandoverReport>,
    /// The last time this process stopped speaking for the identity, when there was one.
    #[serde(default)]
    pub last_step_down: Option<StepDownReport>,
    /// How long votes take, the store apart.
    pub vote_path: VotePathReport,
    /// Counters by name: what was received, dropped, refused.
    pub counters: BTreeMap<String, u64>,
    #[serde(default)]
    pub failover: FailoverStatus,
}

impl NodeStatus {
    /// Agave's names for the phases of a start (solana-core 4.2.2, validator.rs:ValidatorStartProgress).
    pub fn start_progress(&self) -> Value {
        if self.role == "STARTING" {
            json!({ "ProcessingLedger": { "slot": self.tip, "max_slot": self.cluster_tip } })
        } else {
            json!("Running")
        }
    }
}

/// Automatic failover on this node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FailoverStatus {
    /// `--failover auto`.
    pub auto: bool,
    /// "would promote …" or "would not promote: …".
    pub outlook: Option<String>,
    /// Of the hour's budget.
    pub promotions_left: Option<usize>,
    /// For how long the owner has been silent, as of the last look at the store.
    pub owner_silent_ms: Option<u64>,
}

/// A second process with this identity's keys and another store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TwinReport {
    /// What was seen of it, and what to do.
    pub reason: String,
    pub seconds_ago: u64,
}

/// How a takeover went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HandoverReport {
    pub identity: String,
    /// ACTIVE when this node now votes and leads for the identity, STANDBY when it stepped down.
    pub role: String,
    pub term: Option<u64>,
    pub last_vote_slot: Option<Slot>,
    /// When it was asked for (Unix nanoseconds; information only).
    pub requested_unix_nanos: u64,
    /// When the store's word that the claim is durable arrived here; nothing when no claim was made.
    #[serde(default)]
    pub claimed_unix_nanos: Option<u64>,
    /// From the request until this node may vote and lead.
    pub ms: f64,
    pub phases_ms: BTreeMap<String, f64>,
    /// Blocks between the adopted tower's last vote and this node's tip: what the identity has not voted on yet.
    pub slots_missed: u64,
}

/// How this process stopped speaking for the identity.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StepDownReport {
    /// The term that ended.
    pub term: Option<u64>,
    pub why: String,
    /// From this moment on every signature for the identity fails (Unix nanoseconds).
    pub locked_unix_nanos: u64,
}
