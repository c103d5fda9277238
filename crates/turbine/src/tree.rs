//! The tree over a shuffled cluster, as arithmetic on places.
//!
//! ```text
//! fanout 2:              0
//!                1               2             1st layer
//!            3       5       4       6         2nd: node 1 sends to 3 and 5, node 2 to 4 and 6
//! ```
//! The members of a neighbourhood of `fanout` nodes take turns: the k-th of it sends to the k-th of each neighbourhood
//! below (turbine/src/cluster_nodes.rs:get_retransmit_peers).

/// The places a node sends to, ascending; some may lie beyond the cluster.
pub(crate) fn children(fanout: usize, place: usize) -> impl Iterator<Item = usize> {
    let offset = place.saturating_sub(1) % fanout;
    let anchor = place - offset;
    // The root sends to the whole first layer.
    let step = if place == 0 { 1 } else { fanout };
    (0..fanout).map(move |k| anchor * fanout + offset + 1 + k * step)
}

/// The place a node gets its shreds from; none for the root, which gets them from the leader.
pub(crate) fn parent(fanout: usize, place: usize) -> Option<usize> {
    let above = place.checked_sub(1)?;
    let offset = above % fanout;
    let neighbourhood = above / fanout;
    let anchor = neighbourhood - neighbourhood.saturating_sub(1) % fanout;
    Some(if anchor == 0 { 0 } else { anchor + offset })
}

/// Hops from the leader's first receiver; deeper trees than 3 are counted as 3.
pub(crate) fn distance(fanout: usize, place: usize) -> u8 {
    let first_layer = fanout;
    let second_layer = fanout.saturating_mul(fanout.saturating_add(1));
    match place {
        0 => 0,
        _ if place <= first_layer => 1,
        _ if place <= second_layer => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(fanout: usize, size: usize) -> Vec<Vec<usize>> {
        let within = |place| children(fanout, place).filter(|child| *child < size).collect();
        (0..size).map(within).filter(|children: &Vec<usize>| !children.is_empty()).collect()
    }

    /// The trees of agave's test_get_retransmit_nodes, by place.
    #[test]
    fn published_trees() {
        let two = [
            vec![1, 2],
            vec![3, 5],
            vec![4, 6],
            vec![7, 9],
            vec![8, 10],
            vec![11, 13],
            vec![12, 14],
            vec![15, 17],
            vec![16, 18],
            vec![19],
        ];
        assert_eq!(sent(2, 20), two);
        let three = sent(3, 36);
        assert_eq!(three[..4], [vec![1, 2, 3], vec![4, 7, 10], vec![5, 8, 11], vec![6, 9, 12]]);
        assert_eq!(three[4..7], [vec![13, 16, 19], vec![14, 17, 20], vec![15, 18, 21]]);
    }

    #[test]
    fn everyone_has_one_parent_that_counts_it_a_child() {
        for (fanout, size) in [(1, 10), (2, 1347), (3, 1359), (7, 3000), (200, 3000)] {
            assert_eq!(parent(fanout, 0), None);
            let mut reached = vec![0; size];
            for place in 0..size {
                for child in children(fanout, place).take_while(|child| *child < size) {
                    reached[child] += 1;
                    assert_eq!(parent(fanout, child), Some(place), "fanout {fanout}");
                    let hops = distance(fanout, child);
                    assert!(hops == 3 || hops == distance(fanout, place) + 1);
                }
            }
            assert_eq!(reached[0], 0);
            assert!(reached[1..].iter().all(|count| *count == 1));
        }
    }
}
