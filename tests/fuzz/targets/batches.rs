//! Any bytes as record batches: parsed, iterated, decompressed, validated, appended and read back.
//!
//! The first byte says whether checksums are mended, and to a topic of which settings they are appended; the rest are the
//! batches.

#![no_main]

use bytes::Bytes;
use klamm::ids::Uuid;
use klamm::protocol::compression::{Compression, decompress};
use klamm::protocol::record_batch::{TimestampType, batches};
use klamm::storage::{AppendOrigin, CompressionType, Log, LogConfig, LogDir};
use klamm_fuzz::files::mend_batches;
use klamm_fuzz::log::{now, orders};
use libfuzzer_sys::fuzz_target;

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// What a batch may decompress to.
const LIMIT: usize = 256 * 1024;

fuzz_target!(|input: &[u8]| {
    let Some((&flags, records)) = input.split_first() else { return };
    let mut records = records.to_vec();
    if flags & 1 != 0 {
        mend_batches(&mut records);
    }
    let records = Bytes::from(records);
    iterate(&records);
    for codec in CODECS {
        if let Ok(content) = decompress(codec, &records, LIMIT) {
            assert!(content.len() <= LIMIT, "{codec:?} gave {} bytes", content.len());
        }
    }
    append(&records, flags >> 1);
});

/// Reads every record of every batch; each takes some of the batch's bytes.
fn iterate(records: &Bytes) {
    let mut size = 0;
    for batch in batches(records).map_while(Result::ok) {
        size += batch.bytes.len();
        let _ = batch.verify_crc();
        if let Ok(records) = batch.records(LIMIT) {
            let most = records.payload().len() + 1;
            assert!(records.count() <= most, "more records than bytes");
        }
    }
    assert!(size <= records.len());
}

/// What the leader takes can be read, and a follower takes it, too.
fn append(records: &Bytes, flags: u8) {
    let mut leader = log(flags);
    if let Ok(info) = leader.append_as_leader(records, 3, AppendOrigin::Client, now()) {
        assert_eq!((info.first_offset, leader.log_end_offset()), (0, info.last_offset + 1));
        let written = read(&leader);
        let batch = batches(&written).next().expect("a batch was written").expect("it is whole");
        batch.verify_crc().expect("its checksum is right");
        assert_eq!((batch.bytes.len(), batch.header.partition_leader_epoch), (written.len(), 3));
        let mut follower = log(PRODUCERS_CODEC);
        let info = follower.append_as_follower(&written, i32::MAX, now()).expect("a follower takes what the leader took");
        assert_eq!((info.last_offset + 1, read(&follower)), (leader.log_end_offset(), written));
    }
    let mut follower = log(flags);
    if follower.append_as_follower(records, i32::MAX, now()).is_ok() {
        assert!(records.starts_with(&read(&follower)));
        let _ = follower.offset_for_timestamp(0);
        let _ = follower.offset_of_max_timestamp();
    }
}

/// The flag of a topic whose batches stay compressed as they are.
const PRODUCERS_CODEC: u8 = 7;

/// An empty log in memory of a topic whose settings the flags choose.
fn log(flags: u8) -> Log {
    let codec = CODECS.get(usize::from(flags & 7)).copied();
    let config = LogConfig {
        max_message_bytes: 64 * 1024,
        compression_type: codec.map_or(CompressionType::Producer, CompressionType::Codec),
        message_timestamp_type: if flags & 8 == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime },
        compact: flags & 16 != 0,
        message_timestamp_before_max_ms: if flags & 32 == 0 { i64::MAX } else { 1000 },
        ..LogConfig::default()
    };
    LogDir::memory().create_log(&orders(), Uuid::from_u128(5), config, now()).expect("memory needs no disk")
}

fn read(log: &Log) -> Bytes {
    let slice = log.read(log.log_start_offset(), usize::MAX, i64::MAX, true).expect("the log start offset is readable");
    slice.read_blocking().expect("memory can be read")
}
