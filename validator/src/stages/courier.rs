//! The courier stage: brings the transactions of our clients to the leaders, until they land or are too old.

use {
    super::tpu::open_transaction,
    crate::{
        exit::Failure,
        stage::{Progress, Stage},
        topology::{Parcel, Shared},
    },
    std::{collections::VecDeque, net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration},
    tandem_bank::Bank,
    tandem_env::Rx,
    tandem_net::TpuSender,
    tandem_types::{Pubkey, Tick},
    tandem_wire::contact_info::SocketTag,
};

pub struct CourierStage {
    shared: Shared,
    inbox: Rx<Parcel>,
    sender: TpuSender,
    /// Sent, and to be looked at again; the times ascend, since every parcel waits equally long.
    waiting: VecDeque<(Tick, Parcel)>,
}

/// Where the next leaders take transactions.
#[derive(Default, PartialEq, Eq, Debug)]
struct Route {
    addresses: Vec<SocketAddr>,
    /// One of them is this node.
    to_us: bool,
}

impl CourierStage {
    pub fn new(shared: Shared, inbox: Rx<Parcel>, sender: TpuSender) -> Self {
        Self { shared, inbox, sender, waiting: VecDeque::new() }
    }

    fn send(&self, bank: &Bank, route: &Route, parcel: &Parcel) {
        let counters = &self.shared.views.counters;
        if route.to_us {
            match open_transaction(&parcel.bytes, bank.transaction_rules()) {
                Some(transaction) => {
                    self.shared.writers.transactions.offer(transaction);
                }
                None => counters.add("courier_refused", 1),
            }
        }
        for address in &route.addresses {
            self.sender.send(*address, parcel.bytes.clone());
        }
        counters.add("courier_sent", 1);
        if route.addresses.is_empty() && !route.to_us {
            counters.add("courier_leader_unknown", 1);
        }
    }

    fn route(&self, bank: &Bank) -> Route {
        let views = &self.shared.views;
        let tip = bank.slot().max(views.cluster_tip.load(Relaxed));
        let us = **views.identity.load();
        let leaders = SLOTS_AHEAD.iter().filter_map(|ahead| bank.leader_at(tip.saturating_add(*ahead)));
        route_to(leaders.map(|leader| leader.identity), us, |node| {
            views.peer(node).and_then(|peer| peer.socket(SocketTag::TpuQuic))
        })
    }

    fn wait(&mut self, now: Tick, parcel: Parcel) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back((now + SEND_EVERY, parcel));
        } else {
            // It was sent once; the client will ask for its status and send it again.
            self.shared.views.counters.add("courier_full", 1);
        }
    }
}

impl Stage for CourierStage {
    fn step(&mut self, now: Tick) -> Result<Progress, Failure> {
        let view = self.shared.views.chain.load_full();
        let due = self.waiting.front().is_some_and(|(at, _)| *at <= now);
        if self.inbox.is_empty() && !due {
            return Ok(Progress::Idle(self.waiting.front().map(|(at, _)| *at)));
        }
        let route = self.route(&view.processed);
        for _ in 0..PARCELS_A_STEP {
            let Some(parcel) = self.inbox.pop() else { break };
            self.send(&view.processed, &route, &parcel);
            self.wait(now, parcel);
        }
        for _ in 0..PARCELS_A_STEP {
            let Some((_, parcel)) = self.waiting.pop_front_if(|(at, _)| *at <= now) else { break };
            let outcome = |bank: &Bank| bank.signature_status(&parcel.signature);
            if outcome(&view.confirmed).is_some() {
                self.shared.views.counters.add("courier_landed", 1);
                continue;
            }
            if view.processed.block_height() > parcel.last_valid_block_height {
                self.shared.views.counters.add("courier_expired", 1);
                continue;
            }
            // In a block that is not confirmed: it may have to be sent again, but not now.
            if outcome(&view.processed).is_none() {
                self.send(&view.processed, &route, &parcel);
            }
            self.wait(now, parcel);
        }
        Ok(Progress::Busy)
    }
}

fn route_to(
    leaders: impl Iterator<Item = Pubkey>,
    us: Pubkey,
    address: impl Fn(&Pubkey) -> Option<SocketAddr>,
) -> Route {
    let mut route = Route::default();
    for leader in leaders {
        if leader == us {
            route.to_us = true;
        } else if let Some(address) = address(&leader)
            && !route.addresses.contains(&address)
        {
            route.addresses.push(address);
        }
    }
    route
}

/// The leader of the tip may still be at it; those after it begin within two seconds.
const SLOTS_AHEAD: [u64; 5] = [0, 1, 2, 4, 8];
const SEND_EVERY: Duration = Duration::from_secs(2);
const WAITING_MAX: usize = 16_384;
const PARCELS_A_STEP: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leader_once_and_ourselves_without_a_detour() {
        let node = |n: u8| Pubkey::new_from_array([n; 32]);
        let address = |n: u8| SocketAddr::from(([10, 0, 0, n], 8009));
        let known = |pubkey: &Pubkey| (*pubkey != node(9)).then(|| address(pubkey.to_bytes()[0]));
        let route = |leaders: &[u8]| route_to(leaders.iter().map(|n| node(*n)), node(1), known);
        let expected = Route { addresses: vec![address(2), address(3)], to_us: false };
        assert_eq!(route(&[2, 2, 3, 9]), expected, "nobody knows where 9 is");
        assert_eq!(route(&[2, 1, 3]), Route { to_us: true, ..expected });
        assert_eq!(route(&[]), Route::default());
    }
}
