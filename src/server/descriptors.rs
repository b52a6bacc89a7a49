//! The descriptors of the process: as many as the system allows, and who may have how many of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is left to everything but segments and connections, at most: the metadata log, indexes and checkpoints while they
/// are read or written, listeners, the runtime, HTTP.
const RESERVE: usize = 64;

/// Who may have how many of a process's descriptors. The rest is a reserve, so that neither many partitions nor many
/// clients keep the broker from its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) segments: usize,
    pub(super) connections: usize,
}

impl Shares {
    /// The shares of this process's limit, as it is now.
    pub(super) fn of_this_process() -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Self::of(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))
    }

    fn of(limit: usize) -> Self {
        let segments = limit / 2;
        let connections = limit - segments - RESERVE.min(limit / 3);
        Self { segments, connections }
    }
}

/// Raises the limit of open files, which is low for the sake of programs that call `select`, to what the process is
/// allowed; a limit that cannot be raised stays.
pub fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, ?current, ?maximum, "the limit of open files cannot be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_always_left() {
        assert_eq!(Shares::of(256), Shares { segments: 128, connections: 64 });
        assert_eq!(Shares::of(1024), Shares { segments: 512, connections: 448 });
        assert_eq!(Shares::of(64), Shares { segments: 32, connections: 11 });
        for limit in [1, 16, 100, 20_000, usize::MAX] {
            let Shares { segments, connections } = Shares::of(limit);
            assert!(segments + connections <= limit && (limit < 16 || segments + connections < limit), "{limit}");
        }
    }
}
