//! The quorum's own things as bytes: frames of the log file and snapshots.
//!
//! A frame is a size (u32), the CRC-32C of what follows (u32), and the payload: a tag (u8) and its fields, all numbers
//! big-endian. Damaged bytes are errors and never panic.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::{Buf, BufMut, Bytes};
use openraft::BasicNode;
use openraft::vote::{RaftLeaderId, RaftVote};

use super::types::{
    LeaderId, LogEntry, LogId, Membership, MetadataRecords, Payload, Snapshot, SnapshotMeta, StoredMembership, Vote,
    term,
};
use crate::metadata::{decode_records, encode_records};

/// One change of what the log store remembers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LogFrame {
    /// This node voted, or saw a vote win.
    Vote(Vote),
    /// An entry follows the last one.
    Entry(LogEntry),
    /// The entries from this index on were never committed and are gone.
    TruncateFrom(u64),
    /// The entries up to this one are in a snapshot and gone.
    Purged(LogId),
}

/// Size and checksum in front of a payload.
const FRAME_HEADER: usize = 8;

const VOTE: u8 = 1;
const ENTRY: u8 = 2;
const TRUNCATE_FROM: u8 = 3;
const PURGED: u8 = 4;
const SNAPSHOT: u8 = 5;

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Appends `frame` to `buffer`.
pub(super) fn encode_frame(frame: &LogFrame, buffer: &mut Vec<u8>) {
    framed(buffer, |buffer| match frame {
        LogFrame::Vote(vote) => {
            buffer.put_u8(VOTE);
            put_vote(vote, buffer);
        }
        LogFrame::Entry(entry) => {
            buffer.put_u8(ENTRY);
            put_log_id(&entry.log_id, buffer);
            put_payload(&entry.payload, buffer);
        }
        LogFrame::TruncateFrom(index) => {
            buffer.put_u8(TRUNCATE_FROM);
            buffer.put_u64(*index);
        }
        LogFrame::Purged(log_id) => {
            buffer.put_u8(PURGED);
            put_log_id(log_id, buffer);
        }
    });
}

/// Takes the payload of an intact frame from the front of `bytes`; `None` where there is none.
pub(super) fn take_payload<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (header, rest) = bytes.split_at_checked(FRAME_HEADER)?;
    let mut header = header;
    let (size, checksum) = (header.get_u32() as usize, header.get_u32());
    let (payload, rest) = rest.split_at_checked(size)?;
    // Zeros would be an intact empty frame, and are what a file's tail may hold after a crash.
    if size == 0 || crc32c::crc32c(payload) != checksum {
        return None;
    }
    *bytes = rest;
    Some(payload)
}

/// Reads a frame's payload.
pub(super) fn decode_frame(mut payload: &[u8]) -> io::Result<LogFrame> {
    let bytes = &mut payload;
    let frame = match bytes.try_get_u8()? {
        VOTE => LogFrame::Vote(vote(bytes)?),
        ENTRY => LogFrame::Entry(LogEntry { log_id: log_id(bytes)?, payload: entry_payload(bytes)? }),
        TRUNCATE_FROM => LogFrame::TruncateFrom(bytes.try_get_u64()?),
        PURGED => LogFrame::Purged(log_id(bytes)?),
        tag => return Err(invalid(format!("unknown frame {tag} in the metadata log"))),
    };
    if bytes.is_empty() { Ok(frame) } else { Err(invalid("a frame of the metadata log is too long")) }
}

/// A snapshot as its file holds it: one frame of the place in the log, the membership and the records.
pub(super) fn encode_snapshot(snapshot: &Snapshot) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(snapshot.snapshot.len() + 128);
    framed(&mut buffer, |buffer| {
        buffer.put_u8(SNAPSHOT);
        put_optional_log_id(snapshot.meta.last_log_id.as_ref(), buffer);
        put_optional_log_id(snapshot.meta.last_membership.log_id().as_ref(), buffer);
        put_membership(snapshot.meta.last_membership.membership(), buffer);
        buffer.put_slice(&snapshot.snapshot);
    });
    buffer
}

/// Reads what [`encode_snapshot`] wrote.
pub(super) fn decode_snapshot(file: &Bytes) -> io::Result<Snapshot> {
    let mut bytes = &file[..];
    let mut payload = take_payload(&mut bytes).ok_or_else(|| invalid("the metadata snapshot is damaged"))?;
    let bytes = &mut payload;
    if bytes.try_get_u8()? != SNAPSHOT {
        return Err(invalid("the metadata snapshot is something else"));
    }
    let last_log_id = optional_log_id(bytes)?;
    let last_membership = StoredMembership::new(optional_log_id(bytes)?, membership(bytes)?);
    Ok(Snapshot { meta: SnapshotMeta { last_log_id, last_membership }, snapshot: file.slice_ref(bytes) })
}

