//! How much stake voted for exactly one version of one slot: optimistic and duplicate confirmation.

use {
    crate::{
        info::{is_duplicate_confirming, is_supermajority},
        voters::VoterIx,
    },
    std::collections::BTreeMap,
    tandem_types::{BlockKey, Hash, Slot},
};

#[derive(Debug, Default)]
pub(crate) struct Confirmations {
    slots: BTreeMap<Slot, Vec<Version>>,
}

#[derive(Debug)]
struct Version {
    hash: Hash,
    voters: Bits,
    stake: u64,
    duplicate: bool,
    optimistic: bool,
    announced: bool,
}

/// What a vote brought about for the first time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reached {
    pub duplicate: bool,
    pub optimistic: bool,
}

impl Confirmations {
    /// Counts a vote. `Err` if the voter voted for another version of this slot, or if the slot has too many versions
    /// already; versions we froze ourselves (`frozen`) are always counted.
    pub fn add(
        &mut self,
        voter: VoterIx,
        key: BlockKey,
        frozen: bool,
        stake: u64,
        total: u64,
    ) -> Result<Reached, RivalVersion> {
        let versions = self.slots.entry(key.slot).or_default();
        if versions.iter().any(|version| version.hash != key.hash && version.voters.contains(voter)) {
            return Err(RivalVersion);
        }
        let at = versions.iter().position(|version| version.hash == key.hash);
        if at.is_none() && !frozen && versions.len() >= VERSIONS_MAX {
            return Err(RivalVersion);
        }
        let at = at.unwrap_or_else(|| {
            versions.push(Version::new(key.hash));
            versions.len() - 1
        });
        let version = &mut versions[at];
        if !version.voters.insert(voter) {
            return Ok(Reached::default());
        }
        version.stake = version.stake.saturating_add(stake);
        let reached = Reached {
            duplicate: !version.duplicate && is_duplicate_confirming(version.stake, total),
            optimistic: !version.optimistic && is_supermajority(version.stake, total),
        };
        version.duplicate |= reached.duplicate;
        version.optimistic |= reached.optimistic;
        Ok(reached)
    }

    /// True once for each block that is optimistically confirmed: to be asked when the block is known to be frozen.
    pub fn announce(&mut self, key: BlockKey) -> bool {
        let versions = self.slots.get_mut(&key.slot).into_iter().flatten();
        let version = versions.into_iter().find(|version| version.hash == key.hash);
        version.is_some_and(|version| version.optimistic && !std::mem::replace(&mut version.announced, true))
    }

    pub fn voters(&self, key: BlockKey) -> Vec<VoterIx> {
        let mut versions = self.slots.get(&key.slot).into_iter().flatten();
        versions
            .find(|version| version.hash == key.hash)
            .map_or_else(Vec::new, |version| version.voters.iter().collect())
    }

    pub fn forget_before(&mut self, slot: Slot) {
        self.slots = self.slots.split_off(&slot);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RivalVersion;

impl Version {
    fn new(hash: Hash) -> Self {
        Self { hash, voters: Bits::default(), stake: 0, duplicate: false, optimistic: false, announced: false }
    }
}

#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn contains(&self, voter: VoterIx) -> bool {
        self.0.get(voter.0 as usize / 64).is_some_and(|word| word >> (voter.0 % 64) & 1 == 1)
    }

    fn insert(&mut self, voter: VoterIx) -> bool {
        let word = voter.0 as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let bit = 1 << (voter.0 % 64);
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn iter(&self) -> impl Iterator<Item = VoterIx> + '_ {
        (0..self.0.len() as u32 * 64).map(VoterIx).filter(|voter| self.contains(*voter))
    }
}

/// A slot has one version, rarely two. Staked voters can invent hashes, each voter one a slot: this many are kept.
const VERSIONS_MAX: usize = 32;
