//! Elections without waiting: when the leader stops, when its connection breaks, and when all nodes have started again.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use super::image_machine::ImageMachine;
use super::types::Types;
use crate::clock::Clock;
use crate::ids::NodeId;

/// How often a node asks to be elected that has lost the leader's connection. It asks in vain until the promise to the
/// leader has run out.
const ELECT_INTERVAL: Duration = Duration::from_millis(20);

/// How much later than the one before it each voter begins, so that they do not get in each other's way.
const STAGGER: Duration = Duration::from_millis(40);

/// How long an election that somebody has begun is left alone.
const ELECTION_PAUSE: Duration = Duration::from_millis(150);

/// After so many attempts the election timeout alone goes on.
const MOST_ATTEMPTS: usize = 100;

/// The same for a node that has started: by then its election timeout has passed several times.
const MOST_ATTEMPTS_AFTER_A_START: usize = 10;

/// How long the next leader may take to be known.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(200);

/// Has this node stand for election each time that the leader's connection is lost, and first of all until there is a
/// leader; `reached` are the nodes that have a connection. Ends with `reached`.
pub(super) async fn hasten(
    raft: Raft<Types, ImageMachine>,
    is_founder: bool,
    mut reached: watch::Receiver<BTreeSet<NodeId>>,
    clock: Clock,
) {
    let me = *raft.node_id();
    for _ in 0..if is_founder { MOST_ATTEMPTS } else { 0 } {
        clock.sleep(ELECT_INTERVAL).await;
        if leader(&raft).is_some() {
            break;
        }
        // It is not yet the founder's quorum before that is in its log.
        if raft.voter_ids().any(|voter| voter == me) && raft.trigger().elect(true).await.is_err() {
            return;
        }
    }
    if !is_founder && stand_after_a_start(&raft, &mut reached, &clock).await.is_none() {
        return;
    }
    while reached.changed().await.is_ok() {
        let leader = leader(&raft);
        let Some(lost) = leader.filter(|leader| *leader != me && !reached.borrow_and_update().contains(leader)) else {
            continue;
        };
        tracing::debug!(leader = lost, "lost the connection to the leader of the metadata quorum");
        let before = raft.voter_ids().filter(|voter| *voter != lost && *voter < me).count();
        clock.sleep(STAGGER * u32::try_from(before).unwrap_or(0)).await;
        for _ in 0..MOST_ATTEMPTS {
            match self::leader(&raft) {
                Some(leader) if leader != lost || reached.borrow().contains(&lost) => break,
                Some(_) => clock.sleep(ELECT_INTERVAL).await,
                None => clock.sleep(ELECTION_PAUSE).await,
            }
            if self::leader(&raft).is_none_or(|leader| leader == lost) && raft.trigger().elect(true).await.is_err() {
                return;
            }
        }
    }
}

/// Has a node that has started stand for election once a majority is there and none of it has a leader. Where they have
/// one, they refuse, and that one is heard of soon. `None` where the engine or the connections have ended.
async fn stand_after_a_start(
    raft: &Raft<Types, ImageMachine>,
    reached: &mut watch::Receiver<BTreeSet<NodeId>>,
    clock: &Clock,
) -> Option<()> {
    let me = *raft.node_id();
    let is_majority = |reached: &BTreeSet<NodeId>| {
        let voters: Vec<_> = raft.voter_ids().collect();
        let present = voters.iter().filter(|id| **id == me || reached.contains(id)).count();
        voters.contains(&me) && present * 2 > voters.len()
    };
    if raft.voter_ids().next().is_none() {
        // Whoever has the log tells of the leader, too.
        return Some(());
    }
    reached.wait_for(is_majority).await.ok()?;
    let before = raft.voter_ids().filter(|voter| *voter < me).count();
    clock.sleep(ELECT_INTERVAL + STAGGER * u32::try_from(before).unwrap_or(0)).await;
    for _ in 0..MOST_ATTEMPTS_AFTER_A_START {
        if leader(raft).is_some() {
            break;
        }
        raft.trigger().elect(true).await.ok()?;
        clock.sleep(ELECTION_PAUSE).await;
    }
    Some(())
}

/// If this node leads, has the one with the longest log lead, and waits a moment until it does.
pub(super) async fn hand_over(raft: &Raft<Types, ImageMachine>, clock: &Clock) {
    let me = *raft.node_id();
    let best = {
        let watched = raft.metrics();
        let metrics = watched.borrow_watched();
        let voters: BTreeSet<_> = metrics.membership_config.voter_ids().collect();
        let followers = metrics.replication.iter().flatten();
        let followers = followers.filter(|(id, _)| **id != me && voters.contains(id));
        let longest = followers.max_by_key(|(_, matched)| matched.as_ref().map(|matched| matched.index));
        longest.filter(|(_, matched)| metrics.current_leader == Some(me) && matched.is_some()).map(|(id, _)| *id)
    };
    let Some(best) = best else { return };
    if raft.trigger().transfer_leader(best).await.is_err() {
        return;
    }
    let mut watched = raft.server_metrics();
    let handed_over = async {
        while watched.borrow_watched().current_leader.is_none_or(|leader| leader == me) {
            if watched.changed().await.is_err() {
                return;
            }
        }
    };
    if clock.timeout(HAND_OVER_TIMEOUT, handed_over).await.is_err() {
        tracing::info!(to = best, "the leadership of the metadata quorum was not taken over in time");
    }
}

fn leader(raft: &Raft<Types, ImageMachine>) -> Option<NodeId> {
    raft.server_metrics().borrow_watched().current_leader
}
