//! Cleanings of whole logs in memory, and of single batches.

mod filter;
mod model;
mod passes;

use std::collections::HashMap;

use bytes::Bytes;

use super::*;
use crate::protocol::compression::Compression;
use crate::protocol::record_batch::{BatchBuilder, BatchHeader, Record, RecordBatch, batches};

const LIMIT: usize = 1 << 20;

/// A log's segments, the active one last.
#[derive(Debug, Default, Clone)]
struct TestLog {
    segments: Vec<TestSegment>,
    /// The segments that are being replaced, and what takes their place.
    group: Option<(usize, TestSegment)>,
    /// The bytes of a read, unless a batch is larger.
    chunk: usize,
    /// After how many more reads it shall stop.
    reads_left: Option<usize>,
    throttled: u64,
}

#[derive(Debug, Default, Clone)]
struct TestSegment {
    base_offset: i64,
    bytes: Vec<u8>,
    aborted: Vec<AbortedTxn>,
}

impl TestSegment {
    fn batches(&self) -> Vec<RecordBatch> {
        batches(&Bytes::copy_from_slice(&self.bytes)).map(Result::unwrap).collect()
    }

    fn summary(&self) -> CleanableSegment {
        let headers: Vec<_> = self.batches().into_iter().map(|batch| batch.header).collect();
        CleanableSegment {
            base_offset: self.base_offset,
            size: self.bytes.len() as u64,
            offset_index_size: 8,
            time_index_size: 12,
            largest_timestamp: headers.iter().map(|header| header.max_timestamp).max().unwrap_or(0),
            first_batch_timestamp: headers.first().map(|header| header.max_timestamp),
        }
    }
}

impl TestLog {
    /// One segment for each list of batches, and an empty active one at the end.
    fn new(segments: &[&[Bytes]]) -> Self {
        let mut log = Self { chunk: 200, ..Self::default() };
        log.roll(0);
        for batches in segments {
            batches.iter().for_each(|batch| log.append_bytes(batch));
            log.roll(log.end_offset());
        }
        log
    }

    fn roll(&mut self, base_offset: i64) {
        self.segments.push(TestSegment { base_offset, ..TestSegment::default() });
    }

    fn append_bytes(&mut self, batch: &[u8]) {
        self.segments.last_mut().unwrap().bytes.extend_from_slice(batch);
    }

    fn batches(&self) -> Vec<RecordBatch> {
        self.segments.iter().flat_map(TestSegment::batches).collect()
    }

    fn headers(&self) -> Vec<BatchHeader> {
        self.batches().into_iter().map(|batch| batch.header).collect()
    }

    fn records(&self) -> Vec<Record> {
        self.batches().iter().flat_map(records_of).collect()
    }

    fn end_offset(&self) -> i64 {
        self.headers().last().map_or(0, BatchHeader::next_offset)
    }

    fn summaries(&self) -> Vec<CleanableSegment> {
        self.segments.iter().map(TestSegment::summary).collect()
    }

    fn index_of(&self, segment: i64) -> usize {
        self.segments.iter().position(|other| other.base_offset == segment).unwrap()
    }
}

impl CleaningIo for TestLog {
    type Error = CleanerError;

    fn read(&mut self, segment: i64, position: u64) -> Result<Bytes, CleanerError> {
        self.reads_left = self.reads_left.map(|left| left.saturating_sub(1));
        let bytes = &self.segments[self.index_of(segment)].bytes;
        let rest = &bytes[position as usize..];
        let whole = BatchHeader::parse(rest).map_or(rest.len(), |header| header.size_in_bytes());
        Ok(Bytes::copy_from_slice(&rest[..self.chunk.max(whole).min(rest.len())]))
    }

    fn aborted_transactions(&mut self, from: i64, to: i64) -> Result<Vec<AbortedTxn>, CleanerError> {
        let all = self.segments.iter().flat_map(|segment| segment.aborted.iter().copied());
        Ok(all.filter(|aborted| aborted.last_offset >= from && aborted.first_offset < to).collect())
    }

    fn begin_group(&mut self, segments: &[CleanableSegment]) -> Result<(), CleanerError> {
        let base_offset = segments[0].base_offset;
        assert!(self.group.is_none());
        self.group = Some((segments.len(), TestSegment { base_offset, ..TestSegment::default() }));
        Ok(())
    }

    fn append(&mut self, batch: RecordBatch) -> Result<(), CleanerError> {
        assert_eq!(RecordBatch::parse(&batch.bytes).unwrap(), batch);
        batch.verify_crc().unwrap();
        self.group.as_mut().unwrap().1.bytes.extend_from_slice(&batch.bytes);
        Ok(())
    }

    fn end_group(&mut self, aborted: Vec<AbortedTxn>) -> Result<(), CleanerError> {
        let (count, mut segment) = self.group.take().unwrap();
        segment.aborted = aborted;
        let first = self.index_of(segment.base_offset);
        self.segments.splice(first..first + count, [segment]);
        Ok(())
    }

    fn should_stop(&mut self) -> bool {
        self.reads_left == Some(0)
    }

    fn throttle(&mut self, bytes: usize) {
        self.throttled += bytes as u64;
    }
}

fn records_of(batch: &RecordBatch) -> Vec<Record> {
    batch.records(LIMIT).unwrap().map(Result::unwrap).collect()
}

/// A batch of (key, value) pairs at consecutive offsets.
fn batch(base_offset: i64, records: &[(&str, Option<&str>)]) -> Bytes {
    batch_builder(base_offset, records).build()
}

fn batch_builder(base_offset: i64, records: &[(&str, Option<&str>)]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(1_000);
    builder.base_offset(base_offset).leader_epoch(3);
    for (index, (key, value)) in (0..).zip(records) {
        builder.record_at(1_000 + index, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    builder
}

/// The control batch that ends a transaction.
fn marker(offset: i64, timestamp_ms: i64, producer_id: i64, epoch: i16, commits: bool) -> Bytes {
    let mut builder = BatchBuilder::new(timestamp_ms);
    builder.base_offset(offset).producer(producer_id, epoch, -1).transactional().control();
    builder.record(Some(&[0, 0, 0, u8::from(commits)]), Some(&[0; 6]));
    builder.build()
}

fn map_of(slots: usize, latest: &[(&str, i64)]) -> OffsetMap {
    let mut map = OffsetMap::new((slots + 1) * 24, 1.0, [5; 16]).unwrap();
    for (key, offset) in latest {
        let mut hasher = map.hasher();
        hasher.write(key.as_bytes());
        assert!(map.put(hasher.finish(), *offset));
    }
    map
}

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// No producer is active.
fn nobody() -> HashMap<i64, LastRecord> {
    HashMap::new()
}