/// An error about what bytes say.
pub(super) fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn framed(buffer: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.put_bytes(0, FRAME_HEADER);
    put(buffer);
    let Some((header, payload)) = buffer.get_mut(start..).and_then(|frame| frame.split_at_mut_checked(FRAME_HEADER))
    else {
        return;
    };
    let mut header = header;
    header.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    header.put_u32(crc32c::crc32c(payload));
}

/// Appends `vote`: its term, its node, and whether a majority has granted it.
pub(super) fn put_vote(vote: &Vote, buffer: &mut Vec<u8>) {
    buffer.put_u64(vote.leader_id().term());
    buffer.put_i32(*vote.leader_id().node_id());
    buffer.put_u8(u8::from(vote.is_committed()));
}

/// Reads what [`put_vote`] wrote.
pub(super) fn vote(bytes: &mut &[u8]) -> io::Result<Vote> {
    let leader = LeaderId::new(bytes.try_get_u64()?, bytes.try_get_i32()?);
    Ok(Vote::from_leader_id(leader, bytes.try_get_u8()? != 0))
}

fn put_log_id(log_id: &LogId, buffer: &mut Vec<u8>) {
    buffer.put_u64(term(log_id));
    buffer.put_u64(log_id.index);
}

fn log_id(bytes: &mut &[u8]) -> io::Result<LogId> {
    // Only the term of a leader id is part of a log id: in standard Raft a term has one leader.
    let leader = LeaderId::new(bytes.try_get_u64()?, 0).to_committed();
    Ok(LogId::new(leader, bytes.try_get_u64()?))
}

/// Appends `log_id`, or that there is none.
pub(super) fn put_optional_log_id(log_id: Option<&LogId>, buffer: &mut Vec<u8>) {
    buffer.put_u8(u8::from(log_id.is_some()));
    if let Some(log_id) = log_id {
        put_log_id(log_id, buffer);
    }
}

/// Reads what [`put_optional_log_id`] wrote.
pub(super) fn optional_log_id(bytes: &mut &[u8]) -> io::Result<Option<LogId>> {
    if bytes.try_get_u8()? == 0 { Ok(None) } else { log_id(bytes).map(Some) }
}

fn put_payload(payload: &Payload, buffer: &mut Vec<u8>) {
    match payload {
        Payload::Blank => buffer.put_u8(BLANK),
        Payload::Normal(records) => {
            buffer.put_u8(NORMAL);
            encode_records(&records.0, buffer);
        }
        Payload::Membership(membership) => {
            buffer.put_u8(MEMBERSHIP);
            put_membership(membership, buffer);
        }
    }
}

fn entry_payload(bytes: &mut &[u8]) -> io::Result<Payload> {
    match bytes.try_get_u8()? {
        BLANK => Ok(Payload::Blank),
        NORMAL => Ok(Payload::Normal(MetadataRecords(decode_records(bytes).map_err(invalid)?.into()))),
        MEMBERSHIP => membership(bytes).map(Payload::Membership),
        kind => Err(invalid(format!("unknown entry {kind} in the metadata log"))),
    }
}

fn put_membership(membership: &Membership, buffer: &mut Vec<u8>) {
    let configs = membership.get_joint_config();
    put_count(configs.len(), buffer);
    for voters in configs {
        put_count(voters.len(), buffer);
        for voter in voters {
            buffer.put_i32(*voter);
        }
    }
    put_count(membership.nodes().count(), buffer);
    for (id, node) in membership.nodes() {
        buffer.put_i32(*id);
        put_count(node.addr.len(), buffer);
        buffer.put_slice(node.addr.as_bytes());
    }
}

fn membership(bytes: &mut &[u8]) -> io::Result<Membership> {
    let mut configs = Vec::new();
    for _ in 0..bytes.try_get_u32()? {
        let voters = (0..bytes.try_get_u32()?).map(|_| bytes.try_get_i32());
        configs.push(voters.collect::<Result<BTreeSet<_>, _>>()?);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..bytes.try_get_u32()? {
        let id = bytes.try_get_i32()?;
        let size = bytes.try_get_u32()? as usize;
        let (address, rest) = bytes.split_at_checked(size).ok_or(io::ErrorKind::UnexpectedEof)?;
        *bytes = rest;
        nodes.insert(id, BasicNode::new(std::str::from_utf8(address).map_err(invalid)?));
    }
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|error| invalid(error.to_string()))
}

/// Appends how many of something follow.
pub(super) fn put_count(count: usize, buffer: &mut Vec<u8>) {
    buffer.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
}
