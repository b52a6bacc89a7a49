//! The way to the quorum's other nodes.
//!
//! What carries bytes to a node and its answer back is a [`Transport`], so that a simulated network can take the place of
//! the real one. A quorum of one has [`NoPeers`].

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AnyError, BasicNode, OptionalSend};
use tokio::sync::watch;

use super::encoding::invalid;
use super::rpc::{PeerRequest, PeerResponse, Route, VoterKey, decode_response, encode_request};
use super::types::{Snapshot, Types, Vote};
use crate::clock::Clock;
use crate::ids::{NodeId, Uuid};

/// Carries a request to a node of the quorum and its answer back.
///
/// It may lose, delay and repeat both; it must not alter them. Who waits gives up by dropping the future.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// The answer of the node `to` to `request`. `ConnectionRefused` where the node is known not to be there, so that it is
    /// worth to wait before the next request; any other error where the next may succeed at once.
    fn call(&self, to: NodeId, request: Bytes) -> BoxFuture<'static, io::Result<Bytes>>;

    /// The nodes that are known to be there, as they come and go; `None` where nobody can tell.
    fn reached(&self) -> Option<watch::Receiver<BTreeSet<NodeId>>> {
        None
    }
}

/// Reaches nobody: the transport of a quorum of one.
#[derive(Debug)]
pub(super) struct NoPeers;

impl Transport for NoPeers {
    fn call(&self, _to: NodeId, _request: Bytes) -> BoxFuture<'static, io::Result<Bytes>> {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "a quorum of one has no other nodes");
        Box::pin(std::future::ready(Err(refused)))
    }
}

/// All other nodes, as the node `me` of the cluster sees them.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) cluster_id: Arc<str>,
    pub(super) me: VoterKey,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Clock,
}

/// One other node.
#[derive(Debug)]
pub(super) struct Peer {
    route: Route,
    transport: Arc<dyn Transport>,
    clock: Clock,
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, node: &BasicNode) -> Peer {
        let to = VoterKey { id: target, directory_id: directory_of(node) };
        let route = Route { cluster_id: Arc::clone(&self.cluster_id), from: self.me, to };
        Peer { route, transport: Arc::clone(&self.transport), clock: self.clock.clone() }
    }
}

/// The directory that the log knows a node by; a quorum of one names none.
pub(super) fn directory_of(node: &BasicNode) -> Uuid {
    node.addr.parse().unwrap_or_default()
}

/// The node in `directory_id`, as the log knows it.
pub(super) fn node_in(directory_id: Uuid) -> BasicNode {
    BasicNode::new(directory_id)
}

impl Peer {
    /// What the other node answers within `patience`.
    async fn ask(&self, request: &PeerRequest, patience: Duration) -> io::Result<PeerResponse> {
        let answer = self.transport.call(self.route.to.id, encode_request(&self.route, request));
        let answer = self.clock.timeout(patience, answer).await.map_err(|_| io::ErrorKind::TimedOut)??;
        match decode_response(&self.route.back(), &answer)? {
            PeerResponse::Failed(reason) => Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason)),
            response => Ok(response),
        }
    }
}

/// Openraft waits before it turns again to a node that is unreachable, and does not for any other error.
fn failed(error: &io::Error) -> RPCError<Types> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => RPCError::Unreachable(Unreachable::new(&AnyError::new(error))),
        _ => RPCError::Network(NetworkError::new(error)),
    }
}

fn unexpected(response: &PeerResponse) -> io::Error {
    invalid(format!("a node of the quorum answers something else: {response:?}"))
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let answer = self.ask(&PeerRequest::Append(request), option.soft_ttl()).await;
        match answer.map_err(|error| failed(&error))? {
            PeerResponse::Append(response) => Ok(response),
            other => Err(failed(&unexpected(&other))),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let answer = self.ask(&PeerRequest::Vote(request), option.soft_ttl()).await;
        match answer.map_err(|error| failed(&error))? {
            PeerResponse::Vote(response) => Ok(response),
            other => Err(failed(&unexpected(&other))),
        }
    }

    // What openraft does by itself counts as a pre-vote granted, also by nodes that are not there.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let answer = self.ask(&PeerRequest::PreVote(request), option.soft_ttl()).await;
        match answer.map_err(|error| failed(&error))? {
            PeerResponse::Vote(response) => Ok(response),
            other => Err(failed(&unexpected(&other))),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let request = PeerRequest::Snapshot(vote, snapshot);
        let answer = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = self.ask(&request, option.soft_ttl()) => answer,
        };
        let error = match answer {
            Ok(PeerResponse::Snapshot(response)) => return Ok(response),
            Ok(other) => unexpected(&other),
            Err(error) => error,
        };
        Err(match error.kind() {
            io::ErrorKind::ConnectionRefused => StreamingError::Unreachable(Unreachable::new(&AnyError::new(&error))),
            _ => StreamingError::Network(NetworkError::new(&error)),
        })
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let answer = self.ask(&PeerRequest::TransferLeader(request), option.soft_ttl()).await;
        match answer.map_err(|error| failed(&error))? {
            PeerResponse::TransferLeader(response) => Ok(response),
            other => Err(failed(&unexpected(&other))),
        }
    }
}
