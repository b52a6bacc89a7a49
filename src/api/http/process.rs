//! What the system tells of this process. What it does not tell, as on other systems than Linux, has no series.

use std::fs;
use std::time::Duration;

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::metrics::{Exposition, Metric};

/// Tells of memory, processor time and descriptors.
pub(super) fn add(exposition: &mut Exposition) {
    if let Some(bytes) = resident_memory() {
        exposition.add(Metric::ResidentMemory, &[], bytes);
    }
    let worked = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
    exposition.add(Metric::CpuSeconds, &[], worked.as_secs_f64());
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself, which was opened to be counted.
        exposition.add(Metric::OpenFds, &[], open.count().saturating_sub(1));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        exposition.add(Metric::MaxFds, &[], most);
    }
}

/// Bytes: the second number of `/proc/self/statm`, which is pages.
fn resident_memory() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(page_size() as u64)
}
