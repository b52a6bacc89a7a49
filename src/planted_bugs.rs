//! Bugs that are planted on purpose, by which `compat-tests/consistency` is checked: each must turn its run red.
//!
//! A checker that has only ever seen a broker that is right proves nothing. `compat-tests/consistency/planted_bugs.py`
//! builds with the feature `planted-bugs`, which no release has, and starts brokers with the name of a bug in the variable
//! `KLAMM_PLANTED_BUG`. Without the feature nothing is planted, the compiler knows it, and no variable is read.

/// One bug; each is planted where its name is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlantedBug {
    /// One batch of some is acknowledged, and never written.
    AcknowledgeUnwritten,
    /// A producer's sequence numbers are not looked at: what is sent again is written again.
    SkipDeduplication,
    /// Who reads what is committed reads up to the high watermark.
    ExposeUndecided,
    /// A fetch that has waited for records does not tell which transactions among them are aborted.
    ForgetAborted,
    /// A group coordinator that was loaded is a few records behind what was committed.
    RewindCommitted,
    /// A producer that takes a transactional id over gets the epoch of the one before it.
    KeepEpoch,
    /// A start after a crash cuts a replica to the high watermark that was last written down.
    TruncateByHighWatermark,
}

/// Whether a bug is planted: none is.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is_planted(_bug: PlantedBug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub(crate) use planted::{check_name, is_planted};

#[cfg(feature = "planted-bugs")]
mod planted {
    use super::PlantedBug;

    /// What says which bug is planted; without it, none is.
    const VARIABLE: &str = "KLAMM_PLANTED_BUG";

    const NAMES: &[(&str, PlantedBug)] = &[
        ("acknowledge-unwritten", PlantedBug::AcknowledgeUnwritten),
        ("skip-deduplication", PlantedBug::SkipDeduplication),
        ("expose-undecided", PlantedBug::ExposeUndecided),
        ("forget-aborted", PlantedBug::ForgetAborted),
        ("rewind-committed", PlantedBug::RewindCommitted),
        ("keep-epoch", PlantedBug::KeepEpoch),
        ("truncate-by-high-watermark", PlantedBug::TruncateByHighWatermark),
    ];

    /// Whether this bug is planted. A broker holds nothing static, so the variable is read each time.
    pub(crate) fn is_planted(bug: PlantedBug) -> bool {
        std::env::var(VARIABLE).is_ok_and(|name| bug_of(&name) == Some(bug))
    }

    /// Refuses a name that no bug has: a run would take it for a broker that is right.
    ///
    /// Errors: what is wrong, for people.
    pub(crate) fn check_name() -> Result<(), String> {
        let Some(name) = std::env::var_os(VARIABLE) else { return Ok(()) };
        let name = name.to_string_lossy();
        if bug_of(&name).is_some() {
            tracing::warn!(%name, "a bug is planted in this broker");
            return Ok(());
        }
        let known: Vec<_> = NAMES.iter().map(|(known, _)| *known).collect();
        Err(format!("{VARIABLE} is {name:?}, and the bugs are {}", known.join(", ")))
    }

    fn bug_of(name: &str) -> Option<PlantedBug> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, bug)| *bug)
    }
}
