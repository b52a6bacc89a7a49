//! From a partition's directory to its log: finishes what a crash interrupted, checks what may not have reached the
//! disk, and rebuilds what is derived.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use super::aborted_transactions::{AbortedTransactions, CheckedSegments};
use super::dir_state::{CountedLog, DirState};
use super::holes::{self, Verdict};
use super::leader_epoch::{self, LeaderEpochs};
use super::load_request::LoadRequest;
use super::log::Log;
use super::log_file::LogFile;
use super::log_place::LogPlace;
use super::producer_snapshot::ProducerSnapshots;
use super::producer_state::ProducerState;
use super::segment::Segment;
use super::segment_tail::holds_gap;
use super::{LogConfig, StorageError, files};
use crate::planted_bugs::{PlantedBug, is_planted};
use crate::protocol::record_batch::BatchHeader;

/// What is derived from the batches, as far as it had to be.
#[derive(Default)]
struct Derived {
    epochs: LeaderEpochs,
    /// Whose transaction indexes say nothing.
    checked: CheckedSegments,
}

impl Derived {
    /// Takes in a batch of a segment that is checked.
    fn note(&mut self, base_offset: i64, header: &BatchHeader) {
        self.epochs.correct(header);
        *self.checked.entry(base_offset).or_default() |= header.is_control();
    }
}

/// Loads a log, and adds the bytes that it has checked to `checked`. Loading the same directory again, also after a crash
/// in the middle of this, gives the same log.
pub(super) fn load(mut request: LoadRequest, checked: &AtomicU64) -> Result<Log, StorageError> {
    let names = finish_interrupted(&request)?;
    let mut segments = list_segments(&request, &names)?;
    remove_overgrown(&request, &mut segments)?;
    let epochs_path = request.dir.join(leader_epoch::FILE_NAME);
    let saved_epochs = fs::read_to_string(&epochs_path).ok().and_then(|text| LeaderEpochs::from_text(&text));
    let mut derived = Derived { epochs: saved_epochs.clone().unwrap_or_default(), ..Derived::default() };
    request.check_start(&segments, saved_epochs.as_ref());
    let mut log_end_offset = recover(&request, &mut segments, &mut derived, checked)?;
    if log_end_offset < request.log_start_offset {
        distrust_checkpoint(&mut request, &segments, log_end_offset);
        if segments.iter().all(|segment| segment.size() == 0) {
            remove_segments(segments.drain(..))?;
            derived = Derived::default();
            log_end_offset = request.log_start_offset;
        }
    }
    request.check_end(log_end_offset);
    if segments.is_empty() {
        let now_ms = request.now.timestamp_ms;
        segments.push(Segment::new(
            Some((&request.dir, &request.state)),
            request.log_start_offset,
            &request.config,
            now_ms,
        ));
    }
    if saved_epochs.is_none() {
        rebuild_epochs(&segments, &mut derived.epochs);
    }
    let LoadRequest { high_watermark, had_clean_shutdown, now, .. } = request;
    let mut log = finish(request, &names, segments, derived, saved_epochs, log_end_offset)?;
    if is_planted(PlantedBug::TruncateByHighWatermark) && !had_clean_shutdown {
        log.truncate_to(high_watermark, now)?;
    }
    Ok(log)
}

/// Decides about a checkpoint by which the log starts beyond its end. A log without records begins there, as in Kafka.
///
/// Unlike Kafka, which removes records that lie before it, they are kept: the line may be a deleted topic's of the same
/// name, and records that come back do less harm than records that are lost. The recovery point is then as doubtful.
fn distrust_checkpoint(request: &mut LoadRequest, segments: &[Segment], log_end_offset: i64) {
    let Some(first) = segments.iter().find(|segment| segment.size() > 0) else { return };
    let (partition, log_start_offset) = (&request.topic_partition, request.log_start_offset);
    tracing::warn!(%partition, log_end_offset, log_start_offset,
        "the checkpointed log start offset lies beyond the log's end and is ignored");
    request.log_start_offset = first.base_offset();
    request.recovery_point = first.base_offset();
}

