//! The table: one record per label, and the orders in which it is read.

use {
    crate::config::PURGED_MS,
    std::{
        collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
        ops::RangeInclusive,
        sync::Arc,
    },
    tandem_types::{Hash, Pubkey, UnixMillis},
    tandem_wire::{
        bloom::hash_prefix,
        contact_info::ContactInfo,
        crds::{CrdsData, CrdsValue, Kind, Label},
    },
};

#[derive(Default)]
pub struct Table {
    entries: BTreeMap<Label, Entry>,
    /// In order of arrival: what has to be pushed on.
    arrivals: BTreeMap<u64, Label>,
    /// By the bits that pull filters select by; the arrival number keeps equal prefixes apart.
    by_hash: BTreeMap<(u64, u64), Label>,
    contacts: BTreeSet<Pubkey>,
    /// Number of records of each origin.
    origins: BTreeMap<Pubkey, usize>,
    /// Hashes of what was replaced, removed or came too late: others need not send it again.
    purged: VecDeque<(Hash, UnixMillis)>,
    next_arrival: u64,
}

pub struct Entry {
    pub value: Arc<CrdsValue>,
    pub arrival: u64,
    /// When we last heard of it, by our wall clock.
    pub heard_at: UnixMillis,
    /// Who pushed it first.
    pub pushed_by: Option<Pubkey>,
    /// How often it was pushed to us.
    pushes: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    Own,
    Pull,
    Push(Pubkey),
}

#[derive(PartialEq, Debug)]
pub enum Inserted {
    /// News; what it replaced.
    Yes(Option<Arc<CrdsValue>>),
    /// We had exactly this; that many pushes brought it before.
    Duplicate(u8),
    /// We have something newer.
    Outdated,
}

impl Table {
    pub fn insert(&mut self, value: Arc<CrdsValue>, now: UnixMillis, route: Route) -> Inserted {
        let label = value.label();
        let (pushes, pushed_by) = match route {
            Route::Own | Route::Pull => (0, None),
            Route::Push(from) => (1, Some(from)),
        };
        if let Some(known) = self.entries.get_mut(&label)
            && !overrides(&value, &known.value)
        {
            if known.value.hash() == value.hash() {
                let before = known.pushes;
                known.pushes = known.pushes.saturating_add(pushes);
                return Inserted::Duplicate(before);
            }
            self.remember_purged(*value.hash(), now);
            return Inserted::Outdated;
        }
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        self.arrivals.insert(arrival, label);
        self.by_hash.insert((hash_prefix(value.hash()), arrival), label);
        let entry = Entry { value, arrival, heard_at: now, pushed_by, pushes };
        match self.entries.insert(label, entry) {
            None => {
                *self.origins.entry(label.origin).or_default() += 1;
                if label.kind == Kind::ContactInfo {
                    self.contacts.insert(label.origin);
                }
                Inserted::Yes(None)
            }
            Some(old) => {
                self.arrivals.remove(&old.arrival);
                self.by_hash.remove(&(hash_prefix(old.value.hash()), old.arrival));
                self.remember_purged(*old.value.hash(), now);
                Inserted::Yes(Some(old.value))
            }
        }
    }

    /// Whether `insert` would take it.
    pub fn would_insert(&self, value: &CrdsValue) -> bool {
        self.entries.get(&value.label()).is_none_or(|known| overrides(value, &known.value))
    }

    pub fn remove(&mut self, label: &Label, now: UnixMillis) -> Option<Arc<CrdsValue>> {
        let old = self.entries.remove(label)?;
        self.arrivals.remove(&old.arrival);
        self.by_hash.remove(&(hash_prefix(old.value.hash()), old.arrival));
        if label.kind == Kind::ContactInfo {
            self.contacts.remove(&label.origin);
        }
        if let Some(count) = self.origins.get_mut(&label.origin) {
            *count -= 1;
            if *count == 0 {
                self.origins.remove(&label.origin);
            }
        }
        self.remember_purged(*old.value.hash(), now);
        Some(old.value)
    }

