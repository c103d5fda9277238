//! Values whose signature we have already checked: the same contact info comes with each of sixteen pull requests.

use {std::collections::HashSet, tandem_types::Hash, tandem_wire::crds::CrdsValue};

/// Two generations: when the young one is full it becomes the old one, and the old one is forgotten.
#[derive(Default)]
pub struct Verified {
    young: HashSet<Hash>,
    old: HashSet<Hash>,
}

impl Verified {
    /// The hash covers signature and data, so an equal hash is an equal, verified value.
    pub fn check(&mut self, value: &CrdsValue) -> bool {
        if self.young.contains(value.hash()) || self.old.contains(value.hash()) {
            return true;
        }
        if !value.verify() {
            return false;
        }
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(*value.hash());
        true
    }
}

const GENERATION_MAX: usize = 8_192;
