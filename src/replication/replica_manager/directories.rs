//! What is asked of the log directories themselves.

use super::ReplicaManager;
use crate::protocol::ErrorCode;
use crate::storage::LogDir;

impl ReplicaManager {
    pub(super) fn log_dir(&self) -> &LogDir {
        self.log_dirs.next()
    }

    /// The absolute path of the log directory; `None` in memory mode.
    pub fn log_dir_path(&self) -> Option<String> {
        let path = self.log_dir().path()?;
        Some(std::path::absolute(path).as_deref().unwrap_or(path).display().to_string())
    }

    /// Whether the log directory has failed.
    pub fn is_log_dir_offline(&self) -> bool {
        self.log_dir().is_offline()
    }

    /// The total and the usable bytes of the volume of the log directory; `None` in memory mode. May wait for the volume.
    ///
    /// Errors: [`ErrorCode::KafkaStorageError`] where the directory is offline or its volume does not answer.
    pub fn log_dir_space(&self) -> Result<Option<(i64, i64)>, ErrorCode> {
        if self.is_log_dir_offline() {
            return Err(ErrorCode::KafkaStorageError);
        }
        let space = self.log_dir().space().map_err(|error| {
            tracing::warn!(%error, "the log directory cannot be described");
            ErrorCode::KafkaStorageError
        })?;
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok(space.map(|(total, usable)| (bytes(total), bytes(usable))))
    }
}
