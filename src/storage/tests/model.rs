//! A log against a plain list of records, through appends, truncations, deletions, crashes and clean stops.

use proptest::prelude::*;

use super::*;
use crate::protocol::compression::Compression;

#[derive(Debug, Clone)]
enum Step {
    Append { count: usize, size: usize, codec: u8 },
    Duplicate,
    Read { at: prop::sample::Index, max_bytes: usize },
    Truncate(prop::sample::Index),
    RaiseStart(prop::sample::Index),
    Flush,
    Crash,
    CleanStop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..6_usize, 0..300_usize, 0..5_u8).prop_map(|(count, size, codec)| Step::Append { count, size, codec }),
        1 => Just(Step::Duplicate),
        4 => (any::<prop::sample::Index>(), 1..3000_usize).prop_map(|(at, max_bytes)| Step::Read { at, max_bytes }),
        1 => any::<prop::sample::Index>().prop_map(Step::Truncate),
        1 => any::<prop::sample::Index>().prop_map(Step::RaiseStart),
        1 => Just(Step::Flush),
        1 => Just(Step::Crash),
        1 => Just(Step::CleanStop),
    ]
}

/// What the log should hold: the batches' first offsets and values, and the producer's next sequence number.
#[derive(Debug, Default)]
struct Model {
    batches: Vec<(i64, Vec<Vec<u8>>)>,
    start: i64,
    sequences: Vec<i32>,
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(self.start, |(base, values)| base + values.len() as i64)
    }

    fn records_from(&self, offset: i64) -> Vec<(i64, Vec<u8>)> {
        let of_batch = |(base, values): &(i64, Vec<Vec<u8>>)| (*base..).zip(values.clone()).collect::<Vec<_>>();
        self.batches.iter().flat_map(of_batch).filter(|(at, _)| *at >= offset).collect()
    }

    fn next_sequence(&self) -> i32 {
        self.sequences.last().copied().unwrap_or(0)
    }
}

struct Run {
    disk: Disk,
    running: Option<(LogDir, Log)>,
    model: Model,
    appended: u8,
}

impl Run {
    fn log(&mut self) -> &mut Log {
        &mut self.running.as_mut().unwrap().1
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Append { count, size, codec } => self.append(*count, *size, *codec),
            Step::Duplicate => self.duplicate(),
            Step::Read { at, max_bytes } => self.read(*at, *max_bytes),
            Step::Truncate(at) => {
                let at = at.index(self.model.batches.len() + 1);
                let offset = self.model.batches.get(at).map_or(self.model.end(), |(base, _)| *base);
                if offset >= self.model.start {
                    self.log().truncate_to(offset, super::at(0)).unwrap();
                    self.model.batches.truncate(at);
                    self.model.sequences.truncate(at);
                }
            }
            Step::RaiseStart(at) => {
                let offset = self.model.start + at.index((self.model.end() - self.model.start + 1) as usize) as i64;
                self.log().increment_log_start_offset(offset).unwrap();
                self.log().delete_old_segments(offset, super::at(0)).unwrap();
                self.model.start = self.model.start.max(offset);
                let (dir, log) = self.running.as_ref().unwrap();
                dir.write_checkpoints(&[checkpoint_of(log)]).unwrap();
            }
            Step::Flush => {
                if let Some(task) = self.log().flush_task().unwrap() {
                    let flushed = task.run().unwrap();
                    self.log().flushed(flushed, super::at(0));
                }
                let (dir, log) = self.running.as_ref().unwrap();
                dir.write_checkpoints(&[checkpoint_of(log)]).unwrap();
            }
            Step::Crash => self.running = self.running.take().map(|running| self.disk.restart_after_crash(running)),
            Step::CleanStop => self.running = self.running.take().map(|running| self.disk.restart_cleanly(running)),
        }
        let (start, end) = (self.model.start, self.model.end());
        assert_eq!((self.log().log_start_offset(), self.log().log_end_offset()), (start, end), "after {step:?}");
    }

    fn records(&mut self, count: usize, size: usize, codec: u8, sequence: i32) -> (Bytes, Vec<Vec<u8>>) {
        self.appended = self.appended.wrapping_add(1);
        let values = vec![vec![self.appended; size]; count];
        let mut builder = BatchBuilder::new(START_MS + i64::from(self.appended));
        builder.producer(3, 0, sequence).compression(Compression::from_id(codec).unwrap());
        for value in &values {
            builder.record(None, Some(value));
        }
        (builder.build(), values)
    }

    fn append(&mut self, count: usize, size: usize, codec: u8) {
        let sequence = self.model.next_sequence();
        let (records, values) = self.records(count, size, codec, sequence);
        let info = append(self.log(), &records);
        assert_eq!(info.first_offset, self.model.end());
        self.model.batches.push((info.first_offset, values));
        self.model.sequences.push(sequence + count as i32);
    }

    /// The last batch once more, unless retention or truncation may have made the log forget it.
    fn duplicate(&mut self) {
        let Some((base, values)) = self.model.batches.last().cloned() else { return };
        let count = values.len();
        if base < self.model.start {
            return;
        }
        let (records, _) = self.records(count, 1, 0, self.model.next_sequence() - count as i32);
        let info = append(self.log(), &records);
        assert_eq!((info.first_offset, info.duplicate), (base, true));
    }

    fn read(&mut self, at: prop::sample::Index, max_bytes: usize) {
        let (start, end) = (self.model.start, self.model.end());
        let offset = start + at.index((end - start + 1) as usize) as i64;
        let mut read = Vec::new();
        for batch in read_all(self.log(), offset, max_bytes) {
            batch.verify_crc().unwrap();
            read.extend(batch.records(1 << 20).unwrap().map(Result::unwrap));
        }
        let read = read.into_iter().filter(|record| record.offset >= offset);
        let read: Vec<_> = read.map(|record| (record.offset, record.value.unwrap().to_vec())).collect();
        assert_eq!(read, self.model.records_from(offset));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_log_is_a_list_of_records(steps in proptest::collection::vec(step(), 1..60)) {
        let disk = Disk::new(small_segments());
        let running = Some(disk.create());
        let mut run = Run { disk, running, model: Model::default(), appended: 0 };
        for step in &steps {
            run.apply(step);
        }
        run.apply(&Step::CleanStop);
    }
}
