//! `set-identity` asked again while the takeover it asks for is under way: monitoring that gets no answer soon enough does that.
//! The second request has the fate of the first.

use {
    crate::event::{Effect, RequestId, SetIdentity},
    tandem_types::Pubkey,
};

#[derive(Debug, Default)]
pub(super) struct Joined {
    /// The request that a takeover is made for: whose it is, which identity it is to become, whether a tower was insisted on.
    leads: Option<(RequestId, Pubkey, bool)>,
    follow: Vec<RequestId>,
}

impl Joined {
    /// From here on others may join.
    pub fn lead(&mut self, request: RequestId, identity: Pubkey, require_tower: bool) {
        if self.leads.is_none_or(|(before, ..)| before != request) {
            self.follow.clear();
        }
        self.leads = Some((request, identity, require_tower));
    }

    /// True when the wish is the one under way: it is answered with it. A tower can be insisted on only if it was before.
    pub fn join(&mut self, wish: &SetIdentity) -> bool {
        let is_same =
            self.leads.is_some_and(|(_, identity, tower)| identity == wish.identity && (tower || !wish.require_tower));
        let joins = is_same && self.follow.len() < FOLLOWERS_MAX;
        if joins {
            self.follow.push(wish.request);
        }
        joins
    }

    /// Answers those who joined as the first one was answered.
    pub fn answer(&mut self, out: &mut Vec<Effect>, from: usize) {
        let Some((leads, ..)) = self.leads else { return };
        let outcome = out[from..].iter().find_map(|effect| match effect {
            Effect::Reply { request, outcome } if *request == leads => Some(outcome.clone()),
            _ => None,
        });
        if let Some(outcome) = outcome {
            self.leads = None;
            let replies = self.follow.drain(..).map(|request| Effect::Reply { request, outcome: outcome.clone() });
            out.extend(replies);
        }
    }
}

/// More at once is somebody's runaway script.
const FOLLOWERS_MAX: usize = 64;