    pub fn get(&self, label: &Label) -> Option<&Entry> {
        self.entries.get(label)
    }

    pub fn contact(&self, node: &Pubkey) -> Option<&ContactInfo> {
        self.contact_entry(node)?.value.contact_info()
    }

    pub fn contact_entry(&self, node: &Pubkey) -> Option<&Entry> {
        self.entries.get(&Label { origin: *node, kind: Kind::ContactInfo })
    }

    pub fn contacts(&self) -> impl Iterator<Item = (&ContactInfo, &Entry)> {
        self.contacts.iter().filter_map(|node| {
            let entry = self.contact_entry(node)?;
            Some((entry.value.contact_info()?, entry))
        })
    }

    pub fn of_origin(&self, origin: &Pubkey) -> impl Iterator<Item = (&Label, &Entry)> {
        self.entries.range(labels_of(origin))
    }

    pub fn knows(&self, origin: &Pubkey) -> bool {
        self.origins.contains_key(origin)
    }

    pub fn count_of(&self, origin: &Pubkey) -> usize {
        self.origins.get(origin).copied().unwrap_or(0)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn purged_len(&self) -> usize {
        self.purged.len()
    }

    /// What arrived from this number on.
    pub fn since(&self, arrival: u64) -> impl Iterator<Item = &Entry> {
        self.arrivals.range(arrival..).filter_map(|(_, label)| self.entries.get(label))
    }

    pub fn next_arrival(&self) -> u64 {
        self.next_arrival
    }

    /// Records in one part of the hash space.
    pub fn in_part(&self, prefixes: RangeInclusive<u64>) -> impl Iterator<Item = &Entry> {
        let range = (*prefixes.start(), 0)..=(*prefixes.end(), u64::MAX);
        self.by_hash.range(range).filter_map(|(_, label)| self.entries.get(label))
    }

    /// Every hash nobody needs to send us.
    pub fn known_hashes(&self) -> impl Iterator<Item = &Hash> {
        self.entries.values().map(|entry| entry.value.hash()).chain(self.purged.iter().map(|(hash, _)| hash))
    }

    pub fn remember_purged(&mut self, hash: Hash, now: UnixMillis) {
        if self.purged.len() >= PURGED_MAX {
            self.purged.pop_front();
        }
        self.purged.push_back((hash, now));
    }

    /// A sign of life of `origin` counts for all its records (crds.rs:update_record_timestamp).
    pub fn heard_of(&mut self, origin: &Pubkey, now: UnixMillis) {
        if let Some(entry) = self.entries.get_mut(&Label { origin: *origin, kind: Kind::ContactInfo }) {
            entry.heard_at = entry.heard_at.max(now);
        }
    }

    /// Removes what has expired: records of an origin live as long as its contact info (crds.rs:find_old_labels).
    /// Returns the removed contact infos.
    pub fn purge(&mut self, now: UnixMillis, timeout_ms: impl Fn(&Pubkey) -> u64) -> Vec<Pubkey> {
        while self.purged.front().is_some_and(|(_, at)| at.0.saturating_add(PURGED_MS) < now.0) {
            self.purged.pop_front();
        }
        let lives = |entry: &Entry, timeout: u64| {
            entry.value.wallclock().0.min(entry.heard_at.0).saturating_add(timeout) > now.0
        };
        let mut dead = Vec::new();
        for origin in self.origins.keys() {
            let timeout = timeout_ms(origin);
            if timeout == u64::MAX || self.contact_entry(origin).is_some_and(|entry| lives(entry, timeout)) {
                continue;
            }
            dead.extend(self.of_origin(origin).filter(|(_, entry)| !lives(entry, timeout)).map(|(label, _)| *label));
        }
        self.remove_all(dead, now)
    }

    /// Keeps the table within its bounds: origins with the least stake go, and among equals those not heard of for longest.
    pub fn trim(
        &mut self,
        bounds: Bounds,
        keep: impl Fn(&Pubkey) -> bool,
        stakes: &HashMap<Pubkey, u64>,
        now: UnixMillis,
    ) -> Vec<Pubkey> {
        // A tenth of overshoot makes the sort rare.
        if self.origins.len() * 10 <= bounds.origins_max * 11 && self.len() * 10 <= bounds.values_max * 11 {
            return Vec::new();
        }
        let mut order: Vec<_> = self
            .origins
            .iter()
            .filter(|(origin, _)| !keep(origin))
            .map(|(origin, count)| {
                let heard_at = self.contact_entry(origin).map(|entry| entry.heard_at);
                (stakes.get(origin).copied().unwrap_or(0), heard_at, *origin, *count)
            })
            .collect();
        order.sort();
        let (mut origins, mut values) = (self.origins.len(), self.len());
        let mut dead = Vec::new();
        for (_, _, origin, count) in order {
            if origins <= bounds.origins_max && values <= bounds.values_max {
                break;
            }
            dead.extend(self.of_origin(&origin).map(|(label, _)| *label));
            origins -= 1;
            values -= count;
        }
        self.remove_all(dead, now)
    }

    fn remove_all(&mut self, labels: Vec<Label>, now: UnixMillis) -> Vec<Pubkey> {
        for label in &labels {
            self.remove(label, now);
        }
        labels.into_iter().filter(|label| label.kind == Kind::ContactInfo).map(|label| label.origin).collect()
    }
}

#[derive(Clone, Copy)]
pub struct Bounds {
    pub origins_max: usize,
    pub values_max: usize,
}

/// crds.rs:overrides. Contact infos go by instance first, so that the later instance of an identity is heard
/// whatever the clocks say; everything else by wall clock, and by hash if two of one time were signed.
fn overrides(new: &CrdsValue, old: &CrdsValue) -> bool {
    if let (CrdsData::ContactInfo(new), CrdsData::ContactInfo(old)) = (new.data(), old.data())
        && let Some(answer) = new.overrides(old)
    {
        return answer;
    }
    (new.wallclock(), new.hash()) > (old.wallclock(), old.hash())
}

/// `Kind::ContactInfo` and `Kind::RestartHeaviestFork` are the first and last kind.
fn labels_of(origin: &Pubkey) -> RangeInclusive<Label> {
    let label = |kind| Label { origin: *origin, kind };
    label(Kind::ContactInfo)..=label(Kind::RestartHeaviestFork)
}

/// At least a minute of a busy cluster's changes.
const PURGED_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use {
        super::*,
        solana_keypair::Keypair,
        tandem_types::Signer as _,
        tandem_wire::{contact_info::Version, crds::LowestSlot},
    };

