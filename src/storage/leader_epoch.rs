//! Where in the log each leadership began: `leader-epoch-checkpoint` (KIP-101).

use crate::ids::LeaderEpoch;
use crate::protocol::record_batch::BatchHeader;

/// The file's name in a partition's directory.
pub(super) const FILE_NAME: &str = "leader-epoch-checkpoint";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EpochEntry {
    pub(super) epoch: LeaderEpoch,
    pub(super) start_offset: i64,
}

/// The epochs whose records the log holds, and the current one; both numbers grow from entry to entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LeaderEpochs {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochs {
    /// Notes that `epoch` begins at `start_offset`. Entries in conflict with it go: they are from leaderships that
    /// left nothing, or nothing that stayed.
    pub(super) fn assign(&mut self, epoch: LeaderEpoch, start_offset: i64) {
        if epoch < 0 || start_offset < 0 {
            return;
        }
        if self.entries.last().is_some_and(|last| last.epoch == epoch && start_offset >= last.start_offset) {
            return;
        }
        while self.entries.last().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
    }

    /// Has the epochs agree with a batch that is in the log. Where they do already nothing changes, so that compaction,
    /// which takes an epoch's first records away, does not move its start.
    pub(super) fn correct(&mut self, header: &BatchHeader) {
        let (epoch, base_offset) = (header.partition_leader_epoch, header.base_offset);
        let agrees = |offset| self.epoch_for_offset(offset) == Some(epoch);
        if epoch < 0 || (agrees(base_offset) && agrees(header.last_offset())) {
            return;
        }
        self.entries.retain(|entry| entry.start_offset < base_offset && entry.epoch <= epoch);
        if self.latest() != Some(epoch) {
            self.entries.push(EpochEntry { epoch, start_offset: base_offset });
        }
    }

    pub(super) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|last| last.epoch)
    }

    /// Where the first epoch begins: the log's start, as long as that has records.
    pub(super) fn start_offset(&self) -> Option<i64> {
        self.entries.first().map(|first| first.start_offset)
    }

    /// The epoch under which `offset` was appended.
    pub(super) fn epoch_for_offset(&self, offset: i64) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|entry| entry.start_offset <= offset);
        self.entries.get(above.checked_sub(1)?).map(|entry| entry.epoch)
    }

    /// The largest known epoch not above `epoch`, and the offset at which the next one begins: up to there a follower
    /// or consumer of that epoch agrees with this log. `None` when that cannot be told (-1 and -1 on the wire).
    pub(super) fn end_offset_for(&self, epoch: LeaderEpoch, log_end_offset: i64) -> Option<(LeaderEpoch, i64)> {
        if epoch < 0 {
            return None;
        }
        if self.latest() == Some(epoch) {
            return Some((epoch, log_end_offset));
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end_offset = self.entries.get(above)?.start_offset;
        let floor = above.checked_sub(1).and_then(|index| self.entries.get(index));
        // An epoch older than all known ones is answered with itself: whatever it wrote is gone from here.
        Some((floor.map_or(epoch, |entry| entry.epoch), end_offset))
    }

    /// The epochs that begin before `end_offset`.
    pub(super) fn before(&self, end_offset: i64) -> &[EpochEntry] {
        let count = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        self.entries.get(..count).unwrap_or_default()
    }

    /// Forgets epochs that begin at `end_offset` or later.
    pub(super) fn truncate_from_end(&mut self, end_offset: i64) {
        self.entries.truncate(self.before(end_offset).len());
    }

    /// Forgets epochs that end before `start_offset`; the one in which it lies then begins there.
    pub(super) fn truncate_from_start(&mut self, start_offset: i64) {
        let above = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        if let Some(first) = above.checked_sub(1) {
            self.entries.drain(..first);
            if let Some(entry) = self.entries.first_mut() {
                entry.start_offset = start_offset;
            }
        }
    }

    /// The checkpoint file's text: a version, the number of entries, and one `epoch offset` per line.
    pub(super) fn to_text(&self) -> String {
        let lines = self.entries.iter().map(|entry| format!("{} {}\n", entry.epoch, entry.start_offset));
        format!("0\n{}\n{}", self.entries.len(), lines.collect::<String>())
    }

    /// Reads what [`LeaderEpochs::to_text`] wrote; `None` when it is anything else.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let count: usize = (lines.next()? == "0").then_some(lines.next()?)?.parse().ok()?;
        let entries: Vec<_> = lines.map(parse_entry).collect::<Option<_>>()?;
        let sorted = entries.is_sorted_by(|one, next| one.epoch < next.epoch && one.start_offset <= next.start_offset);
        (sorted && entries.len() == count).then_some(Self { entries })
    }
}

