//! What the quorum's nodes say to each other, as bytes.
//!
//! A message is a version (u8), the sender and the receiver (i32 each), a tag (u8) and the fields of that tag, encoded as
//! in the log. Both nodes are named, so that what has gone astray is refused and not believed. Damaged bytes are errors.

use std::io;

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
use crate::ids::NodeId;

/// What all nodes of this version understand.
const VERSION: u8 = 1;

/// Who says something to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
}

impl Route {
    /// The way that an answer takes.
    pub(super) fn back(self) -> Self {
        Self { from: self.to, to: self.from }
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
pub(super) fn encode_request(route: Route, request: &PeerRequest) -> Bytes {
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

/// Reads what [`encode_request`] wrote, if it is for the node `me`.
pub(super) fn decode_request(me: NodeId, message: &Bytes) -> io::Result<(Route, PeerRequest)> {
    let mut rest = &message[..];
    let bytes = &mut rest;
    let route = route(bytes)?;
    if route.to != me {
        return Err(invalid(format!("a message for node {} has come to node {me}", route.to)));
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
pub(super) fn encode_response(route: Route, response: &PeerResponse) -> Bytes {
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
pub(super) fn decode_response(expected: Route, mut message: &[u8]) -> io::Result<PeerResponse> {
    let bytes = &mut message;
    if route(bytes)? != expected {
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

fn begin(route: Route) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(64);
    buffer.put_u8(VERSION);
    buffer.put_i32(route.from);
    buffer.put_i32(route.to);
    buffer
}

fn route(bytes: &mut &[u8]) -> io::Result<Route> {
    match bytes.try_get_u8()? {
        VERSION => Ok(Route { from: bytes.try_get_i32()?, to: bytes.try_get_i32()? }),
        version => Err(invalid(format!("a node of the quorum speaks version {version}, which is not known here"))),
    }
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
    use crate::ids::Uuid;
    use crate::metadata::TopicRecord;
    use crate::quorum::types::{
        LeaderId, LogEntry, LogId, Membership, MetadataRecords, Payload, SnapshotMeta, StoredMembership,
    };

    const ROUTE: Route = Route { from: 1, to: 2 };

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
            let (route, decoded) = decode_request(2, &encode_request(ROUTE, &request)).unwrap();
            assert_eq!((route, format!("{decoded:?}")), (ROUTE, format!("{request:?}")));
        }
        for response in responses() {
            let decoded = decode_response(ROUTE, &encode_response(ROUTE, &response)).unwrap();
            assert_eq!(format!("{decoded:?}"), format!("{response:?}"));
        }
    }

    #[test]
    fn what_is_cut_too_long_astray_or_of_another_version_is_refused() {
        for request in requests() {
            let bytes = encode_request(ROUTE, &request);
            assert!(decode_request(3, &bytes).unwrap_err().to_string().contains("for node 2"));
            for cut in 0..bytes.len() {
                assert!(decode_request(2, &bytes.slice(..cut)).is_err(), "{request:?} cut at {cut}");
            }
            let longer: Bytes = [&bytes[..], &[9]].concat().into();
            assert!(decode_request(2, &longer).is_err() || matches!(request, PeerRequest::Snapshot(..)), "{request:?}");
            let other: Bytes = [&[VERSION + 1], &bytes[1..]].concat().into();
            assert!(decode_request(2, &other).unwrap_err().to_string().contains("version 2"));
        }
        for response in responses() {
            let bytes = encode_response(ROUTE, &response);
            assert!(decode_response(ROUTE.back(), &bytes).is_err());
            let is_cut_anywhere = (0..bytes.len()).any(|cut| decode_response(ROUTE, &bytes[..cut]).is_ok());
            assert!(!is_cut_anywhere || matches!(response, PeerResponse::Failed(_)), "{response:?}");
        }
    }
}
