//! What the quorum's nodes say to each other, as bytes.
//!
//! A message is a version (u8), the cluster's id (its size as u16), the sender and the receiver (each as its id, i32, and its
//! directory's id, 16 bytes), a tag (u8) and the fields of that tag, encoded as in the log. Cluster and nodes are named, so
//! that what has gone astray is refused and not believed. Damaged bytes are errors.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::encoding::{
    LogFrame, decode_frame, decode_snapshot, encode_frame, encode_snapshot, invalid, optional_log_id, put_count,
    put_optional_log_id, put_vote, take_payload, vote,
};
use super::types::{Snapshot, Types, Vote};
use crate::ids::{NodeId, Uuid};

/// What all nodes of this version understand.
const VERSION: u8 = 1;

/// A node of the quorum as the log knows it: with another directory it is another node, which has none of that log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VoterKey {
    pub(super) id: NodeId,
    pub(super) directory_id: Uuid,
}

impl fmt::Display for VoterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "node {} (directory {})", self.id, self.directory_id)
    }
}

/// Who says something to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) cluster_id: Arc<str>,
    pub(super) from: VoterKey,
    pub(super) to: VoterKey,
}

impl Route {
    /// The way that an answer takes.
    pub(super) fn back(&self) -> Self {
        Self { cluster_id: Arc::clone(&self.cluster_id), from: self.to, to: self.from }
    }
}

/// What a node asks of another one.
#[derive(Debug)]
pub(super) enum PeerRequest {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
    Snapshot(Vote, Snapshot),
    TransferLeader(TransferLeaderRequest<Types>),
}

/// What the other one answers.
#[derive(Debug)]
pub(super) enum PeerResponse {
    Append(AppendEntriesResponse<Types>),
    /// To a vote and to a pre-vote.
    Vote(VoteResponse<Types>),
    Snapshot(SnapshotResponse<Types>),
    TransferLeader(TransferLeaderResponse<Types>),
    /// It could not do what was asked, and says why.
    Failed(String),
}

const APPEND: u8 = 1;
const VOTE: u8 = 2;
const PRE_VOTE: u8 = 3;
const SNAPSHOT: u8 = 4;
const TRANSFER_LEADER: u8 = 5;
const FAILED: u8 = 6;

const SUCCESS: u8 = 0;
const PARTIAL_SUCCESS: u8 = 1;
const CONFLICT: u8 = 2;
const HIGHER_VOTE: u8 = 3;

const ACCEPTED: u8 = 0;
const VOTE_CHANGED: u8 = 1;
const LOG_NOT_FLUSHED: u8 = 2;

/// `request` on its `route`.
pub(super) fn encode_request(route: &Route, request: &PeerRequest) -> Bytes {
    let mut buffer = begin(route);
    match request {
        PeerRequest::Append(append) => {
            buffer.put_u8(APPEND);
            put_vote(&append.vote, &mut buffer);
            put_optional_log_id(append.prev_log_id.as_ref(), &mut buffer);
            put_optional_log_id(append.leader_commit.as_ref(), &mut buffer);
            put_count(append.entries.len(), &mut buffer);
            for entry in &append.entries {
                encode_frame(&LogFrame::Entry(entry.clone()), &mut buffer);
            }
        }
        PeerRequest::Vote(request) => put_vote_request(VOTE, request, &mut buffer),
        PeerRequest::PreVote(request) => put_vote_request(PRE_VOTE, request, &mut buffer),
        PeerRequest::Snapshot(vote, snapshot) => {
            buffer.put_u8(SNAPSHOT);
            put_vote(vote, &mut buffer);
            buffer.put_slice(&encode_snapshot(snapshot));
        }
        PeerRequest::TransferLeader(request) => {
            buffer.put_u8(TRANSFER_LEADER);
            put_vote(request.from_leader(), &mut buffer);
            buffer.put_i32(*request.to_node_id());
            put_optional_log_id(request.last_log_id(), &mut buffer);
        }
    }
    buffer.into()
}

/// Reads what [`encode_request`] wrote, if it is for the node `me` of the cluster.
pub(super) fn decode_request(cluster_id: &str, me: VoterKey, message: &Bytes) -> io::Result<(Route, PeerRequest)> {
    let mut rest = &message[..];
    let bytes = &mut rest;
    let route = route(bytes)?;
    if *route.cluster_id != *cluster_id {
        return Err(invalid(format!("{} is of cluster {}, and this is {cluster_id}", route.from, route.cluster_id)));
    }
    if route.to != me {
        return Err(invalid(format!("a message for {} has come to {me}", route.to)));
    }
    let request = match bytes.try_get_u8()? {
        APPEND => PeerRequest::Append(append(bytes)?),
        VOTE => PeerRequest::Vote(vote_request(bytes)?),
        PRE_VOTE => PeerRequest::PreVote(vote_request(bytes)?),
        SNAPSHOT => {
            let vote = vote(bytes)?;
            let snapshot = message.slice_ref(std::mem::take(bytes));
            PeerRequest::Snapshot(vote, decode_snapshot(&snapshot)?)
        }
        TRANSFER_LEADER => {
            let (from, to) = (vote(bytes)?, bytes.try_get_i32()?);
            PeerRequest::TransferLeader(TransferLeaderRequest::new(from, to, optional_log_id(bytes)?))
        }
        tag => return Err(invalid(format!("unknown request {tag} of a node of the quorum"))),
    };
    ended(bytes)?;
    Ok((route, request))
}

