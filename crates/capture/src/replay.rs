//! Every full slot of a capture, replayed on its parent and compared.

use {
    crate::{Capture, CaptureError, Golden},
    serde::Serialize,
    std::{
        collections::{BTreeMap, HashMap},
        sync::Arc,
        time::{Duration, Instant},
    },
    tandem_bank::{Bank, Verify},
    tandem_entry::{Entry, TickVerifier, verify_chain},
    tandem_types::{Hash, Slot},
};

/// How to replay; the banks must not depend on it.
#[derive(Clone, Copy)]
pub struct How {
    /// Roots agave's rooted line this many slots behind.
    pub root_lag: u64,
    pub verify: Verify,
    pub in_parallel: bool,
    pub stop_at_difference: bool,
}

#[derive(Debug, Default)]
pub struct Report {
    pub equal: usize,
    pub compared: usize,
    pub transactions: usize,
    /// Slot, transactions, time from the parent to the frozen bank.
    pub times: Vec<(Slot, usize, Duration)>,
    pub first_difference: Option<Difference>,
    pub dead: Vec<String>,
    pub roots: usize,
    pub last: Option<Arc<Bank>>,
}

/// The first slot that differs.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    pub slot: Slot,
    pub parent: Slot,
    /// Why our side has no bank of it, if it has none.
    pub dead: Option<String>,
    pub fields: Vec<Field>,
    /// What our bank wrote in the slot.
    pub accounts: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Field {
    pub name: &'static str,
    pub ours: String,
    pub agave: String,
}

impl Capture {
    /// Replays every full slot on its parent. Tells `progress` how many banks of how many are done.
    pub fn replay(&self, how: How, progress: &mut dyn FnMut(usize, usize)) -> Result<Report, CaptureError> {
        let mut report = Report::default();
        let mut banks: HashMap<Slot, Arc<Bank>> = HashMap::new();
        let parents = self.parents();
        for (done, (slot, parent)) in parents.iter().enumerate() {
            progress(done, parents.len());
            let golden = self.golden.get(slot);
            let start = Instant::now();
            let (bank, last_hash) = if *slot == 0 {
                let genesis = &self.genesis;
                let bank = Bank::from_genesis(&genesis.config, genesis.hash).map_err(|error| {
                    CaptureError::NoShred { path: "genesis.bin".into(), shreds: 0, what: error.to_string() }
                })?;
                (bank, genesis.hash)
            } else {
                // A block on one that agave did not finish, or that is dead here.
                let Some(parent) = banks.get(parent) else {
                    if golden.is_some() {
                        report.compared += 1;
                        report.differs(Difference::dead(*slot, *parent, "its parent has no bank".into()));
                    }
                    continue;
                };
                (Bank::child(parent, *slot), parent.last_blockhash())
            };
            let executed = self.entries(*slot).and_then(|entries| execute(&bank, last_hash, entries, how));
            let transactions = match executed {
                Ok(transactions) => transactions,
                Err(dead) => {
                    report.dead.push(format!("slot {slot}: {dead}"));
                    if golden.is_some() {
                        report.compared += 1;
                        report.differs(Difference::dead(*slot, *parent, dead));
                        if how.stop_at_difference {
                            return Ok(report);
                        }
                    }
                    continue;
                }
            };
            bank.freeze();
            report.times.push((*slot, transactions, start.elapsed()));
            report.transactions += transactions;
            if let Some(golden) = golden {
                report.compared += 1;
                match Difference::of(&bank, golden) {
                    None => report.equal += 1,
                    Some(_) if *slot == 0 => {
                        return Err(CaptureError::OtherGenesis {
                            ours: bank.hash().to_string(),
                            agave: golden.hash.clone(),
                        });
                    }
                    Some(difference) => {
                        report.differs(difference);
                        if how.stop_at_difference {
                            return Ok(report);
                        }
                    }
                }
            }
            report.last = Some(bank.clone());
            banks.insert(*slot, bank);
            report.roots += self.advance_root(*slot, how.root_lag, &parents, &mut banks);
        }
        progress(parents.len(), parents.len());
        Ok(report)
    }