/// Puts the parts together. Of what the recovery has changed, the producers are written down; the epochs are before the
/// next append or flush.
fn finish(
    request: LoadRequest,
    names: &[String],
    segments: Vec<Segment>,
    Derived { epochs, checked }: Derived,
    saved_epochs: Option<LeaderEpochs>,
    log_end_offset: i64,
) -> Result<Log, StorageError> {
    let first_base = segments.first().map_or(0, Segment::base_offset);
    let recovery_point =
        if request.had_clean_shutdown { log_end_offset } else { request.recovery_point.min(log_end_offset) };
    let mut snapshots = ProducerSnapshots::new(&request.dir, names);
    let base_offsets: BTreeSet<_> = segments.iter().map(Segment::base_offset).collect();
    snapshots.remove_strays(&base_offsets)?;
    let aborted = AbortedTransactions::load(&request.dir, &segments, log_end_offset, &snapshots, &checked);
    let aborted = request.state.observe(aborted)?;
    let place = LogPlace {
        dir: request.dir,
        _counted: CountedLog::of(&request.state),
        state: request.state,
        snapshots,
        written_epochs: saved_epochs.unwrap_or_default(),
        dir_changes: u64::from(!request.had_clean_shutdown),
        synced_dir_changes: 0,
    };
    let mut log = Log {
        topic_partition: request.topic_partition,
        topic_id: request.topic_id,
        config: Arc::new(request.config),
        place: Some(place),
        decompressors: request.decompressors,
        segments,
        log_start_offset: request.log_start_offset.max(first_base),
        log_end_offset,
        recovery_point,
        producers: ProducerState::default(),
        epochs,
        last_append_ms: 0,
        last_flush: request.now.monotonic,
        aborted,
        truncations: 0,
        deleted_files: Vec::new(),
        cleaner_offset: request.cleaner_offset,
        pending_swap: None,
    };
    // Unlike Kafka, which does it the other way round: an epoch whose records are all gone is forgotten by this start and
    // not by the next one.
    log.epochs.truncate_from_start(log.log_start_offset);
    log.epochs.truncate_from_end(log_end_offset);
    if !request.had_clean_shutdown {
        // Whoever has written them did not come to sync them; the next flush does.
        let first_unsynced = log.segment_index(log.recovery_point);
        log.segments.iter().skip(first_unsynced).filter_map(Segment::file).for_each(|file| file.mark_unsynced());
    }
    log.reload_producers(request.now)?;
    if let (Some(place), false) = (&mut log.place, request.had_clean_shutdown) {
        place.snapshots.take(log.log_end_offset, &log.producers)?;
    }
    Ok(log)
}

/// Removes the files of finished deletions and unfinished cleanings, and finishes a swap: `.swap` files are complete,
/// and replace all segments in their range of offsets (KAFKA-6264, KAFKA-12520). Returns the files that remain.
fn finish_interrupted(request: &LoadRequest) -> Result<Vec<String>, StorageError> {
    let LoadRequest { dir, state, config, .. } = request;
    let names = files::file_names(dir)?;
    let of_kind = |suffix: &str| names.iter().filter(|name| name.ends_with(suffix)).cloned().collect::<Vec<_>>();
    let (cleaned, mut swaps) = (of_kind(files::CLEANED_SUFFIX), of_kind(files::SWAP_SUFFIX));
    let doomed = [of_kind(files::DELETED_SUFFIX), of_kind(".tmp")].concat();
    if doomed.is_empty() && cleaned.is_empty() && swaps.is_empty() {
        return Ok(names);
    }
    // A swap at or behind a cleaned file is part of a split that did not complete.
    let first_cleaned = cleaned.iter().filter_map(|name| leading_offset(name)).min().unwrap_or(i64::MAX);
    let incomplete = swaps.extract_if(.., |name| leading_offset(name).is_none_or(|offset| offset >= first_cleaned));
    let incomplete: Vec<_> = incomplete.collect();
    for name in doomed.iter().chain(&incomplete).chain(&cleaned) {
        files::remove_if_exists(&dir.join(name))?;
    }
    if let Some((start, end)) = swapped_range(dir, state, &swaps, config)? {
        let is_replaced = |name: &&String| {
            !name.ends_with(files::SWAP_SUFFIX)
                && leading_offset(name).is_some_and(|offset| offset >= start && offset < end)
        };
        for name in names.iter().filter(is_replaced) {
            files::remove_if_exists(&dir.join(name))?;
        }
    }
    for name in &swaps {
        let target = name.trim_end_matches(files::SWAP_SUFFIX);
        files::rename_if_exists(&dir.join(name), &dir.join(target))?;
    }
    files::file_names(dir)
}

