//! Checkpoint files: one offset per partition, as text.
//!
//! A version line (0), the number of entries, then `topic partition offset` per line.

use std::collections::HashMap;
use std::path::Path;

use super::{StorageError, files};
use crate::ids::TopicPartition;

pub(super) const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
pub(super) const LOG_START_OFFSET_FILE: &str = "log-start-offset-checkpoint";
pub(super) const CLEANER_OFFSET_FILE: &str = "cleaner-offset-checkpoint";
pub(super) const HIGH_WATERMARK_FILE: &str = "replication-offset-checkpoint";

/// Replaces the checkpoint in `dir`, to survive a power loss; nothing is written when nothing has changed.
pub(super) fn write<'a>(
    dir: &Path,
    file_name: &str,
    entries: impl Iterator<Item = (&'a TopicPartition, i64)>,
) -> Result<(), StorageError> {
    let lines: Vec<_> = entries.map(|(tp, offset)| format!("{} {} {offset}\n", tp.topic, tp.partition)).collect();
    let text = format!("0\n{}\n{}", lines.len(), lines.concat());
    let path = dir.join(file_name);
    match std::fs::read(&path) {
        Ok(current) if current == text.as_bytes() => Ok(()),
        _ => files::replace_durably(&path, text.as_bytes()),
    }
}

/// What the four files say of a partition; 0 where they say nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnownOffsets {
    /// Everything before it was on the disk.
    pub recovery_point: i64,
    /// The first offset that could be read; 0 for most logs that nothing was deleted from.
    pub log_start_offset: i64,
    /// Everything before it was committed.
    pub high_watermark: i64,
    /// How far the log is clean; `None` when it was never compacted.
    pub cleaner_offset: Option<i64>,
}

/// Reads the four checkpoints in `dir`.
pub(super) fn read_all(dir: &Path) -> HashMap<TopicPartition, KnownOffsets> {
    let mut known: HashMap<TopicPartition, KnownOffsets> = HashMap::new();
    for (file_name, note) in [
        (RECOVERY_POINT_FILE, (|known, offset| known.recovery_point = offset) as fn(&mut KnownOffsets, i64)),
        (LOG_START_OFFSET_FILE, |known, offset| known.log_start_offset = offset),
        (HIGH_WATERMARK_FILE, |known, offset| known.high_watermark = offset),
        (CLEANER_OFFSET_FILE, |known, offset| known.cleaner_offset = Some(offset)),
    ] {
        for (topic_partition, offset) in read(dir, file_name) {
            note(known.entry(topic_partition).or_default(), offset.max(0));
        }
    }
    known
}

/// Reads a checkpoint. One that is missing or damaged counts as empty: every offset in it can be found again, by
/// reading more of the logs.
fn read(dir: &Path, file_name: &str) -> HashMap<TopicPartition, i64> {
    let path = dir.join(file_name);
    let Ok(text) = std::fs::read_to_string(&path) else { return HashMap::new() };
    if text.is_empty() {
        // Kafka makes the files empty, and fills them later.
        return HashMap::new();
    }
    parse(&text).unwrap_or_else(|| {
        tracing::warn!(path = %path.display(), "a damaged checkpoint is ignored");
        HashMap::new()
    })
}

fn parse(text: &str) -> Option<HashMap<TopicPartition, i64>> {
    let mut lines = text.lines();
    let count: usize = (lines.next()? == "0").then_some(lines.next()?)?.parse().ok()?;
    let entries: HashMap<_, _> = lines.map(parse_line).collect::<Option<_>>()?;
    (entries.len() == count).then_some(entries)
}

fn parse_line(line: &str) -> Option<(TopicPartition, i64)> {
    let mut words = line.split(' ');
    let (topic, partition, offset) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then(|| (TopicPartition::new(topic, partition), offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_and_a_damaged_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let entries = [(TopicPartition::new("orders", 0), 17), (TopicPartition::new("a.b-c", 12), 0)];
        write(dir.path(), "checkpoint", entries.iter().map(|(tp, offset)| (tp, *offset))).unwrap();
        let text = std::fs::read_to_string(dir.path().join("checkpoint")).unwrap();
        assert_eq!(text, "0\n2\norders 0 17\na.b-c 12 0\n");
        assert_eq!(read(dir.path(), "checkpoint"), HashMap::from(entries));
        for damaged in ["", "0\n", "1\n0\n", "0\n2\norders 0 17\n", "0\n1\norders 0\n", "0\n1\norders 0 17 1\n"] {
            std::fs::write(dir.path().join("checkpoint"), damaged).unwrap();
            assert!(read(dir.path(), "checkpoint").is_empty(), "{damaged}");
        }
        assert!(read(dir.path(), "missing").is_empty());
    }
}
