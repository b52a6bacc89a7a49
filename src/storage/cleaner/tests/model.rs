//! A log against a plain list of what was written to it, through puts, deletes, transactions, rolls, deletions of records,
//! cleanings (also such that are stopped half way) and time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const DELETE_RETENTION_MS: i64 = 100;
/// Producers with these ids are transactional, the third is idempotent, and the fourth neither.
const TRANSACTIONAL: [i64; 2] = [1, 2];
const IDEMPOTENT: i64 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// Each record is a key, or none, and whether there is a value.
    Append {
        producer: usize,
        records: Vec<(Option<u8>, bool)>,
        codec: usize,
        size: usize,
    },
    End {
        producer: usize,
        commits: bool,
        fences: bool,
    },
    Roll,
    Wait(i64),
    RaiseStart(prop::sample::Index),
    Clean {
        slots: usize,
        reads: Option<usize>,
        chunk: usize,
    },
}

#[derive(Debug, Clone, Copy)]
struct Setup {
    min_compaction_lag_ms: i64,
    segment_bytes: u64,
    compression: Option<Compression>,
}

fn step() -> impl Strategy<Value = Step> {
    let key = proptest::option::weighted(0.97, 0..6_u8);
    let records = proptest::collection::vec((key, prop::bool::weighted(0.7)), 1..5);
    prop_oneof![
        12 => (0..4_usize, records, 0..5_usize, 0..60_usize)
            .prop_map(|(producer, records, codec, size)| Step::Append { producer, records, codec, size }),
        4 => (0..2_usize, any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(producer, commits, fences)| Step::End { producer, commits, fences }),
        4 => Just(Step::Roll),
        3 => (0..150_i64).prop_map(Step::Wait),
        1 => any::<prop::sample::Index>().prop_map(Step::RaiseStart),
        5 => (1..20_usize, proptest::option::weighted(0.2, 0..12_usize), 80..400_usize)
            .prop_map(|(slots, reads, chunk)| Step::Clean { slots, reads, chunk }),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    let codec = proptest::option::of((0..5_usize).prop_map(|index| CODECS[index]));
    (prop_oneof![Just(0), Just(60_i64)], 300..3_000_u64, codec).prop_map(
        |(min_compaction_lag_ms, segment_bytes, compression)| Setup {
            min_compaction_lag_ms,
            segment_bytes,
            compression,
        },
    )
}

/// A record of data as it was written.
#[derive(Debug, Clone)]
struct Written {
    record: Record,
    transaction: Fate,
    /// When the first cleaning began for which it was there.
    first_cleaning_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open(i64),
    Committed,
    Aborted,
}

#[derive(Debug, Clone, Copy)]
struct Producer {
    epoch: i16,
    next_sequence: i32,
    last_data_offset: Option<i64>,
    transaction_first_offset: Option<i64>,
    has_written: bool,
    /// Where its last batch, of data or a marker, ends.
    last_offset: i64,
}

struct Run {
    setup: Setup,
    log: TestLog,
    written: Vec<Written>,
    producers: BTreeMap<i64, Producer>,
    end: i64,
    start: i64,
    now_ms: i64,
    checkpoint: Option<i64>,
}

impl Run {
    fn new(setup: Setup) -> Self {
        let fresh = Producer {
            epoch: 0,
            next_sequence: 0,
            last_data_offset: None,
            transaction_first_offset: None,
            has_written: false,
            last_offset: -1,
        };
        let producers = [TRANSACTIONAL[0], TRANSACTIONAL[1], IDEMPOTENT].map(|id| (id, fresh)).into();
        let mut log = TestLog::default();
        log.roll(0);
        Self { setup, log, written: Vec::new(), producers, end: 0, start: 0, now_ms: 1_000, checkpoint: None }
    }

    fn last_stable_offset(&self) -> i64 {
        let open = self.producers.values().filter_map(|producer| producer.transaction_first_offset);
        open.min().unwrap_or(self.end)
    }

    fn apply(&mut self, step: &Step) {
        self.now_ms += 1;
        match step {
            Step::Append { producer, records, codec, size } => {
                let id = [TRANSACTIONAL[0], TRANSACTIONAL[1], IDEMPOTENT, -1][*producer];
                self.append(id, records, CODECS[*codec], *size);
            }
            Step::End { producer, commits, fences } => {
                self.end_transaction(TRANSACTIONAL[*producer], *commits, *fences);
            }
            Step::Roll => {
                if !self.log.segments.last().unwrap().bytes.is_empty() {
                    self.log.roll(self.end);
                }
            }
            Step::Wait(ms) => self.now_ms += ms,
            Step::RaiseStart(index) => {
                let room = (self.last_stable_offset() - self.start) as usize + 1;
                self.start += index.index(room) as i64;
                let is_gone = |pair: &[TestSegment]| pair[1].base_offset <= self.start;
                let gone = self.log.segments.windows(2).take_while(|pair| is_gone(pair)).count();
                self.log.segments.drain(..gone);
            }
            Step::Clean { slots, reads, chunk } => self.clean(*slots, *reads, *chunk),
        }
    }

    fn append(&mut self, id: i64, records: &[(Option<u8>, bool)], codec: Compression, size: usize) {
        let mut builder = BatchBuilder::new(self.now_ms);
        builder.base_offset(self.end).leader_epoch(0).compression(codec);
        let mut fate = Fate::Committed;
        let last_offset = self.end + records.len() as i64 - 1;
        if let Some(producer) = self.producers.get_mut(&id) {
            builder.producer(id, producer.epoch, producer.next_sequence);
            producer.next_sequence += records.len() as i32;
            producer.last_data_offset = Some(last_offset);
            (producer.has_written, producer.last_offset) = (true, last_offset);
            if TRANSACTIONAL.contains(&id) {
                builder.transactional();
                producer.transaction_first_offset.get_or_insert(self.end);
                fate = Fate::Open(id);
            }
        }
        for (offset, (key, has_value)) in (self.end..).zip(records) {
            let key = key.map(|key| vec![key; size + 1]);
            let value = has_value.then(|| offset.to_be_bytes());
            builder.record_at(self.now_ms + offset % 3, key.as_deref(), value.as_ref().map(|value| &value[..]), &[]);
        }
        let bytes = builder.build();
        for record in records_of(&RecordBatch::parse(&bytes).unwrap()) {
            self.written.push(Written { record, transaction: fate, first_cleaning_ms: None });
        }
        self.log.append_bytes(&bytes);
        self.end += records.len() as i64;
    }

    fn end_transaction(&mut self, id: i64, commits: bool, fences: bool) {
        let producer = self.producers.get_mut(&id).unwrap();
        let Some(first_offset) = producer.transaction_first_offset.take() else { return };
        if fences {
            (producer.epoch, producer.next_sequence, producer.last_data_offset) = (producer.epoch + 1, 0, None);
        }
        producer.last_offset = self.end;
        let bytes = marker(self.end, self.now_ms, id, producer.epoch, commits);
        self.log.append_bytes(&bytes);
        let last_offset = self.end;
        self.end += 1;
        for written in self.written.iter_mut().filter(|written| written.transaction == Fate::Open(id)) {
            written.transaction = if commits { Fate::Committed } else { Fate::Aborted };
        }
        if !commits {
            let last_stable_offset = self.last_stable_offset();
            let aborted = AbortedTxn { producer_id: id, first_offset, last_offset, last_stable_offset };
            self.log.segments.last_mut().unwrap().aborted.push(aborted);
        }
    }

    fn last_records(&self) -> HashMap<i64, LastRecord> {
        let active = self.producers.iter().filter(|(_, producer)| producer.has_written);
        let last = |producer: &Producer| LastRecord {
            last_data_offset: producer.last_data_offset,
            producer_epoch: producer.epoch,
        };
        active.map(|(id, producer)| (*id, last(producer))).collect()
    }

    fn clean(&mut self, slots: usize, reads: Option<usize>, chunk: usize) {
        let segments = self.log.summaries();
        let config = CompactionConfig {
            delete: false,
            min_cleanable_dirty_ratio: 0.0,
            min_compaction_lag_ms: self.setup.min_compaction_lag_ms,
            max_compaction_lag_ms: i64::MAX,
        };
        let extent = LogExtent {
            log_start_offset: self.start,
            log_end_offset: self.end,
            last_stable_offset: self.last_stable_offset(),
        };
        let log = LogToClean::new(&segments, extent, &config, self.checkpoint, self.now_ms);
        if !log.is_worthwhile(&config) {
            return;
        }
        let last = self.last_records();
        let setting = CleaningSetting {
            log,
            now_ms: self.now_ms,
            delete_retention_ms: DELETE_RETENTION_MS,
            segment_bytes: self.setup.segment_bytes,
            segment_index_bytes: 1_000,
            compression: self.setup.compression,
            max_message_bytes: 200,
            decompressed_limit: LIMIT,
            last_records_of_active_producers: &last,
        };
        let mut map = map_of(slots, &[]);
        let mut stats = CleanerStats::default();
        (self.log.reads_left, self.log.chunk, self.log.group) = (reads, chunk, None);
        for written in &mut self.written {
            written.first_cleaning_ms.get_or_insert(self.now_ms);
        }
        let end = build_offset_map(&mut self.log, &segments, &setting, &mut map, &mut stats).and_then(|end| {
            assert!(end > log.first_dirty_offset && end <= log.first_uncleanable_offset);
            clean_segments(&mut self.log, &segments, &setting, &map, end, &mut stats)?;
            Ok(end)
        });
        match end {
            Ok(end) => {
                self.checkpoint = Some(end);
                self.check_that_keys_are_unique(end);
                self.check_range_end(log.first_uncleanable_offset);
            }
            Err(error) => assert_eq!(error, CleanerError::Aborted),
        }
        self.check();
    }

    /// In the part that is clean, no key is there twice, and nothing that was aborted.
    fn check_that_keys_are_unique(&self, end: i64) {
        let mut seen = BTreeSet::new();
        for batch in self.log.batches().iter().filter(|batch| !batch.header.is_control()) {
            for record in records_of(batch).into_iter().filter(|record| (self.start..end).contains(&record.offset)) {
                let key = record.key.clone().expect("a record without a key is dropped");
                assert!(seen.insert(key), "{record:?} is there, and an older one");
                let written = self.written.iter().find(|written| written.record.offset == record.offset).unwrap();
                assert_eq!(written.transaction, Fate::Committed);
            }
        }
    }

    /// The last batch in front of what was not cleaned says how far it goes.
    fn check_range_end(&self, end: i64) {
        let last = self.log.headers().into_iter().take_while(|header| header.base_offset < end).last();
        assert_eq!(last.map(|header| header.next_offset()), Some(end));
    }

    fn check(&self) {
        self.check_order();
        self.check_producers();
        for from in self.start..=self.end {
            self.check_reader(from);
        }
    }

    /// Batches lie in the order of their offsets, each within its segment.
    fn check_order(&self) {
        let mut next = self.log.segments[0].base_offset;
        for (index, segment) in self.log.segments.iter().enumerate() {
            assert!(segment.base_offset >= next);
            next = segment.base_offset;
            for batch in segment.batches() {
                assert!(batch.header.base_offset >= next);
                next = batch.header.next_offset();
                let records = records_of(&batch);
                assert!(records.is_sorted_by(|one, other| one.offset < other.offset));
                let range = batch.header.base_offset..next;
                assert!(records.iter().all(|record| range.contains(&record.offset)));
            }
            assert!(self.log.segments.get(index + 1).is_none_or(|following| next <= following.base_offset));
        }
    }

    /// Reading the log from its beginning gives every producer's epoch and last sequence number.
    fn check_producers(&self) {
        let headers = self.log.headers();
        for (id, producer) in &self.producers {
            let of_producer = || headers.iter().filter(|header| header.producer_id == *id);
            // What was below the log start offset is not kept, nor is a marker of nothing else but that.
            let kept = producer.last_data_offset.unwrap_or(producer.last_offset);
            if producer.has_written && kept >= self.start {
                assert_eq!(of_producer().map(|header| header.producer_epoch).max(), Some(producer.epoch));
            }
            if producer.last_data_offset.is_some_and(|offset| offset >= self.start) {
                let last = of_producer().rfind(|header| !header.is_control()).unwrap();
                assert_eq!((last.last_sequence(), last.producer_epoch), (producer.next_sequence - 1, producer.epoch));
                assert_eq!(Some(last.last_offset()), producer.last_data_offset);
            }
        }
    }

    /// What a consumer that reads committed data sees from `from` on, as Kafka's consumer filters it.
    fn read_committed(&self, from: i64) -> Vec<Record> {
        let all = self.log.segments.iter().flat_map(|segment| segment.aborted.iter().copied());
        let mut aborted: Vec<_> = all.filter(|aborted| aborted.last_offset >= from).collect();
        aborted.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        let mut active = BTreeSet::new();
        let mut seen = Vec::new();
        let end = self.last_stable_offset();
        for batch in self.log.batches() {
            let header = batch.header;
            if header.last_offset() < from || header.base_offset >= end {
                continue;
            }
            while let Some(begun) = aborted.pop_if(|aborted| aborted.first_offset <= header.last_offset()) {
                active.insert(begun.producer_id);
            }
            if header.is_control() {
                let marker = records_of(&batch).first().and_then(|record| record.key.clone());
                if marker.is_some_and(|key| key[3] == 0) {
                    active.remove(&header.producer_id);
                }
            } else if !(header.is_transactional() && active.contains(&header.producer_id)) {
                seen.extend(records_of(&batch).into_iter().filter(|record| record.offset >= from));
            }
        }
        seen
    }

    fn check_reader(&self, from: i64) {
        let seen = self.read_committed(from);
        let end = self.last_stable_offset();
        let committed: BTreeMap<i64, &Written> = (self.written.iter())
            .filter(|written| written.transaction == Fate::Committed)
            .filter(|written| (from..end).contains(&written.record.offset))
            .map(|written| (written.record.offset, written))
            .collect();
        let mut last_seen: BTreeMap<&Bytes, &Record> = BTreeMap::new();
        for record in &seen {
            let written = committed.get(&record.offset).expect("only committed records are seen");
            assert_eq!(record, &written.record);
            last_seen.extend(record.key.as_ref().map(|key| (key, record)));
        }
        let keyed = committed.values().filter_map(|written| Some((written.record.key.as_ref()?, *written)));
        let last_written: BTreeMap<&Bytes, &Written> = keyed.collect();
        for (key, written) in last_written {
            match last_seen.get(key) {
                Some(last) => assert_eq!(**last, written.record, "an older value is seen from {from}"),
                None => self.check_that_it_may_be_gone(written),
            }
        }
        let young = self.now_ms - self.setup.min_compaction_lag_ms;
        if self.setup.min_compaction_lag_ms > 0 {
            let is_seen = |offset: i64| seen.iter().any(|record| record.offset == offset);
            let missing = committed.values().find(|one| one.record.timestamp > young && !is_seen(one.record.offset));
            assert!(missing.is_none(), "{missing:?} is too young to be gone");
        }
    }

    fn check_that_it_may_be_gone(&self, written: &Written) {
        assert!(written.record.value.is_none(), "{written:?} is the last of its key");
        let first_cleaning_ms = written.first_cleaning_ms.expect("only a cleaning takes something away");
        let age_ms = self.now_ms - first_cleaning_ms;
        assert!(age_ms >= DELETE_RETENTION_MS, "{written:?} is gone after {age_ms} ms");
    }
}

proptest! {
    #[test]
    fn a_reader_sees_the_last_committed_value_of_every_key(
        setup in setup(), steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut run = Run::new(setup);
        for step in &steps {
            run.apply(step);
        }
        run.check();
    }
}