    /// The slots to replay with their parents. What agave froze without all shreds being kept cannot be replayed.
    fn parents(&self) -> BTreeMap<Slot, Slot> {
        let slots = self.ledger.has_shreds(0).then_some(0).into_iter().chain(self.ledger.slots_from(0));
        let can_be = slots.filter(|slot| self.ledger.is_complete(*slot));
        let known = can_be.filter(|slot| self.golden.get(slot).is_none_or(|golden| golden.full));
        known.filter_map(|slot| Some((slot, self.ledger.slot_meta(slot)?.parent?))).collect()
    }

    fn entries(&self, slot: Slot) -> Result<Vec<Entry>, String> {
        match self.ledger.block(slot) {
            Some(Ok(entries)) => Ok(entries),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("its shreds cannot be read back".into()),
        }
    }

    /// Roots the latest slot of agave's rooted line that is at least `lag` old and that everything still to come stands on.
    fn advance_root(
        &self,
        slot: Slot,
        lag: u64,
        parents: &BTreeMap<Slot, Slot>,
        banks: &mut HashMap<Slot, Arc<Bank>>,
    ) -> usize {
        let Some(limit) = slot.checked_sub(lag) else { return 0 };
        let is_safe = |root: Slot| {
            let later = parents.range(slot + 1..).map(|(_, parent)| *parent);
            later.filter(|parent| *parent <= slot).all(|parent| stands_on(parents, parent, root))
        };
        let rooted = self.golden.range(..=limit).rev().filter(|(_, golden)| golden.rooted).map(|(slot, _)| slot);
        let root = rooted.filter_map(|slot| banks.get(slot)).find(|bank| is_safe(bank.slot())).cloned();
        let Some(root) = root else { return 0 };
        let rooted = root.forks().set_root(&root).rooted.len();
        banks.retain(|slot, _| *slot >= root.slot());
        rooted
    }
}

fn stands_on(parents: &BTreeMap<Slot, Slot>, mut slot: Slot, root: Slot) -> bool {
    while slot > root {
        match parents.get(&slot) {
            Some(parent) => slot = *parent,
            None => return false,
        }
    }
    slot == root
}

/// The same checks as a running node's. How many transactions there were.
fn execute(bank: &Bank, last_hash: Hash, entries: Vec<Entry>, how: How) -> Result<usize, String> {
    let mut ticks = TickVerifier::new(bank.max_tick_height() - bank.tick_height(), bank.hashes_per_tick());
    ticks.check(&entries, true).map_err(|error| error.to_string())?;
    if matches!(how.verify, Verify::Signatures) && !verify_chain(&last_hash, &entries) {
        return Err("its entries do not follow from each other".into());
    }
    let transactions = entries.iter().map(|entry| entry.transactions.len()).sum();
    if how.in_parallel {
        bank.execute_entries(entries, how.verify).map_err(|error| error.to_string())?;
        return Ok(transactions);
    }
    for entry in entries {
        if entry.is_tick() {
            bank.register_tick(&entry.hash);
        } else {
            bank.execute_entry(entry.transactions, how.verify).map_err(|error| error.to_string())?;
        }
    }
    Ok(transactions)
}

impl Report {
    pub fn is_equal(&self) -> bool {
        self.compared > 0 && self.equal == self.compared
    }

    fn differs(&mut self, difference: Difference) {
        self.first_difference.get_or_insert(difference);
    }
}

impl Difference {
    fn dead(slot: Slot, parent: Slot, dead: String) -> Self {
        Self { slot, parent, dead: Some(dead), fields: Vec::new(), accounts: Vec::new() }
    }

    fn of(bank: &Bank, golden: &Golden) -> Option<Self> {
        let checksum = bank.lt_hash_checksum().map(|checksum| checksum.to_string()).unwrap_or_default();
        let field = |name, ours: String, agave: &dyn ToString| Field { name, ours, agave: agave.to_string() };
        let mut fields = vec![
            field("hash", bank.hash().to_string(), &golden.hash),
            field("signature_count", bank.signature_count().to_string(), &golden.signature_count),
            field("last_blockhash", bank.last_blockhash().to_string(), &golden.last_blockhash),
            field("capitalization", bank.capitalization().to_string(), &golden.capitalization),
            field("lt_hash_checksum", checksum, &golden.lt_hash_checksum),
        ];
        fields.retain(|field| field.ours != field.agave);
        (!fields.is_empty()).then(|| {
            let mut accounts: Vec<String> = bank.written_accounts().iter().map(ToString::to_string).collect();
            accounts.sort_unstable();
            Self { slot: bank.slot(), parent: bank.parent_slot(), dead: None, fields, accounts }
        })
    }
}