    fn contact(key: &Keypair, outset: u64, wallclock: u64) -> Arc<CrdsValue> {
        let mut info = ContactInfo::new(key.pubkey(), outset, 1, Version::default());
        info.wallclock = UnixMillis(wallclock);
        Arc::new(CrdsValue::signed(CrdsData::ContactInfo(info), |bytes| key.sign_message(bytes)))
    }

    fn lowest(key: &Keypair, lowest: u64, wallclock: u64) -> Arc<CrdsValue> {
        let data = LowestSlot { from: key.pubkey(), lowest, wallclock: UnixMillis(wallclock) };
        Arc::new(CrdsValue::signed(CrdsData::LowestSlot(data), |bytes| key.sign_message(bytes)))
    }

    #[test]
    fn newer_replaces_older_and_nothing_else() {
        let (mut table, key, now) = (Table::default(), Keypair::new(), UnixMillis(100));
        let (old, new) = (lowest(&key, 1, 50), lowest(&key, 2, 60));
        assert_eq!(table.insert(old.clone(), now, Route::Pull), Inserted::Yes(None));
        assert_eq!(table.insert(new.clone(), now, Route::Pull), Inserted::Yes(Some(old.clone())));
        assert_eq!(table.insert(old, now, Route::Pull), Inserted::Outdated);
        let peer = Route::Push(Pubkey::new_unique());
        assert_eq!(table.insert(new.clone(), now, peer), Inserted::Duplicate(0));
        assert_eq!(table.insert(new, now, peer), Inserted::Duplicate(1));
        assert_eq!((table.len(), table.origins.len(), table.purged_len()), (1, 1, 2));
        // Two of one time: the larger hash wins on every node.
        let (a, b) = (lowest(&key, 3, 70), lowest(&key, 4, 70));
        let winner = if a.hash() > b.hash() { &a } else { &b };
        table.insert(a.clone(), now, Route::Pull);
        table.insert(b.clone(), now, Route::Pull);
        assert_eq!(table.get(&a.label()).map(|entry| entry.value.hash()), Some(winner.hash()));
    }