fn parse_entry(line: &str) -> Option<EpochEntry> {
    let (epoch, start_offset) = line.split_once(' ')?;
    Some(EpochEntry { epoch: epoch.parse().ok()?, start_offset: start_offset.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::record_batch::BatchBuilder;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let entry = |&(epoch, start_offset)| EpochEntry { epoch, start_offset };
        LeaderEpochs { entries: entries.iter().map(entry).collect() }
    }

    #[test]
    fn an_epoch_without_records_gives_way_to_the_next() {
        let mut cache = LeaderEpochs::default();
        for (epoch, start_offset) in [(1, 0), (2, 10), (3, 10), (3, 12), (-1, 5)] {
            cache.assign(epoch, start_offset);
        }
        assert_eq!(cache, epochs(&[(1, 0), (3, 10)]));
        cache.assign(3, 7);
        assert_eq!(cache, epochs(&[(1, 0), (3, 7)]));
    }

    #[test]
    fn batches_correct_what_contradicts_them() {
        let header = |partition_leader_epoch, base_offset| {
            let batch = BatchBuilder::new(0).record(None, None).record(None, None).build();
            BatchHeader { base_offset, partition_leader_epoch, ..BatchHeader::parse(&batch).unwrap() }
        };
        let corrected = |entries: &[(i32, i64)], batches: &[(i32, i64)]| {
            let mut cache = epochs(entries);
            for &(epoch, base_offset) in batches {
                cache.correct(&header(epoch, base_offset));
            }
            cache
        };
        let right = [(0, 0), (1, 8), (2, 16)];
        assert_eq!(corrected(&right, &[(0, 0), (1, 8), (1, 14), (2, 16), (-1, 18)]), epochs(&right));
        assert_eq!(corrected(&[], &[(0, 0), (1, 8), (1, 14), (2, 16)]), epochs(&right));
        assert_eq!(corrected(&[(0, 0), (1, 8), (2, 56)], &[(1, 8), (2, 16)]), epochs(&right), "a start too late");
        assert_eq!(corrected(&[(0, 0), (1, 8), (2, 12)], &[(1, 8), (1, 12)]), epochs(&right[..2]), "a start too early");
        assert_eq!(corrected(&[(1, 0), (2, 1)], &[(1, 0)]), epochs(&[(1, 0)]), "a start within a batch");
    }

    #[test]
    fn end_offsets_are_kafkas() {
        let cache = epochs(&[(2, 10), (4, 20), (5, 30)]);
        assert_eq!(cache.end_offset_for(-1, 99), None);
        assert_eq!(cache.end_offset_for(5, 99), Some((5, 99)));
        assert_eq!(cache.end_offset_for(6, 99), None);
        assert_eq!(cache.end_offset_for(4, 99), Some((4, 30)));
        assert_eq!(cache.end_offset_for(3, 99), Some((2, 20)));
        assert_eq!(cache.end_offset_for(1, 99), Some((1, 10)));
        assert_eq!(LeaderEpochs::default().end_offset_for(0, 5), None);
        assert_eq!([9, 10, 25, 30].map(|offset| cache.epoch_for_offset(offset)), [None, Some(2), Some(4), Some(5)]);
    }

    #[test]
    fn truncation_keeps_the_epoch_of_the_first_offset() {
        let mut cache = epochs(&[(2, 10), (4, 20), (5, 30)]);
        cache.truncate_from_start(5);
        cache.truncate_from_end(31);
        assert_eq!(cache, epochs(&[(2, 10), (4, 20), (5, 30)]));
        cache.truncate_from_end(30);
        cache.truncate_from_start(15);
        assert_eq!(cache, epochs(&[(2, 15), (4, 20)]));
        cache.truncate_from_start(25);
        assert_eq!(cache, epochs(&[(4, 25)]));
    }

    #[test]
    fn the_text_comes_back_and_damage_is_noticed() {
        let cache = epochs(&[(0, 0), (4, 20)]);
        assert_eq!(cache.to_text(), "0\n2\n0 0\n4 20\n");
        assert_eq!(LeaderEpochs::from_text(&cache.to_text()), Some(cache));
        for text in ["", "0\n", "1\n0\n", "0\n2\n0 0\n", "0\n1\nx 0\n", "0\n2\n4 20\n0 0\n"] {
            assert_eq!(LeaderEpochs::from_text(text), None, "{text}");
        }
    }
}
