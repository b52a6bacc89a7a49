//! Whether the process of another voter is still there, asked at once by a connection of its own.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::tcp::greet;
use super::{Hello, TcpTransport};
use crate::clock::Clock;
use crate::config::QuorumVoter;
use crate::ids::{NodeId, Uuid};

/// How long a probe may take. Who says nothing for so long is not known to be gone.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a probe has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// The system at the node's address says that nobody listens there.
    Refused,
    /// The node has answered, by the process of this incarnation.
    Answered(Uuid),
    /// Nothing that says anything: silence, a connection that was closed again, an address that leads nowhere.
    Unclear,
}

/// Asks other voters whether they are there.
#[derive(Debug, Clone)]
pub struct Prober {
    own: Hello,
    voters: Vec<QuorumVoter>,
    reached: watch::Receiver<BTreeSet<NodeId>>,
    clock: Clock,
}

impl Prober {
    /// Of the node that greets as `own`, and reaches others by `transport`.
    pub fn new(own: Hello, voters: Vec<QuorumVoter>, transport: &TcpTransport, clock: Clock) -> Self {
        Self { own, voters, reached: transport.connected(), clock }
    }

    /// The voters that this node has a connection to, as they come and go. That one goes says nothing by itself: links are
    /// cut, and systems run out of file descriptors. It is a reason to probe.
    pub fn reached(&self) -> watch::Receiver<BTreeSet<NodeId>> {
        self.reached.clone()
    }

    /// The nodes that can be probed.
    pub fn others(&self) -> BTreeSet<NodeId> {
        self.voters.iter().map(|voter| voter.id).filter(|id| *id != self.own.node.id).collect()
    }

    /// Looks at the process at the address of the node `id`, as it is now.
    pub async fn probe(&self, id: NodeId) -> ProbeOutcome {
        let Some(voter) = self.voters.iter().find(|voter| voter.id == id) else { return ProbeOutcome::Unclear };
        let probed = self.clock.timeout(PROBE_TIMEOUT, self.dial(voter)).await;
        let outcome = probed.unwrap_or(ProbeOutcome::Unclear);
        tracing::debug!(node = id, ?outcome, "probed a voter");
        outcome
    }

    async fn dial(&self, voter: &QuorumVoter) -> ProbeOutcome {
        let mut stream = match TcpStream::connect((voter.host.as_str(), voter.port)).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return ProbeOutcome::Refused,
            Err(_) => return ProbeOutcome::Unclear,
        };
        match greet(&mut stream, &self.own).await {
            Ok(hello) if hello.node.id == voter.id => ProbeOutcome::Answered(hello.incarnation),
            _ => ProbeOutcome::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    fn prober(port: u16) -> Prober {
        let voters = vec![QuorumVoter { id: 2, host: "127.0.0.1".to_owned(), port }];
        let own = Hello::new((1, Uuid::nil()), Uuid::nil(), None, &voters);
        Prober { own, voters, reached: watch::channel(BTreeSet::new()).1, clock: Clock::system() }
    }

    #[tokio::test]
    async fn only_a_refused_connection_and_an_answer_say_anything() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let prober = prober(listener.local_addr().unwrap().port());
        let closing = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
        };
        assert_eq!(tokio::join!(prober.probe(2), closing).0, ProbeOutcome::Unclear, "it closes the connection");
        drop(listener);
        assert_eq!(prober.probe(2).await, ProbeOutcome::Refused);
        assert_eq!(prober.probe(3).await, ProbeOutcome::Unclear, "nobody knows where that is");
        assert_eq!(prober.others(), BTreeSet::from([2]));
    }
}
