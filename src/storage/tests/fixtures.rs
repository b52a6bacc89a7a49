//! Data directories that Apache Kafka 4.1 wrote: one stopped cleanly, one killed with a torn tail.

use super::*;
use crate::unpack;

/// `record TOPIC PARTITION OFFSET TIMESTAMP KEY VALUE`, as in the list of what was produced.
fn lines_of(log: &Log) -> Vec<String> {
    let text = |bytes: Option<Bytes>| bytes.map_or("-".into(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
    let topic_partition = log.topic_partition();
    let (topic, partition) = (&topic_partition.topic, topic_partition.partition);
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let mut lines = vec![format!("partition {topic} {partition} {start} {end}")];
    for batch in read_all(log, start, 100_000).into_iter().filter(|batch| !batch.header.is_control()) {
        batch.verify_crc().unwrap();
        for record in batch.records(1 << 24).unwrap().map(Result::unwrap).filter(|record| record.offset >= start) {
            let (offset, timestamp) = (record.offset, record.timestamp);
            let (key, value) = (text(record.key), text(record.value));
            lines.push(format!("record {topic} {partition} {offset} {timestamp} {key} {value}"));
        }
    }
    lines
}

#[test]
fn a_directory_of_kafka_is_opened_recovered_and_continued() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let expected = std::fs::read_to_string(fixtures.join("kafka-4.1-data.expected.txt")).unwrap();
    for (name, section) in ["clean", "killed"].into_iter().zip(expected.split("\ndirectory ").skip(1)) {
        assert!(section.starts_with(name));
        let dir = tempfile::tempdir().unwrap();
        let archive = fixtures.join(format!("kafka-4.1-data.{name}.tar.gz"));
        unpack::unpack(&archive, dir.path());
        let options = LogDirOptions { node_id: 1, cluster_id: None, max_open_files: 4, delete_delay: DELETE_DELAY };
        let log_dir = LogDir::open(dir.path(), &options).unwrap();
        assert_eq!(log_dir.had_clean_shutdown(), name == "clean");
        let mut loaded = load(&log_dir, &LogConfig::default()).unwrap();
        assert!(loaded.iter().all(|loaded| !loaded.topic_id.is_nil()));
        // The killed broker had not yet saved the log start offset of `trimmed`: it would begin at 0 again itself.
        let is_told = |topic: &str| !topic.starts_with("__") && (name == "clean" || topic != "trimmed");
        loaded.retain(|loaded| is_told(&loaded.topic_partition.topic));
        let mut found: Vec<_> = loaded.iter().flat_map(|loaded| lines_of(&loaded.log)).collect();
        let wanted = section.lines().skip(1).filter(|line| {
            let mut words = line.split(' ');
            words.next().is_some_and(|word| matches!(word, "partition" | "record")) && words.next().is_some_and(is_told)
        });
        let mut wanted: Vec<_> = wanted.map(str::to_owned).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{name}");
        for LoadedLog { log, .. } in &mut loaded {
            let end = log.log_end_offset();
            let epoch = log.latest_epoch().unwrap();
            let info = log.append_as_leader(&batch(1, 1, 0), epoch + 1, AppendOrigin::Client, at(0)).unwrap();
            assert_eq!((info.first_offset, log.end_offset_for_epoch(epoch)), (end, Some((epoch, end))));
        }
    }
}
