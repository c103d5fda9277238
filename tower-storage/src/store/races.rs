//! Random lives of two owners over one store with a bad network: no two contradicting votes, no leader slot twice.

use {
    super::*,
    crate::{
        decision::VoteDecision,
        testing::{Network, SharedKv, TestSigner, open, request, vote},
    },
    proptest::prelude::*,
    std::collections::BTreeSet,
};

#[derive(Clone, Debug)]
enum Act {
    /// Read, and claim on the strength of it at once.
    Claim,
    /// Read now, claim with it at a later act.
    Look,
    ClaimOnOldLook,
    Vote {
        gap: u64,
    },
    Lead {
        gap: u64,
    },
    Release,
    Deliver(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Claim),
        1 => Just(Act::Look),
        1 => Just(Act::ClaimOnOldLook),
        8 => (1u64..40).prop_map(|gap| Act::Vote { gap }),
        4 => (1u64..4).prop_map(|gap| Act::Lead { gap }),
        1 => Just(Act::Release),
        2 => (0usize..3).prop_map(Act::Deliver),
    ]
}

fn network() -> impl Strategy<Value = Vec<Network>> {
    let one = prop_oneof![
        6 => Just(Network::Fine),
        1 => Just(Network::Unavailable),
        2 => Just(Network::ReplyLost),
        2 => Just(Network::Late),
    ];
    proptest::collection::vec(one, 0..4)
}

/// What was released, judged without the code under test.
#[derive(Default)]
struct Judge {
    votes: Vec<VoteDecision>,
    slots: BTreeSet<Slot>,
    terms: BTreeSet<(u64, usize)>,
}

impl Judge {
    fn vote(&mut self, new: &VoteDecision) -> Result<(), String> {
        for old in &self.votes {
            if old.slot == new.slot && old.hash != new.hash {
                return Err(format!("two votes for slot {}", new.slot));
            }
            if new.slot <= old.slot && old != new {
                return Err(format!("slot {} after slot {}", new.slot, old.slot));
            }
            for (slot, count) in &old.tower.votes {
                let kept = new.tower.votes.iter().any(|(kept, _)| kept == slot);
                let rooted = new.tower.root.is_some_and(|root| *slot <= root);
                if !kept && !rooted && slot + 2u64.pow(*count) >= new.slot {
                    return Err(format!("slot {} breaks the lockout of {slot}", new.slot));
                }
            }
        }
        self.votes.push(new.clone());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn two_owners_never_contradict_each_other(
        acts in proptest::collection::vec((0usize..2, act(), network()), 1..60),
    ) {
        let kv = SharedKv::new();
        let mut nodes = [open(&kv, 1), open(&kv, 2)];
        let mut looks: [Option<StoreSnapshot>; 2] = [None, None];
        let mut judge = Judge::default();
        let mut watermark = 0;
        for (who, act, network) in acts {
            kv.plan(&network);
            let node = &mut nodes[who];
            match act {
                Act::Claim => {
                    if let Ok(snapshot) = node.read() {
                        looks[who] = Some(snapshot.clone());
                        if let Ok(claim) = node.claim(request(&snapshot)) {
                            prop_assert!(judge.terms.iter().all(|(term, owner)| *term < claim.term.0 || *owner == who));
                            judge.terms.insert((claim.term.0, who));
                        }
                    }
                }
                Act::Look => looks[who] = node.read().ok(),
                Act::ClaimOnOldLook => {
                    if let Some(snapshot) = looks[who].take()
                        && let Ok(claim) = node.claim(request(&snapshot))
                    {
                        prop_assert!(judge.terms.iter().all(|(term, owner)| *term < claim.term.0 || *owner == who));
                        judge.terms.insert((claim.term.0, who));
                    }
                }
                Act::Vote { gap } => {
                    let tower = node.tower().map(|tower| tower.tower().clone()).unwrap_or_default();
                    let slot = tower.last_slot().unwrap_or(0) + gap;
                    // Each node is on its own fork: votes for one slot contradict each other.
                    if let Ok(promised) = node.record(vote(&tower, slot, who as u8 + 1), &TestSigner::new()) {
                        judge.vote(promised.decision()).map_err(TestCaseError::fail)?;
                    }
                }
                Act::Lead { gap } => {
                    let slot = node.watermark().unwrap_or(0) + gap;
                    if let Ok(claim) = node.claim_leader_slot(slot) {
                        prop_assert!(judge.slots.insert(claim.slot()), "leader slot {} twice", claim.slot());
                    }
                }
                Act::Release => _ = node.release(UnixMillis(0)),
                Act::Deliver(n) => kv.deliver(n),
            }
            kv.plan(&[]);
            let memory = kv.memory();
            let window = memory.entries.iter().find(|(key, _)| key.ends_with("window"));
            if let Some((_, (value, _))) = window {
                let now = <WindowRecord as tandem_role::records::Record>::decode(value).unwrap().watermark;
                prop_assert!(now >= watermark, "W went down");
                watermark = now;
            }
        }
    }
}
