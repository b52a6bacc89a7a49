//! Loading many logs: some threads that take one after the other, and a line a second for whoever waits for them.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::load_request::LoadRequest;
use super::loader;
use super::log::Log;
use super::{StorageError, files};

/// How long a start is silent about what it does, and how often it then speaks.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// What the threads have done so far.
#[derive(Default)]
struct Progress {
    logs: AtomicUsize,
    bytes: AtomicU64,
}

/// Loads the logs by so many threads (`num.recovery.threads.per.data.dir`), and returns them in the order of `requests`.
/// The first error ends it; what was recovered until then stays recovered.
pub(super) fn load_all(requests: &[LoadRequest], threads: usize) -> Result<Vec<Log>, StorageError> {
    let (next, progress) = (AtomicUsize::new(0), Progress::default());
    let loaded = Mutex::new(Vec::with_capacity(requests.len()));
    let work = || {
        while let Some((index, request)) = take(requests, &next) {
            let log = loader::load(request.clone(), &progress.bytes);
            let failed = log.is_err();
            loaded.lock().unwrap_or_else(PoisonError::into_inner).push((index, log));
            progress.logs.fetch_add(1, Ordering::Relaxed);
            if failed {
                next.store(usize::MAX / 2, Ordering::Relaxed);
            }
        }
    };
    let threads = threads.clamp(1, requests.len().max(1));
    // A broker among others in one process may have a log of its own.
    let subscriber = tracing::dispatcher::get_default(Clone::clone);
    thread::scope(|scope| {
        let (done, all_done) = mpsc::channel::<()>();
        for _ in 1..threads {
            let (done, subscriber, work) = (done.clone(), &subscriber, &work);
            scope.spawn(move || {
                tracing::dispatcher::with_default(subscriber, work);
                drop(done);
            });
        }
        let (subscriber, work, reported) = (&subscriber, &work, (requests, &progress));
        scope.spawn(move || tracing::dispatcher::with_default(subscriber, || report(reported, &all_done)));
        work();
        drop(done);
    });
    let mut loaded = loaded.into_inner().unwrap_or_else(PoisonError::into_inner);
    loaded.sort_unstable_by_key(|(index, _)| *index);
    loaded.into_iter().map(|(_, log)| log).collect()
}

fn take<'a>(requests: &'a [LoadRequest], next: &AtomicUsize) -> Option<(usize, &'a LoadRequest)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, requests.get(index)?))
}

/// Says every second how far it is, until all is done.
fn report((requests, progress): (&[LoadRequest], &Progress), all_done: &mpsc::Receiver<()>) {
    let mut seconds = 0;
    let mut to_read = None;
    while all_done.recv_timeout(PROGRESS_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        seconds += PROGRESS_INTERVAL.as_secs();
        // Found out only now: most starts take no second.
        let total_bytes = *to_read.get_or_insert_with(|| requests.iter().map(unflushed_bytes).sum::<u64>());
        let (logs, bytes) = (progress.logs.load(Ordering::Relaxed), progress.bytes.load(Ordering::Relaxed));
        tracing::info!("{}", told(seconds, (logs, requests.len()), (bytes, total_bytes)));
    }
}

/// `loading logs: 12 of 100 partitions, 1.5 of 8.0 GB checked, about 13 s left`.
fn told(seconds: u64, (logs, all_logs): (usize, usize), (bytes, all_bytes): (u64, u64)) -> String {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let (done, all) = if all_bytes > 0 { (bytes, all_bytes) } else { (logs as u64, all_logs as u64) };
    let left = match done {
        0 => "time left not known yet".to_owned(),
        done => format!("about {} s left", all.saturating_sub(done).saturating_mul(seconds).div_ceil(done)),
    };
    format!(
        "loading logs: {logs} of {all_logs} partitions, {:.1} of {:.1} GB checked, {left}",
        gigabytes(bytes),
        gigabytes(all_bytes)
    )
}

/// The bytes of the segments that a recovery reads: those from the recovery point on.
fn unflushed_bytes(request: &LoadRequest) -> u64 {
    if request.had_clean_shutdown {
        return 0;
    }
    let names = files::file_names(&request.dir).unwrap_or_default();
    let base_offsets: Vec<_> = names.iter().filter_map(|name| files::offset_of(name, files::LOG_SUFFIX)).collect();
    let first = base_offsets.partition_point(|offset| *offset <= request.recovery_point).saturating_sub(1);
    let size = |offset: &i64| file_size(&files::offset_file(&request.dir, *offset, files::LOG_SUFFIX));
    base_offsets.iter().skip(first).map(size).sum()
}

fn file_size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_what_is_done() {
        assert_eq!(
            told(3, (12, 100), (1_500_000_000, 8_000_000_000)),
            "loading logs: 12 of 100 partitions, 1.5 of 8.0 GB checked, about 13 s left"
        );
        assert_eq!(
            told(1, (50, 200), (0, 0)),
            "loading logs: 50 of 200 partitions, 0.0 of 0.0 GB checked, about 3 s left"
        );
        assert!(told(1, (0, 1), (0, 9)).ends_with("time left not known yet"));
    }
}
