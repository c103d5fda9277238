//! What our own node has to say, and the change of who we are.

use {
    super::{Gossip, Step},
    crate::{Effect, Publication, Reason, table::Route},
    std::sync::Arc,
    tandem_types::{Slot, UnixMillis, VersionedTransaction},
    tandem_wire::{
        contact_info::ContactInfo,
        crds::{
            CrdsData, DUPLICATE_SHRED_INDEX_END, EPOCH_SLOTS_INDEX_END, EpochSlots, Kind, Label, LowestSlot,
            SnapshotHashes, VOTE_INDEX_OWN_END, Vote,
        },
        duplicate_shred::DuplicateProof,
        epoch_slots::largest_prefix,
    },
};

impl Gossip {
    /// From now on we are `contact`. It is announced at once, as a later instance than any we have seen.
    pub(super) fn handle_identity(&mut self, step: &mut Step, mut contact: ContactInfo) {
        let previous = std::mem::replace(&mut self.me, contact.clone());
        if previous.pubkey != contact.pubkey {
            // What we were must not look like a peer; a later instance of it elsewhere is one.
            self.former.insert(previous.pubkey, previous.outset);
            self.table.remove(&Label { origin: previous.pubkey, kind: Kind::ContactInfo }, step.wall);
        }
        self.former.remove(&contact.pubkey);
        if let Some(known) = self.table.contact(&contact.pubkey) {
            contact.outset = contact.outset.max(known.outset.saturating_add(1));
        }
        if contact.shred_version == 0 {
            contact.shred_version = previous.shred_version;
        }
        self.me = contact;
        self.epoch_slots = (0, Vec::new());
        self.elsewhere = None;
        self.renew_contact(step);
        self.push(step);
        // Peers verify the new name by a ping; our greeting follows their ping. Pull again for what they told it.
        self.at.pull = step.now;
        self.at.rotate = Some(step.now);
        step.out.push(Effect::ContactsChanged);
    }

    /// cluster_info.rs:push_vote and refresh_vote: a refreshed vote replaces itself; a new one takes a free index or
    /// the place of the oldest. A newer vote in gossip means another voter, or a tower that went back: not published.
    pub(super) fn handle_vote(&mut self, step: &mut Step, slot: Slot, transaction: VersionedTransaction) {
        let Some(vote) = Vote::new(self.me.pubkey, transaction, step.wall) else {
            return step.count(Reason::NotAVote);
        };
        let label = |index| Label { origin: self.me.pubkey, kind: Kind::Vote(index) };
        let voted: Vec<_> = (0..VOTE_INDEX_OWN_END)
            .filter_map(|index| match self.table.get(&label(index))?.value.data() {
                CrdsData::Vote(_, vote) => Some((index, vote.slot(), vote.wallclock)),
                _ => None,
            })
            .collect();
        let same = voted.iter().find(|(_, known, _)| *known == Some(slot)).map(|(index, ..)| *index);
        if same.is_none() && voted.iter().any(|(_, known, _)| *known > Some(slot)) {
            return step.count(Reason::OlderVoteThanInGossip);
        }
        let free = (0..VOTE_INDEX_OWN_END).find(|index| voted.iter().all(|(used, ..)| used != index));
        let oldest = voted.iter().min_by_key(|(index, _, wallclock)| (*wallclock, *index)).map(|(index, ..)| *index);
        let Some(index) = same.or(free).or(oldest) else { return };
        let wallclock = self.next_wallclock(step.wall, &label(index));
        self.originate(step, CrdsData::Vote(index, Box::new(Vote { wallclock, ..vote })));
        self.push(step);
    }

    pub(super) fn handle_publication(&mut self, step: &mut Step, publication: Publication) {
        match publication {
            Publication::LowestSlot(lowest) => self.publish_lowest_slot(step, lowest),
            Publication::EpochSlots(slots) => self.publish_epoch_slots(step, slots),
            Publication::DuplicateShred { slot, proof } => self.publish_duplicate(step, slot, &proof),
            Publication::SnapshotHashes { full, incremental } => {
                let wallclock = self.next_wallclock(step.wall, &self.own(Kind::SnapshotHashes));
                let hashes = SnapshotHashes { from: self.me.pubkey, full, incremental, wallclock };
                self.originate(step, CrdsData::SnapshotHashes(hashes));
            }
        }
        self.push_by(step.now);
    }

    fn publish_lowest_slot(&mut self, step: &mut Step, lowest: Slot) {
        let me = self.me.pubkey;
        if self.lowest_slot(&me) != Some(lowest) {
            let wallclock = self.next_wallclock(step.wall, &self.own(Kind::LowestSlot));
            self.originate(step, CrdsData::LowestSlot(LowestSlot { from: me, lowest, wallclock }));
        }
    }

    /// Fills one record after the other, round and round.
    fn publish_epoch_slots(&mut self, step: &mut Step, slots: Vec<Slot>) {
        self.epoch_slots.1.extend(slots);
        self.epoch_slots.1.sort_unstable();
        self.epoch_slots.1.dedup();
        while let Some((set, taken)) = largest_prefix(&self.epoch_slots.1) {
            let index = self.epoch_slots.0;
            let wallclock = self.next_wallclock(step.wall, &self.own(Kind::EpochSlots(index)));
            let record = EpochSlots { from: self.me.pubkey, sets: vec![set], wallclock };
            self.originate(step, CrdsData::EpochSlots(index, record));
            if taken == self.epoch_slots.1.len() {
                break;
            }
            self.epoch_slots.1.drain(..taken);
            self.epoch_slots.0 = (index + 1) % EPOCH_SLOTS_INDEX_END;
        }
    }

    /// crds_gossip.rs:push_duplicate_shred: once per slot, behind our earlier proofs or over the oldest.
    fn publish_duplicate(&mut self, step: &mut Step, slot: Slot, proof: &DuplicateProof) {
        let mut known = Vec::new();
        for (label, entry) in self.table.of_origin(&self.me.pubkey) {
            if let (Kind::DuplicateShred(index), CrdsData::DuplicateShred(_, chunk)) = (label.kind, entry.value.data())
            {
                if chunk.slot == slot {
                    return;
                }
                known.push((chunk.wallclock, index));
            }
        }
        let used = known.len() as u16;
        let oldest = known.into_iter().min().map_or(0, |(_, index)| index);
        let first = if used < DUPLICATE_SHRED_INDEX_END { used } else { oldest };
        let chunks = proof.chunks(self.me.pubkey, step.wall, slot);
        for (at, mut chunk) in (0u16..).zip(chunks) {
            let index = (first + at) % DUPLICATE_SHRED_INDEX_END;
            chunk.wallclock = self.next_wallclock(step.wall, &self.own(Kind::DuplicateShred(index)));
            self.originate(step, CrdsData::DuplicateShred(index, chunk));
        }
    }

    /// Signs and enters a record of our own; it goes out with the next push.
    pub(super) fn originate(&mut self, step: &mut Step, data: CrdsData) {
        if let Some(value) = self.signed(step, data) {
            self.table.insert(Arc::clone(&value), step.wall, Route::Own);
            self.push_by(step.now);
        }
    }

    /// Now, or just after what the record replaces: our clock, or that of the machine that had this identity before
    /// us, may have been ahead.
    pub(super) fn next_wallclock(&self, wall: UnixMillis, label: &Label) -> UnixMillis {
        let known = self.table.get(label).map(|entry| entry.value.wallclock());
        known.map_or(wall, |known| wall.max(UnixMillis(known.0.saturating_add(1))))
    }

    fn own(&self, kind: Kind) -> Label {
        Label { origin: self.me.pubkey, kind }
    }
}