/// The offsets that the `.log.swap` files cover.
fn swapped_range(
    dir: &Path,
    state: &Arc<DirState>,
    swaps: &[String],
    config: &LogConfig,
) -> Result<Option<(i64, i64)>, StorageError> {
    let mut range = None;
    for name in swaps {
        let Some(base_offset) =
            name.strip_suffix(files::SWAP_SUFFIX).and_then(|name| files::offset_of(name, files::LOG_SUFFIX))
        else {
            continue;
        };
        let path = dir.join(name);
        let size = fs::metadata(&path).map_err(StorageError::io("cannot read", &path))?.len();
        let file = LogFile::existing(path, Arc::clone(state));
        let segment = Segment::existing_file(file, base_offset, size, 0, config);
        let next_offset = segment.scan_next_offset();
        let (start, end) = range.unwrap_or((base_offset, next_offset));
        range = Some((start.min(base_offset), end.max(next_offset)));
    }
    Ok(range)
}

/// The 20 digits at the front of a file's name.
fn leading_offset(name: &str) -> Option<i64> {
    files::offset_of(name.get(..20)?, "")
}

/// The segments, without their indexes; removes index files that belong to none.
fn list_segments(request: &LoadRequest, names: &[String]) -> Result<Vec<Segment>, StorageError> {
    let mut segments = Vec::new();
    let mut base_offsets = BTreeSet::new();
    for base_offset in names.iter().filter_map(|name| files::offset_of(name, files::LOG_SUFFIX)) {
        let path = files::offset_file(&request.dir, base_offset, files::LOG_SUFFIX);
        let metadata = fs::metadata(&path).map_err(StorageError::io("cannot read", &path))?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ms = modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let file = LogFile::existing(path, Arc::clone(&request.state));
        segments.push(Segment::existing_file(file, base_offset, metadata.len(), modified_ms, &request.config));
        base_offsets.insert(base_offset);
    }
    for name in names {
        let index_offset = files::SEGMENT_SUFFIXES.iter().find_map(|suffix| files::offset_of(name, suffix));
        if index_offset.is_some_and(|offset| !base_offsets.contains(&offset)) {
            files::remove_if_exists(&request.dir.join(name))?;
        }
    }
    Ok(segments)
}

/// Removes the empty segments that the one before has grown past: they are from rolls that failed, and the valid
/// batches beyond them would count as an invalid tail.
fn remove_overgrown(request: &LoadRequest, segments: &mut Vec<Segment>) -> Result<(), StorageError> {
    let mut index = 1;
    while let Some(segment) = segments.get(index) {
        let base_offset = segment.base_offset();
        let mut earlier = segments.iter().take(index).rev();
        let is_overgrown = segment.size() == 0
            && earlier.find(|segment| segment.size() > 0).is_some_and(|filled| filled.scan_next_offset() > base_offset);
        if is_overgrown {
            let partition = &request.topic_partition;
            tracing::warn!(%partition, base_offset, "an empty segment amid the log is removed");
            remove_segments(segments.drain(index..=index))?;
        } else {
            index += 1;
        }
    }
    Ok(())
}

