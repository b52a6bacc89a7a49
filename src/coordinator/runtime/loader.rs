//! What the log remembers becomes a machine.

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::actor::Actor;
use crate::coordinator::machine::CoordinatorMachine;
use crate::protocol::record_batch::batches;
use crate::replication::hosted_partition::ReadRequest;

/// Bytes of the log read at a time while loading.
const LOAD_CHUNK_BYTES: usize = 1 << 20;

/// The most that one batch of an internal topic may decompress to while loading.
const MAX_BATCH_BYTES: usize = 256 << 20;

impl<M: CoordinatorMachine> Actor<M> {
    /// Replays the partition on a thread of its own. `None` if `stop` comes first, or, with an ERROR, if the partition
    /// cannot be read and stays without a coordinator.
    pub(super) async fn load(mut self, stop: CancellationToken) -> Option<Self> {
        let load = tokio::task::spawn_blocking(move || match self.replay_log(&stop) {
            _ if stop.is_cancelled() => None,
            Ok(()) => {
                self.machine.loaded(self.clock.now());
                Some(self)
            }
            Err(reason) => {
                let partition = self.hosted.topic_partition();
                tracing::error!(%partition, %reason, "the coordinator's partition cannot be loaded");
                None
            }
        });
        load.await.ok().flatten()
    }

    /// Stops early, its work unfinished, once `stop` is cancelled.
    fn replay_log(&mut self, stop: &CancellationToken) -> Result<(), String> {
        let offsets = self.hosted.offsets(-1).map_err(|code| code.to_string())?;
        let mut fetch_offset = offsets.log_start_offset;
        while fetch_offset < offsets.high_watermark && !stop.is_cancelled() {
            let request = ReadRequest {
                fetch_offset,
                max_bytes: LOAD_CHUNK_BYTES,
                min_one: true,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                read_committed: false,
            };
            let read = self.hosted.read(&request).map_err(|code| code.to_string())?;
            let Some(slice) = read.records else { return Ok(()) };
            let bytes = slice.read_blocking().map_err(|error| error.to_string())?;
            let next = self.replay_bytes(&bytes, fetch_offset)?;
            if next == fetch_offset {
                return Err(format!("no whole batch at offset {fetch_offset}"));
            }
            fetch_offset = next;
        }
        Ok(())
    }

    /// Replays the whole batches in `bytes` from `start` on; answers the offset after them.
    fn replay_bytes(&mut self, bytes: &Bytes, start: i64) -> Result<i64, String> {
        let mut next = start;
        for batch in batches(bytes) {
            // The chunk may end within a batch, which the next one brings whole.
            let Ok(batch) = batch else { break };
            if batch.header.last_offset() < start {
                continue;
            }
            next = batch.header.next_offset();
            if batch.header.is_control() {
                continue;
            }
            for record in batch.records(MAX_BATCH_BYTES).map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                let Some(key) = record.key else { continue };
                match M::decode(&key, record.value.as_deref()) {
                    Ok(Some(known)) => self.machine.replay(&known),
                    Ok(None) => {}
                    Err(error) => {
                        let (partition, offset) = (self.hosted.topic_partition(), record.offset);
                        tracing::error!(%partition, offset, %error, "skipped a coordinator's record that cannot be read");
                    }
                }
            }
        }
        Ok(next)
    }
}
