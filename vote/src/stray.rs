//! What a tower forbids to one who does not have the block of its last vote.
//! (A third `impl Voter`: it is asked before the tower is adopted, and changes nothing.)

use {
    crate::{
        Adopted, Voter,
        info::{on_path, path_to_root},
    },
    tandem_types::Slot,
};

impl Voter {
    /// The first slot at which no lockout of `adopted` keeps us from the fork we are on: the heaviest one.
    ///
    /// The owner before may have voted for a block that nobody else ever got, say its own, made while it was cut off.
    /// Such votes bind us until they expire, a few slots later. Those below them on our own fork bind us to where we
    /// are already, and theirs may last for years: to wait for them would be to wait for ever.
    pub fn free_from(&self, adopted: &Adopted) -> Slot {
        let path = path_to_root(&self.forks, &self.forks.heaviest());
        let root = self.forks.root().slot;
        let on_our_fork = |slot: Slot| match adopted.last_vote {
            // Of the newest vote the hash is known as well: another version of its slot is another block.
            Some(last) if last.block.slot == slot && slot > root => on_path(&path, slot) == Some(last.block),
            Some(_) | None => {
                on_path(&path, slot).is_some()
                    || adopted.rooted.contains(&slot) && slot <= root
                    || self.rooted.contains(slot, &self.forks)
            }
        };
        let stray = adopted.tower.votes.iter().filter(|vote| !on_our_fork(vote.slot()));
        stray.map(|vote| vote.last_locked_out_slot().saturating_add(1)).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use {
        crate::{
            Adopted, LastVote, TowerState,
            harness::{block, play},
        },
        tandem_types::Hash,
    };

    fn tower(votes: &[&str]) -> Adopted {
        let mut tower = TowerState::default();
        votes.iter().for_each(|name| tower.vote(block(name).slot));
        let last = votes.last().map(|name| block(name));
        let last_vote = last.map(|block| LastVote { block, block_id: Hash::default(), timestamp: None });
        Adopted { tower, last_vote, last_timestamp: None, rooted: vec![] }
    }

    #[test]
    fn votes_on_our_fork_do_not_keep_us_waiting_and_stray_ones_do_until_they_expire() {
        let world = play(
            "forks 1-2-3-4-5-9, 5-7
             freeze 9",
        );
        let free_from = |votes: &[&str]| world.voter.free_from(&tower(votes));
        assert_eq!(free_from(&[]), 0);
        assert_eq!(free_from(&["1", "2", "3", "4", "5"]), 0, "all of them on our fork");
        assert_eq!(free_from(&["1", "2", "3", "4", "5", "7"]), 10, "7 until 9, and nothing for what is below it");
        assert_eq!(free_from(&["1", "2", "3", "6", "7"]), 11, "6 until 10, 7 until 9");
        assert_eq!(free_from(&["1", "2", "9'"]), 12, "another version of 9");
    }

    #[test]
    fn old_votes_bind_where_the_root_does_not_know_them() {
        let world = play("forks 40-41\n freeze 41");
        let mut old = tower(&["31", "32", "33"]);
        assert_eq!(world.voter.free_from(&old), 40, "31 until 39");
        // The root of this world is slot 0: one above it is not rooted, whatever we are told.
        old.rooted = vec![31, 32, 33];
        assert_eq!(world.voter.free_from(&old), 40);
    }
}