/// Opens the indexes of the segments that are on the disk for certain, checks the others batch by batch, and returns
/// the log end offset. What the first invalid batch means is [`holes::judge`]'s to say.
///
/// Unlike Kafka, which reads the segment that holds the recovery point whole, this passes over the records below it: they are
/// as certain as those of earlier segments, and of them only the headers are read.
fn recover(
    request: &LoadRequest,
    segments: &mut Vec<Segment>,
    derived: &mut Derived,
    checked: &AtomicU64,
) -> Result<i64, StorageError> {
    let holds_recovery_point =
        segments.partition_point(|segment| segment.base_offset() <= request.recovery_point).saturating_sub(1);
    let first_unflushed = if request.had_clean_shutdown { segments.len() } else { holds_recovery_point };
    let mut log_end_offset = request.log_start_offset;
    let mut index = 0;
    while index < segments.len() {
        let next_base = segments.get(index + 1).map(Segment::base_offset);
        let Some(segment) = segments.get_mut(index) else { break };
        index += 1;
        if index <= first_unflushed {
            match open(segment, next_base.is_none(), &mut derived.checked) {
                Ok(next_offset) => {
                    log_end_offset = next_offset;
                    request.check_tail(segment, next_base);
                    continue;
                }
                Err(error) if next_base.is_some() => return Err(error),
                Err(error) => tracing::warn!(%error, "the last segment is recovered although the last stop was clean"),
            }
        }
        let (base_offset, mut is_compacted) = (segment.base_offset(), request.is_compacted());
        let mut expected = base_offset;
        derived.checked.insert(base_offset, false);
        let mut visit = |header: &BatchHeader| {
            derived.note(base_offset, header);
            // Whatever the topic says today: a gap amid the batches is compaction's.
            is_compacted |= holds_gap(header, expected);
            expected = header.next_offset();
            checked.fetch_add(header.size_in_bytes() as u64, Ordering::Relaxed);
        };
        let recovery_point = request.recovery_point;
        let (next_offset, invalid) = segment.recover(recovery_point, next_base.unwrap_or(i64::MAX), &mut visit)?;
        log_end_offset = next_offset;
        match holes::judge(next_offset, invalid, next_base, recovery_point, is_compacted) {
            Verdict::Whole => {}
            Verdict::Cut => {
                if next_base.is_none() && next_offset < recovery_point {
                    request.keep_copy(segment, invalid)?;
                }
                let partition = &request.topic_partition;
                tracing::warn!(%partition, log_end_offset, bytes = invalid, "an invalid tail was cut off");
                segment.cut()?;
            }
            Verdict::GoOn => {
                segment.end_at(segment.size() + invalid);
                request.check_tail(segment, next_base);
            }
            Verdict::End => {
                let behind = segments.drain(index..).collect();
                let Some(segment) = segments.last_mut() else { break };
                request.end_log(segment, invalid, behind, next_offset)?;
                segment.cut()?;
                break;
            }
        }
        if next_base.is_some()
            && let Some(segment) = segments.get_mut(index - 1)
        {
            segment.seal()?;
        }
    }
    Ok(log_end_offset)
}

/// Opens the indexes of a segment whose batches need no check, rebuilding them if need be. For the last segment,
/// returns the offset behind its last batch.
fn open(segment: &mut Segment, is_last: bool, checked: &mut CheckedSegments) -> Result<i64, StorageError> {
    if is_last {
        if !segment.load_indexes() {
            checked.insert(segment.base_offset(), true);
            segment.rebuild_indexes();
        }
        return segment.prepare_append();
    }
    if !segment.open_indexes() {
        // Of a segment that compaction has emptied there is nothing to be indexed.
        if segment.size() > 0 {
            tracing::info!(base_offset = segment.base_offset(), "a segment's indexes are rebuilt");
        }
        checked.insert(segment.base_offset(), true);
        segment.rebuild_indexes();
        segment.seal()?;
    }
    Ok(segment.base_offset())
}

/// Finds where the epochs begin by reading all batches' headers: only when the checkpoint is missing or damaged.
fn rebuild_epochs(segments: &[Segment], epochs: &mut LeaderEpochs) {
    epochs.truncate_from_end(0);
    for segment in segments {
        let mut position = 0;
        while let Ok(Some(header)) = segment.header_at(position) {
            epochs.correct(&header);
            position += header.size_in_bytes() as u64;
        }
    }
}

fn remove_segments(segments: impl Iterator<Item = Segment>) -> Result<(), StorageError> {
    for segment in segments {
        files::remove_files(&segment.rename_to_deleted()?);
    }
    Ok(())
}