    #[test]
    fn the_later_instance_wins_against_the_clock() {
        let (mut table, key, now) = (Table::default(), Keypair::new(), UnixMillis(100));
        table.insert(contact(&key, 2_000, 10), now, Route::Pull);
        assert_eq!(table.insert(contact(&key, 1_999, 9_999), now, Route::Pull), Inserted::Outdated);
        assert!(matches!(table.insert(contact(&key, 2_001, 1), now, Route::Pull), Inserted::Yes(Some(_))));
        assert_eq!(table.contacts().count(), 1);
    }

    #[test]
    fn parts_of_the_hash_space_partition_the_table() {
        let (mut table, now) = (Table::default(), UnixMillis(100));
        for n in 0..50 {
            table.insert(lowest(&Keypair::new(), n, 1), now, Route::Pull);
        }
        let part = |n: u64| (n << 60)..=(n << 60 | u64::MAX >> 4);
        let sum: usize = (0..16).map(|n| table.in_part(part(n)).count()).sum();
        assert_eq!(sum, 50);
    }

    #[test]
    fn records_live_as_long_as_their_contact_info() {
        let (mut table, alive, silent) = (Table::default(), Keypair::new(), Keypair::new());
        table.insert(lowest(&alive, 1, 1_000), UnixMillis(1_000), Route::Pull);
        table.insert(contact(&alive, 1, 14_000), UnixMillis(14_000), Route::Pull);
        table.insert(contact(&silent, 1, 1_000), UnixMillis(1_000), Route::Pull);
        table.insert(lowest(&silent, 1, 1_000), UnixMillis(1_000), Route::Pull);
        assert_eq!(table.purge(UnixMillis(16_000), |_| 15_000), [silent.pubkey()]);
        assert_eq!(table.of_origin(&alive.pubkey()).count(), 2);
        assert!(!table.knows(&silent.pubkey()));
        assert!(table.purge(UnixMillis(999_000), |_| u64::MAX).is_empty(), "our own never expire");
        assert_eq!(table.purged_len(), 0, "and the purged are forgotten in time");
        assert_eq!(table.since(0).count(), 2);
    }

    #[test]
    fn the_poorest_go_first() {
        let (mut table, now) = (Table::default(), UnixMillis(1));
        let keys: Vec<_> = (0..30).map(|_| Keypair::new()).collect();
        for key in &keys {
            table.insert(contact(key, 1, 1), now, Route::Pull);
        }
        let stakes: HashMap<_, _> = keys.iter().enumerate().map(|(n, key)| (key.pubkey(), n as u64)).collect();
        let bounds = Bounds { origins_max: 20, values_max: 1_000 };
        let kept = keys[0].pubkey();
        table.trim(bounds, |node| *node == kept, &stakes, now);
        assert_eq!(table.origins.len(), 20);
        assert!(table.knows(&kept) && !table.knows(&keys[1].pubkey()) && table.knows(&keys[29].pubkey()));
        let bounds = Bounds { origins_max: 20, values_max: 5 };
        table.trim(bounds, |node| *node == kept, &stakes, now);
        assert_eq!((table.len(), table.since(0).count()), (5, 5));
    }
}