/// `response` on its `route`.
pub(super) fn encode_response(route: &Route, response: &PeerResponse) -> Bytes {
    let mut buffer = begin(route);
    match response {
        PeerResponse::Append(response) => {
            buffer.put_u8(APPEND);
            put_append_response(response, &mut buffer);
        }
        PeerResponse::Vote(response) => {
            buffer.put_u8(VOTE);
            put_vote(&response.vote, &mut buffer);
            buffer.put_u8(u8::from(response.vote_granted));
            put_optional_log_id(response.last_log_id.as_ref(), &mut buffer);
        }
        PeerResponse::Snapshot(response) => {
            buffer.put_u8(SNAPSHOT);
            put_vote(&response.vote, &mut buffer);
        }
        PeerResponse::TransferLeader(response) => {
            buffer.put_u8(TRANSFER_LEADER);
            put_transfer_response(response, &mut buffer);
        }
        PeerResponse::Failed(reason) => {
            buffer.put_u8(FAILED);
            buffer.put_slice(reason.as_bytes());
        }
    }
    buffer.into()
}

/// Reads what [`encode_response`] wrote; it must have taken `expected`.
pub(super) fn decode_response(expected: &Route, mut message: &[u8]) -> io::Result<PeerResponse> {
    let bytes = &mut message;
    if route(bytes)? != *expected {
        return Err(invalid("another node of the quorum has answered than the one that was asked"));
    }
    let response = match bytes.try_get_u8()? {
        APPEND => PeerResponse::Append(append_response(bytes)?),
        VOTE => {
            let (vote, is_granted) = (vote(bytes)?, bytes.try_get_u8()? != 0);
            PeerResponse::Vote(VoteResponse::new(vote, optional_log_id(bytes)?, is_granted))
        }
        SNAPSHOT => PeerResponse::Snapshot(SnapshotResponse::new(vote(bytes)?)),
        TRANSFER_LEADER => PeerResponse::TransferLeader(transfer_response(bytes)?),
        FAILED => PeerResponse::Failed(String::from_utf8_lossy(std::mem::take(bytes)).into_owned()),
        tag => return Err(invalid(format!("unknown response {tag} of a node of the quorum"))),
    };
    ended(bytes)?;
    Ok(response)
}

fn begin(route: &Route) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(128);
    buffer.put_u8(VERSION);
    put_text(&route.cluster_id, &mut buffer);
    put_voter(route.from, &mut buffer);
    put_voter(route.to, &mut buffer);
    buffer
}

fn route(bytes: &mut &[u8]) -> io::Result<Route> {
    match bytes.try_get_u8()? {
        VERSION => Ok(Route { cluster_id: text(bytes)?.into(), from: voter(bytes)?, to: voter(bytes)? }),
        version => Err(invalid(format!("a node of the quorum speaks version {version}, which is not known here"))),
    }
}

/// Appends a node.
pub(super) fn put_voter(voter: VoterKey, buffer: &mut Vec<u8>) {
    buffer.put_i32(voter.id);
    buffer.put_u128(voter.directory_id.as_u128());
}

/// Reads what [`put_voter`] wrote.
pub(super) fn voter(bytes: &mut &[u8]) -> io::Result<VoterKey> {
    Ok(VoterKey { id: bytes.try_get_i32()?, directory_id: Uuid::from_u128(bytes.try_get_u128()?) })
}

/// Appends a text of at most 64 KiB; what is longer is cut, and is then refused by whoever reads it.
pub(super) fn put_text(text: &str, buffer: &mut Vec<u8>) {
    let size = u16::try_from(text.len()).unwrap_or(u16::MAX);
    buffer.put_u16(size);
    buffer.put_slice(text.as_bytes().get(..usize::from(size)).unwrap_or_default());
}

/// Reads what [`put_text`] wrote.
pub(super) fn text<'a>(bytes: &mut &'a [u8]) -> io::Result<&'a str> {
    let size = usize::from(bytes.try_get_u16()?);
    let (text, rest) = bytes.split_at_checked(size).ok_or(io::ErrorKind::UnexpectedEof)?;
    *bytes = rest;
    std::str::from_utf8(text).map_err(invalid)
}

