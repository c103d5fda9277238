//! Who brings us the records of whom first: what to base prunes on.

use {
    rand::Rng,
    rand_chacha::ChaChaRng,
    std::{
        cmp::Reverse,
        collections::{BTreeMap, HashMap},
    },
    tandem_types::Pubkey,
};

#[derive(Default)]
pub struct Received {
    origins: BTreeMap<Pubkey, Links>,
}

#[derive(Default)]
struct Links {
    /// How often each sender was in time.
    scores: BTreeMap<Pubkey, u32>,
    upserts: u32,
}

impl Received {
    /// `earlier` counts the senders that brought this value before; 0 means it was news.
    pub fn record(&mut self, rng: &mut ChaChaRng, origin: Pubkey, sender: Pubkey, earlier: u8) {
        if !self.origins.contains_key(&origin) && self.origins.len() >= ORIGINS_MAX {
            let place = Pubkey::new_from_array(rng.random());
            let victim = self.origins.range(place..).next().or_else(|| self.origins.first_key_value());
            victim.map(|(victim, _)| *victim).map(|victim| self.origins.remove(&victim));
        }
        let links = self.origins.entry(origin).or_default();
        links.upserts += u32::from(earlier == 0);
        if earlier < EARLIER_IN_TIME_MAX {
            *links.scores.entry(sender).or_default() += 1;
        } else if links.scores.len() < SENDERS_MAX {
            links.scores.entry(sender).or_default();
        }
    }

    /// After enough news of an origin: the senders we can do without (received_cache.rs:prune). The count starts anew.
    pub fn prune(&mut self, me: &Pubkey, origin: &Pubkey, stakes: &HashMap<Pubkey, u64>) -> Vec<Pubkey> {
        let Some(links) = self.origins.get_mut(origin).filter(|links| links.upserts >= UPSERTS_MIN) else {
            return Vec::new();
        };
        let stake_of = |node: &Pubkey| stakes.get(node).copied().unwrap_or(0);
        let stake_wanted = (stake_of(me).min(stake_of(origin)) as f64 * STAKE_SHARE) as u64;
        let mut senders: Vec<_> = std::mem::take(links).scores.into_iter().collect();
        senders.sort_by_key(|(sender, score)| Reverse((*score, stake_of(sender))));
        let mut stake_before = 0u64;
        let mut prunes = Vec::new();
        let mut enough = false;
        for (rank, (sender, _)) in senders.into_iter().enumerate() {
            enough |= rank >= SENDERS_KEPT_MIN && stake_before >= stake_wanted;
            stake_before = stake_before.saturating_add(stake_of(&sender));
            if enough && sender != *origin {
                prunes.push(sender);
            }
        }
        prunes
    }
}

const UPSERTS_MIN: u32 = 20;
const EARLIER_IN_TIME_MAX: u8 = 2;
const SENDERS_MAX: usize = 50;
const ORIGINS_MAX: usize = 8_192;
/// CRDS_GOSSIP_PRUNE_MIN_INGRESS_NODES, CRDS_GOSSIP_PRUNE_STAKE_THRESHOLD_PCT.
const SENDERS_KEPT_MIN: usize = 2;
const STAKE_SHARE: f64 = 0.15;

#[cfg(test)]
mod tests {
    use {super::*, rand::SeedableRng};

    /// `senders` bring every value of the origin, in this order.
    fn prunes(
        senders: &[Pubkey],
        rounds: u32,
        me: &Pubkey,
        origin: &Pubkey,
        stakes: &HashMap<Pubkey, u64>,
    ) -> Vec<Pubkey> {
        let mut received = Received::default();
        let mut rng = ChaChaRng::from_seed([1; 32]);
        for _ in 0..rounds {
            for (earlier, sender) in senders.iter().enumerate() {
                received.record(&mut rng, *origin, *sender, earlier as u8);
            }
        }
        received.prune(me, origin, stakes)
    }

    #[test]
    fn the_late_are_pruned() {
        let (me, origin) = (Pubkey::new_unique(), Pubkey::new_unique());
        let senders: Vec<_> = (0..5).map(|_| Pubkey::new_unique()).collect();
        let stakes = HashMap::new();
        assert!(prunes(&senders, 19, &me, &origin, &stakes).is_empty(), "too little news");
        let mut late = prunes(&senders, 20, &me, &origin, &stakes);
        late.sort();
        let mut expected = senders[2..].to_vec();
        expected.sort();
        assert_eq!(late, expected, "two are kept");
        assert!(!prunes(&[senders[0], senders[1], origin], 20, &me, &origin, &stakes).contains(&origin));
    }

    #[test]
    fn enough_stake_is_kept() {
        let (me, origin) = (Pubkey::new_unique(), Pubkey::new_unique());
        let senders: Vec<_> = (0..4).map(|_| Pubkey::new_unique()).collect();
        let mut stakes = HashMap::from([(me, 1_000), (origin, 1_000), (senders[2], 400), (senders[3], 50)]);
        assert_eq!(prunes(&senders, 20, &me, &origin, &stakes), [senders[3]], "the third brings the 15 %");
        stakes.insert(senders[0], 400);
        assert_eq!(prunes(&senders, 20, &me, &origin, &stakes).len(), 2);
    }
}
