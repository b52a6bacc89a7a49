//! What a move of a replica to another log directory does next (KIP-113; `ReplicaAlterLogDirsThread`). Pure.

use super::ownership::Owner;

/// Where a log begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogSpan {
    pub(super) log_start_offset: i64,
    pub(super) log_end_offset: i64,
}

/// What brings the future log nearer to the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MoveStep {
    /// Nothing in it is in the current log any more: it begins anew at this offset.
    StartAt(i64),
    /// The current log has lost what lies from this offset on.
    TruncateTo(i64),
    /// The records from this offset on are copied.
    Copy(i64),
    /// It has everything, and may take the place of the current log.
    Swap,
}

/// Decides by what the two logs have at one moment.
pub(super) fn next_step(current: LogSpan, future: LogSpan) -> MoveStep {
    let is_beside =
        future.log_end_offset < current.log_start_offset || current.log_end_offset < future.log_start_offset;
    if is_beside || future.log_start_offset > current.log_start_offset {
        MoveStep::StartAt(current.log_start_offset)
    } else if future.log_end_offset > current.log_end_offset {
        MoveStep::TruncateTo(current.log_end_offset)
    } else if future.log_end_offset < current.log_end_offset {
        MoveStep::Copy(future.log_end_offset)
    } else {
        MoveStep::Swap
    }
}

/// What a start makes of a future log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FutureFate {
    /// The move goes on.
    GoesOn,
    /// The crash was between the two renamings: it is the current log.
    TakesPlace,
    /// The current log may be in a directory that does not work: nothing can be said, and nothing is touched.
    Stays,
    /// There is no current log, and nothing says that this is a whole copy of it: a person may want its records.
    SetAside,
    /// Nobody wants it: it is a copy of a deleted topic's log, or, beside the current log, it cannot be told of which one.
    Deleted,
}

/// What is known of a future log and its surroundings when a broker starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct FoundMove<'a> {
    /// Whose it is.
    pub(super) owner: &'a Owner,
    /// Whether the partition's current log is in another directory.
    pub(super) has_current: bool,
    /// Whether a log of the partition, of the same topic, is among the deleted ones of another directory.
    pub(super) was_replaced: bool,
    /// Whether all log directories work.
    pub(super) all_work: bool,
}

/// Decides about a future log at a start.
pub(super) fn fate_of(found: FoundMove<'_>) -> FutureFate {
    let FoundMove { owner, has_current, was_replaced, all_work } = found;
    match (owner, has_current) {
        (Owner::Topic, true) => FutureFate::GoesOn,
        (Owner::Deleted, _) | (_, true) => FutureFate::Deleted,
        _ if !all_work => FutureFate::Stays,
        (Owner::Topic, false) if was_replaced => FutureFate::TakesPlace,
        _ => FutureFate::SetAside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(log_start_offset: i64, log_end_offset: i64) -> LogSpan {
        LogSpan { log_start_offset, log_end_offset }
    }

    #[test]
    fn each_step_follows_from_where_the_logs_begin_and_end() {
        for (current, future, step) in [
            (span(0, 0), span(0, 0), MoveStep::Swap),
            (span(0, 9), span(0, 0), MoveStep::Copy(0)),
            (span(0, 9), span(0, 5), MoveStep::Copy(5)),
            (span(0, 9), span(0, 9), MoveStep::Swap),
            // A new future log of one whose first records are gone.
            (span(4, 9), span(0, 0), MoveStep::StartAt(4)),
            (span(4, 4), span(0, 0), MoveStep::StartAt(4)),
            (span(4, 9), span(4, 4), MoveStep::Copy(4)),
            // Retention was faster, or has taken what was copied.
            (span(6, 9), span(0, 5), MoveStep::StartAt(6)),
            (span(5, 9), span(0, 5), MoveStep::Copy(5)),
            (span(4, 9), span(0, 9), MoveStep::Swap),
            (span(9, 9), span(0, 9), MoveStep::Swap),
            // A crash has taken the current log's end.
            (span(0, 7), span(0, 9), MoveStep::TruncateTo(7)),
            (span(0, 3), span(4, 9), MoveStep::StartAt(0)),
            (span(0, 9), span(4, 9), MoveStep::StartAt(0)),
        ] {
            assert_eq!(next_step(current, future), step, "{current:?} {future:?}");
        }
    }

    /// Does what is decided, on spans alone.
    fn run(mut current: LogSpan, mut future: LogSpan, mut disturb: impl FnMut(usize, &mut LogSpan)) -> usize {
        for steps in 0.. {
            match next_step(current, future) {
                MoveStep::Swap => return steps,
                MoveStep::StartAt(offset) => future = span(offset, offset),
                MoveStep::TruncateTo(offset) => future.log_end_offset = offset,
                MoveStep::Copy(offset) => future.log_end_offset = (offset + 2).min(current.log_end_offset),
            }
            disturb(steps, &mut current);
            assert!(steps < 1_000, "{current:?} {future:?}");
        }
        unreachable!()
    }

    #[test]
    fn every_move_comes_to_its_end_whatever_the_current_log_does() {
        for seed in 0..500_u64 {
            let random = |salt: u64, below: i64| {
                let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd134_2543_de82_ef95);
                ((mixed >> 33) as i64) % below
            };
            let current = span(random(1, 20), 20 + random(2, 20));
            let future = span(random(3, 30), 30 + random(4, 30));
            run(current, future, |step, current| {
                // As long as it is disturbed: records come, retention takes some, an end is cut.
                let step = step as u64;
                if step < 30 {
                    match random(step + 5, 4) {
                        0 => current.log_end_offset += random(step + 6, 3),
                        1 => current.log_start_offset = (current.log_start_offset + 1).min(current.log_end_offset),
                        2 => current.log_end_offset = (current.log_end_offset - 1).max(current.log_start_offset),
                        _ => {}
                    }
                }
            });
        }
    }

    #[test]
    fn a_future_log_without_a_current_one_takes_its_place_only_where_that_was_deleted_for_it() {
        let found = |has_current, was_replaced, all_work| {
            fate_of(FoundMove { owner: &Owner::Topic, has_current, was_replaced, all_work })
        };
        assert_eq!(found(true, false, true), FutureFate::GoesOn);
        assert_eq!(found(true, true, false), FutureFate::GoesOn, "an earlier move of the partition");
        assert_eq!(found(false, true, true), FutureFate::TakesPlace);
        assert_eq!(found(false, true, false), FutureFate::Stays, "the current log may be where it cannot be seen");
        assert_eq!(found(false, false, false), FutureFate::Stays);
        assert_eq!(found(false, false, true), FutureFate::SetAside);
        let other =
            |owner, has_current, all_work| fate_of(FoundMove { owner, has_current, was_replaced: true, all_work });
        assert_eq!(other(&Owner::Deleted, false, true), FutureFate::Deleted);
        for owner in [&Owner::TopicWithDamagedId, &Owner::Unknown(String::new())] {
            assert_eq!(other(owner, true, true), FutureFate::Deleted);
            assert_eq!(other(owner, false, true), FutureFate::SetAside, "it may be the only one");
            assert_eq!(other(owner, false, false), FutureFate::Stays);
        }
    }
}