fn ended(bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() { Ok(()) } else { Err(invalid("a message of a node of the quorum is too long")) }
}

fn append(bytes: &mut &[u8]) -> io::Result<AppendEntriesRequest<Types>> {
    let (vote, prev_log_id) = (vote(bytes)?, optional_log_id(bytes)?);
    let (leader_commit, mut entries) = (optional_log_id(bytes)?, Vec::new());
    for _ in 0..bytes.try_get_u32()? {
        let payload = take_payload(bytes).ok_or_else(|| invalid("an entry of a node of the quorum is damaged"))?;
        let LogFrame::Entry(entry) = decode_frame(payload)? else {
            return Err(invalid("a node of the quorum sends something else than entries"));
        };
        entries.push(entry);
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

fn put_vote_request(tag: u8, request: &VoteRequest<Types>, buffer: &mut Vec<u8>) {
    buffer.put_u8(tag);
    put_vote(&request.vote, buffer);
    put_optional_log_id(request.last_log_id.as_ref(), buffer);
    buffer.put_u8(u8::from(request.leadership_transfer));
}

fn vote_request(bytes: &mut &[u8]) -> io::Result<VoteRequest<Types>> {
    let (vote, last_log_id) = (vote(bytes)?, optional_log_id(bytes)?);
    Ok(VoteRequest { vote, last_log_id, leadership_transfer: bytes.try_get_u8()? != 0 })
}

fn put_append_response(response: &AppendEntriesResponse<Types>, buffer: &mut Vec<u8>) {
    match response {
        AppendEntriesResponse::Success => buffer.put_u8(SUCCESS),
        AppendEntriesResponse::PartialSuccess(matching) => {
            buffer.put_u8(PARTIAL_SUCCESS);
            put_optional_log_id(matching.as_ref(), buffer);
        }
        AppendEntriesResponse::Conflict => buffer.put_u8(CONFLICT),
        AppendEntriesResponse::HigherVote(vote) => {
            buffer.put_u8(HIGHER_VOTE);
            put_vote(vote, buffer);
        }
    }
}

fn append_response(bytes: &mut &[u8]) -> io::Result<AppendEntriesResponse<Types>> {
    match bytes.try_get_u8()? {
        SUCCESS => Ok(AppendEntriesResponse::Success),
        PARTIAL_SUCCESS => optional_log_id(bytes).map(AppendEntriesResponse::PartialSuccess),
        CONFLICT => Ok(AppendEntriesResponse::Conflict),
        HIGHER_VOTE => vote(bytes).map(AppendEntriesResponse::HigherVote),
        outcome => Err(invalid(format!("unknown outcome {outcome} of an append"))),
    }
}

fn put_transfer_response(response: &TransferLeaderResponse<Types>, buffer: &mut Vec<u8>) {
    match response {
        Ok(()) => buffer.put_u8(ACCEPTED),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            buffer.put_u8(VOTE_CHANGED);
            put_vote(expected, buffer);
            put_vote(actual, buffer);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            buffer.put_u8(LOG_NOT_FLUSHED);
            put_optional_log_id(expected.as_ref(), buffer);
            put_optional_log_id(actual.as_ref(), buffer);
        }
    }
}

fn transfer_response(bytes: &mut &[u8]) -> io::Result<TransferLeaderResponse<Types>> {
    match bytes.try_get_u8()? {
        ACCEPTED => Ok(Ok(())),
        VOTE_CHANGED => Ok(Err(TransferLeaderError::VoteChanged { expected: vote(bytes)?, actual: vote(bytes)? })),
        LOG_NOT_FLUSHED => {
            let (expected, actual) = (optional_log_id(bytes)?, optional_log_id(bytes)?);
            Ok(Err(TransferLeaderError::LogNotFlushed { expected, actual }))
        }
        outcome => Err(invalid(format!("unknown outcome {outcome} of a transfer of the leadership"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openraft::BasicNode;
    use openraft::vote::RaftLeaderId;

    use super::*;
    use crate::metadata::TopicRecord;
    use crate::quorum::types::{
        LeaderId, LogEntry, LogId, Membership, MetadataRecords, Payload, SnapshotMeta, StoredMembership,
    };

    const ONE: VoterKey = VoterKey { id: 1, directory_id: Uuid::from_u128(11) };
    const TWO: VoterKey = VoterKey { id: 2, directory_id: Uuid::from_u128(12) };

    fn there() -> Route {
        Route { cluster_id: "c".into(), from: ONE, to: TWO }
    }

    fn log_id(term: u64, index: u64) -> LogId {
        LogId::new(LeaderId::new(term, 0).to_committed(), index)
    }

    fn membership() -> Membership {
        let nodes = [1, 2].map(|id| (id, BasicNode::new(format!("host-{id}"))));
        Membership::new(vec![[1].into(), [1, 2].into()], nodes.into_iter().collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn requests() -> Vec<PeerRequest> {
        let records = [TopicRecord::Topic { name: "a".into(), id: Uuid::from_u128(7) }.into()];
        let payloads =
            [Payload::Blank, Payload::Normal(MetadataRecords(records.into())), Payload::Membership(membership())];
        let entries =
            payloads.into_iter().zip(5..).map(|(payload, index)| LogEntry { log_id: log_id(3, index), payload });
        let (vote, last_log_id) = (Vote::new_committed(3, 1), Some(log_id(2, 4)));
        let last_membership = StoredMembership::new(Some(log_id(1, 1)), membership());
        let meta = SnapshotMeta { last_log_id, last_membership };
        let entries = entries.collect();
        let append = AppendEntriesRequest { vote, prev_log_id: last_log_id, entries, leader_commit: None };
        let asked = VoteRequest { vote: Vote::new(4, 1), last_log_id, leadership_transfer: false };
        vec![
            PeerRequest::Append(append),
            PeerRequest::Vote(VoteRequest { leadership_transfer: true, ..asked.clone() }),
            PeerRequest::Vote(VoteRequest { last_log_id: None, ..asked.clone() }),
            PeerRequest::PreVote(asked),
            PeerRequest::Snapshot(vote, Snapshot { meta, snapshot: Bytes::from_static(b"records") }),
            PeerRequest::TransferLeader(TransferLeaderRequest::new(vote, 2, last_log_id)),
        ]
    }

    fn responses() -> Vec<PeerResponse> {
        let (vote, other, last_log_id) = (Vote::new(3, 1), Vote::new_committed(4, 2), Some(log_id(2, 4)));
        let changed = TransferLeaderError::VoteChanged { expected: vote, actual: other };
        let behind = TransferLeaderError::LogNotFlushed { expected: last_log_id, actual: None };
        vec![
            PeerResponse::Append(AppendEntriesResponse::Success),
            PeerResponse::Append(AppendEntriesResponse::PartialSuccess(last_log_id)),
            PeerResponse::Append(AppendEntriesResponse::Conflict),
            PeerResponse::Append(AppendEntriesResponse::HigherVote(other)),
            PeerResponse::Vote(VoteResponse::new(vote, last_log_id, true)),
            PeerResponse::Vote(VoteResponse::new(other, None, false)),
            PeerResponse::Snapshot(SnapshotResponse::new(other)),
            PeerResponse::TransferLeader(Ok(())),
            PeerResponse::TransferLeader(Err(changed)),
            PeerResponse::TransferLeader(Err(behind)),
            PeerResponse::Failed("why".to_owned()),
        ]
    }

    #[test]
    fn requests_and_responses_come_back_as_they_were() {
        for request in requests() {
            let (route, decoded) = decode_request("c", TWO, &encode_request(&there(), &request)).unwrap();
            assert_eq!((route, format!("{decoded:?}")), (there(), format!("{request:?}")));
        }
        for response in responses() {
            let decoded = decode_response(&there(), &encode_response(&there(), &response)).unwrap();
            assert_eq!(format!("{decoded:?}"), format!("{response:?}"));
        }
    }

    #[test]
    fn what_is_cut_too_long_astray_or_of_another_version_is_refused() {
        for request in requests() {
            let bytes = encode_request(&there(), &request);
            let wiped = VoterKey { directory_id: Uuid::from_u128(13), ..TWO };
            for astray in [wiped, VoterKey { id: 3, ..TWO }] {
                assert!(decode_request("c", astray, &bytes).unwrap_err().to_string().contains("for node 2"));
            }
            assert!(decode_request("d", TWO, &bytes).unwrap_err().to_string().contains("is of cluster c"));
            for cut in 0..bytes.len() {
                assert!(decode_request("c", TWO, &bytes.slice(..cut)).is_err(), "{request:?} cut at {cut}");
            }
            let longer: Bytes = [&bytes[..], &[9]].concat().into();
            assert!(
                decode_request("c", TWO, &longer).is_err() || matches!(request, PeerRequest::Snapshot(..)),
                "{request:?}"
            );
            let other: Bytes = [&[VERSION + 1], &bytes[1..]].concat().into();
            assert!(decode_request("c", TWO, &other).unwrap_err().to_string().contains("version 2"));
        }
        for response in responses() {
            let bytes = encode_response(&there(), &response);
            assert!(decode_response(&there().back(), &bytes).is_err());
            let is_cut_anywhere = (0..bytes.len()).any(|cut| decode_response(&there(), &bytes[..cut]).is_ok());
            assert!(!is_cut_anywhere || matches!(response, PeerResponse::Failed(_)), "{response:?}");
        }
    }
}
