//! The scenarios. Each begins with the primary ACTIVE and voting and the secondary standing by, breaks something, sees that what
//! is promised comes to pass, and may leave anything behind: `Lab::ready` mends it.

mod machine;
mod network;
mod operator;
mod store;
mod twin;

use {
    super::{lab::Lab, round::Round},
    crate::exit::Failure,
};

pub struct Scenario {
    pub name: &'static str,
    pub what: &'static str,
    /// From failover.md, section 7.
    pub target: &'static str,
    pub needs: &'static [Need],
    /// What it leaves cannot be mended: the next round gets other machines.
    pub ruins: bool,
    pub run: fn(&mut Lab) -> Result<Round, Failure>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    Network,
    Program(&'static str),
    SmallDisk,
}

const NOTHING: &[Need] = &[];
const NETWORK: &[Need] = &[Need::Network];
/// The intent's deadline, and what a planned handover takes.
const FORCED: &str = "2025 / 2150 ms";
const PLANNED: &str = "25 / 150 ms, 0 slots missed";
const RESUMES: &str = "votes again within 10 s";
const SAFE_ONLY: &str = "SAFE; takes nothing";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "planned",
        what: "set-identity on the secondary, both alive",
        target: PLANNED,
        needs: NOTHING,
        ruins: false,
        run: operator::planned,
    },
    Scenario {
        name: "kill-9",
        what: "kill -9 of the owner, then set-identity on the secondary",
        target: FORCED,
        needs: NOTHING,
        ruins: false,
        run: machine::kill,
    },
    Scenario {
        name: "pause-past-takeover",
        what: "SIGSTOP of the owner, set-identity, then SIGCONT: the old owner wakes up",
        target: FORCED,
        needs: NOTHING,
        ruins: false,
        run: machine::pause,
    },
    Scenario {
        name: "etcd-refused",
        what: "etcd refuses the owner: it ends with status 8, makes no more blocks; the secondary takes over",
        target: FORCED,
        needs: NETWORK,
        ruins: false,
        run: network::etcd_refused,
    },
    Scenario {
        name: "etcd-dropped",
        what: "the owner's packets to etcd vanish: its vote thread does not hang, it ends with status 8",
        target: FORCED,
        needs: NETWORK,
        ruins: false,
        run: network::etcd_dropped,
    },
    Scenario {
        name: "etcd-one-member-dropped",
        what: "packets between the owner and etcd's leader vanish: the owner goes on through another member",
        target: RESUMES,
        needs: NETWORK,
        ruins: false,
        run: network::one_member_dropped,
    },
    Scenario {
        name: "nodes-cut",
        what: "owner and secondary cannot reach each other, both reach etcd; set-identity",
        target: PLANNED,
        needs: NETWORK,
        ruins: false,
        run: network::nodes_cut,
    },
    Scenario {
        name: "owner-isolated",
        what: "the owner reaches nobody; set-identity; the cut heals",
        target: FORCED,
        needs: NETWORK,
        ruins: false,
        run: network::isolated,
    },
    Scenario {
        name: "etcd-leader-killed",
        what: "kill -9 of etcd's leader: the owner goes on",
        target: RESUMES,
        needs: NOTHING,
        ruins: false,
        run: store::leader_killed,
    },
    Scenario {
        name: "etcd-member-killed",
        what: "kill -9 of a follower of etcd: the owner goes on",
        target: RESUMES,
        needs: NOTHING,
        ruins: false,
        run: store::member_killed,
    },
    Scenario {
        name: "quorum-lost-short",
        what: "two members of etcd gone and back before the write timeout: the owner goes on",
        target: RESUMES,
        needs: NOTHING,
        ruins: false,
        run: store::quorum_lost_short,
    },
    Scenario {
        name: "quorum-lost-long",
        what: "two members of etcd gone past the write timeout: the owner ends with status 8; it is restarted",
        target: "status 8, then reclaims",
        needs: NOTHING,
        ruins: false,
        run: store::quorum_lost_long,
    },
    Scenario {
        name: "nospace",
        what: "etcd's NOSPACE alarm stops all writes, and is disarmed before the write timeout",
        target: RESUMES,
        needs: &[Need::Program("curl")],
        ruins: false,
        run: store::no_space,
    },
    Scenario {
        name: "quota-crossed",
        what: "etcd's database grows past its quota under the owner's votes; it is compacted and disarmed",
        target: RESUMES,
        needs: NOTHING,
        ruins: false,
        run: store::quota_crossed,
    },
    Scenario {
        name: "compaction",
        what: "etcd compacted to its newest revision and defragmented while the owner votes",
        target: RESUMES,
        needs: NOTHING,
        ruins: false,
        run: store::compaction,
    },
    Scenario {
        name: "restored-backup",
        what: "etcd restored from a backup with an older tower: nobody votes on its word",
        target: SAFE_ONLY,
        needs: NOTHING,
        ruins: false,
        run: store::restored_backup,
    },
    Scenario {
        name: "restored-backup-restarts",
        what: "the same, and both machines are restarted: what they knew of the store is not forgotten",
        target: SAFE_ONLY,
        needs: NOTHING,
        ruins: false,
        run: store::restored_backup_restarts,
    },
    Scenario {
        name: "new-etcd-cluster",
        what: "etcd's data wiped, another cluster id: the running nodes do not vote on its word",
        target: SAFE_ONLY,
        needs: NOTHING,
        ruins: false,
        run: store::wiped,
    },
    Scenario {
        name: "wiped-restart-always",
        what: "etcd's data wiped, and a supervisor starts the owner again whatever it ended with",
        target: SAFE_ONLY,
        needs: NOTHING,
        ruins: false,
        run: store::wiped_restart_always,
    },
    Scenario {
        name: "twin-file-store",
        what: "a second process with the identity's key and a file store: it ends with status 10, the owner goes on",
        target: SAFE_ONLY,
        needs: NOTHING,
        ruins: false,
        run: twin::file_store,
    },
    Scenario {
        name: "twin-second-etcd",
        what: "a second process with the identity's key and another etcd: it never becomes ACTIVE, the owner goes on",
        target: SAFE_ONLY,
        needs: NOTHING,
        ruins: false,
        run: twin::second_etcd,
    },
    Scenario {
        name: "twin-second-folder",
        what: "a voter with a file store, and the same voter from another folder: one or both end with status 10",
        target: SAFE_ONLY,
        needs: NOTHING,
        ruins: false,
        run: twin::second_folder,
    },
    Scenario {
        name: "certificate-expired",
        what: "the primary is restarted with an expired certificate: it takes nothing; the secondary takes over",
        target: FORCED,
        needs: NOTHING,
        ruins: false,
        run: store::certificate_expired,
    },
    Scenario {
        name: "wrong-ca",
        what: "the primary is restarted with another CA: it takes nothing; the secondary takes over",
        target: FORCED,
        needs: NOTHING,
        ruins: false,
        run: store::wrong_ca,
    },
    Scenario {
        name: "clock-ahead",
        what: "the secondary's clock is an hour ahead; planned handover",
        target: PLANNED,
        needs: &[Need::Program("faketime")],
        ruins: false,
        run: machine::clock_ahead,
    },
    Scenario {
        name: "clock-behind",
        what: "the secondary's clock is an hour behind; planned handover",
        target: PLANNED,
        needs: &[Need::Program("faketime")],
        ruins: false,
        run: machine::clock_behind,
    },
    Scenario {
        name: "disk-full",
        what: "the owner's disk is full; set-identity on the secondary",
        target: FORCED,
        needs: &[Need::SmallDisk],
        ruins: false,
        run: machine::disk_full,
    },
    Scenario {
        name: "two-primaries",
        what: "two nodes with the identity's key are started at once: one becomes ACTIVE, the other ends",
        target: "one owner",
        needs: NOTHING,
        ruins: false,
        run: operator::two_primaries,
    },
    Scenario {
        name: "mid-leader-slot",
        what: "set-identity while the owner makes a block",
        target: PLANNED,
        needs: NOTHING,
        ruins: false,
        run: operator::mid_leader_slot,
    },
    Scenario {
        name: "two-takeovers",
        what: "set-identity twice at once: each has an answer, one owner remains",
        target: "one owner",
        needs: NOTHING,
        ruins: false,
        run: operator::two_takeovers,
    },
    Scenario {
        name: "restart",
        what: "the owner is restarted (SIGTERM): it releases, catches up, then claims",
        target: "claims only when caught up",
        needs: NOTHING,
        ruins: false,
        run: operator::restart,
    },
    Scenario {
        name: "reclaim",
        what: "the secondary owns; the primary is restarted and reclaims; the secondary ends with status 7",
        target: "25 / 150 ms from its claim on",
        needs: NOTHING,
        ruins: false,
        run: operator::reclaim,
    },
    Scenario {
        name: "upgrade",
        what: "the guide's steps: install, hand over, restart the primary, restart the secondary",
        target: PLANNED,
        needs: NOTHING,
        ruins: false,
        run: operator::upgrade,
    },
    Scenario {
        name: "junk-identity",
        what: "set-identity junk.json on the owner: it steps down and lives; set-identity back",
        target: "25 / 150 ms",
        needs: NOTHING,
        ruins: false,
        run: operator::junk_identity,
    },
    Scenario {
        name: "window-refused",
        what: "wait-for-restart-window --skip-new-snapshot-check still refuses for delinquent stake",
        target: "status 6",
        needs: NOTHING,
        ruins: false,
        run: operator::window_refused,
    },
    Scenario {
        name: "require-tower-refused",
        what: "set-identity --require-tower, and the store has no tower: refused, the owner is unchanged",
        target: SAFE_ONLY,
        needs: NOTHING,
        ruins: true,
        run: store::require_tower,
    },
];
