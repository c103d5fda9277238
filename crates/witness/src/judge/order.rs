//! The order of promises. Of one store: by term, then by revision, whatever the clocks of its machines say.
//!
//! Between two stores only time can tell, and a person has said there which one counts. Each term of a store stands where its first vote was
//! released, and no earlier than the term before it.

use {super::Released, std::collections::BTreeMap};

/// Sorts the votes of one account. False: some do not say where their promise stands, and all were sorted by the time of their release.
pub fn by_promise(votes: &mut [Released]) -> bool {
    let mut begins: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for vote in votes.iter() {
        let Some(at) = vote.promise else {
            // Stable: what one machine released at one instant stays in its order.
            votes.sort_by_key(|vote| vote.unix_nanos);
            return false;
        };
        let begin = begins.entry((at.store, at.term)).or_insert(vote.unix_nanos);
        *begin = vote.unix_nanos.min(*begin);
    }
    let mut before = None;
    for ((store, _), begin) in &mut begins {
        if let Some((_, earlier)) = before.filter(|(same, _): &(u64, u64)| same == store) {
            *begin = earlier.max(*begin);
        }
        before = Some((*store, *begin));
    }
    votes.sort_by_key(|vote| {
        let at = vote.promise.map_or((0, 0, 0), |at| (at.store, at.term, at.revision));
        (begins.get(&(at.0, at.1)).copied(), at)
    });
    true
}
