//! A metadata log, opened and closed in a time that passes only when nothing else happens.

use std::path::Path;
use std::sync::Arc;

use klamm::metadata::{MetadataImage, MetadataRecord};
use klamm::quorum::{MetadataQuorum, QuorumError, QuorumOptions};

/// Opens the metadata log of node 1 in `dir`, proposes `records` unless there are none, and stops; returns the image.
/// A log that never comes to have a leader is given up after the quorum's own time, without waiting for it.
pub fn open_and_stop(dir: &Path, records: Vec<MetadataRecord>) -> Result<Arc<MetadataImage>, QuorumError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime can be made").block_on(async {
        let mut options = QuorumOptions::new(1, Some(dir.to_path_buf()));
        options.entries_between_snapshots = 4;
        let quorum = MetadataQuorum::open(options).await?;
        if !records.is_empty() {
            for record in records {
                quorum.propose(vec![record]).await.expect("a quorum of one takes records");
            }
        }
        let image = quorum.image();
        quorum.shutdown().await;
        Ok(image)
    })
}
