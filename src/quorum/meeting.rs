//! Nodes without a log find each other, and learn whether to found the quorum or to join it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::forming::{Decision, decide};
use super::{Formation, Hello, QuorumError, TcpTransport};
use crate::clock::{Clock, Monotonic};
use crate::config::QuorumVoter;
use crate::ids::NodeId;

/// How long between two rounds of greetings.
const ROUND_INTERVAL: Duration = Duration::from_millis(20);

/// How long a greeting may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(1);

/// How often it is said who is missing.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// How long until the same complaint is made again.
const COMPLAINT_INTERVAL: Duration = Duration::from_mins(1);

/// How a node without a log begins one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// With which voters.
    pub formation: Formation,
    /// The id of the cluster, where the others, or the configuration, say one.
    pub cluster_id: Option<Arc<str>>,
}

/// Greets the other voters until it is clear what the node `own` is to do, for at most `patience`. What keeps them apart is
/// said in the log, once a minute.
///
/// # Errors
/// [`QuorumError::NotFormed`] when the time is up.
pub async fn meet(
    transport: &TcpTransport,
    own: &Hello,
    voters: &[QuorumVoter],
    clock: &Clock,
    patience: Duration,
) -> Result<Meeting, QuorumError> {
    let ids: Vec<_> = voters.iter().map(|voter| voter.id).collect();
    let deadline = clock.monotonic().saturating_add(patience);
    let mut told = Told::default();
    loop {
        let heard = greet(transport, own, &ids, clock).await;
        let reason = match decide(own, &ids, &heard) {
            Decision::Found(cluster_id, voters) => {
                return Ok(Meeting { formation: Formation::Found(voters), cluster_id });
            }
            Decision::Join(cluster_id) => {
                return Ok(Meeting { formation: Formation::Join, cluster_id: Some(cluster_id) });
            }
            Decision::Wait(missing) => told.tell_missing(voters, &missing, clock.monotonic()),
            Decision::Refuse(complaints) => told.complain(complaints, clock.monotonic()),
        };
        if clock.monotonic() >= deadline {
            return Err(QuorumError::NotFormed(reason));
        }
        clock.sleep(ROUND_INTERVAL).await;
    }
}

/// What the other voters answer, those that do.
async fn greet(transport: &TcpTransport, own: &Hello, ids: &[NodeId], clock: &Clock) -> BTreeMap<NodeId, Hello> {
    let others = ids.iter().copied().filter(|id| *id != own.node.id);
    let greetings = others.map(|id| async move {
        match clock.timeout(HELLO_TIMEOUT, transport.hello(id, own)).await {
            Ok(Ok(hello)) => Some((id, hello)),
            Ok(Err(error)) => {
                tracing::debug!(node = id, %error, "a voter does not answer a greeting");
                None
            }
            Err(_) => None,
        }
    });
    join_all(greetings).await.into_iter().flatten().collect()
}

/// What was said already, and when.
#[derive(Debug, Default)]
struct Told {
    missing_at: Option<Monotonic>,
    complained_at: Option<Monotonic>,
    complaints: BTreeSet<String>,
}

impl Told {
    /// Says from time to time who is missing; the same as a reason.
    fn tell_missing(&mut self, voters: &[QuorumVoter], missing: &[NodeId], now: Monotonic) -> String {
        let of: Vec<_> = voters.iter().filter(|voter| missing.contains(&voter.id)).map(ToString::to_string).collect();
        let what = if of.is_empty() {
            "all voters are there, and the quorum is not founded yet".to_owned()
        } else {
            format!("these voters do not answer: {}", of.join(", "))
        };
        // The first rounds are over before the others have had time to start.
        let told_at = *self.missing_at.get_or_insert(now);
        if now.saturating_sub(told_at) >= TELL_INTERVAL {
            self.missing_at = Some(now);
            tracing::info!("waiting to form the metadata quorum: {what}");
        }
        what
    }

    /// Says each complaint once a minute.
    fn complain(&mut self, complaints: Vec<String>, now: Monotonic) -> String {
        if self.complained_at.is_none_or(|at| now.saturating_sub(at) >= COMPLAINT_INTERVAL) {
            self.complained_at = Some(now);
            self.complaints.clear();
        }
        let reason = complaints.join("; ");
        for complaint in complaints {
            if self.complaints.insert(complaint.clone()) {
                tracing::error!("no metadata quorum is formed: {complaint}");
            }
        }
        reason
    }
}
