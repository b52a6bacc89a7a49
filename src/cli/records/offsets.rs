//! From where to where partitions are read, as rpk spells it: `start`, `-5`, `10:20`, `@-1h:end`. Pure.

use crate::cli::time::{datetime, duration};

/// What `--help` says of it.
pub(in crate::cli) const OFFSETS_HELP: &str = "\
Offsets are one of:
  start, end        all there is and then what comes; or what comes only
  +N, -N            N behind the start, or N before the end, of each partition
  N, N:M, N-M       from offset N on; up to M, which is not read
  :end, :M          all there is until now, or up to M, and stop
  @T, @T1:T2, @:T   from a time on; up to another one
A time is 2022-02-14, 2022-02-14T10:00:00Z, a number of seconds or milliseconds since 1970, or a duration before or after now:
@-1h:end is the last hour, and @2022-02-14:1h one hour of that day.";

/// A place in each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum OffsetPlace {
    /// So many behind the first offset.
    AfterStart(i64),
    /// So many before the end.
    BeforeEnd(i64),
    /// This offset.
    At(i64),
    /// The first record of this time, in milliseconds since the Unix epoch, or a later one.
    Since(i64),
}

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct OffsetRange {
    /// What is read first.
    pub(in crate::cli) start: OffsetPlace,
    /// What is not read any more; `None` goes on with whatever comes.
    pub(in crate::cli) end: Option<OffsetPlace>,
}

/// What is known of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Extent {
    /// Its first offset.
    pub(in crate::cli) earliest: i64,
    /// The offset behind its last record.
    pub(in crate::cli) latest: i64,
    /// The offset of the first record of the start's time, if that is a time and there is such a record.
    pub(in crate::cli) since_start: Option<i64>,
    /// The same of the end's time.
    pub(in crate::cli) since_end: Option<i64>,
}

impl OffsetRange {
    /// Reads what a person wrote at `now_ms`; the error says what is wrong.
    pub(in crate::cli) fn parse(text: &str, now_ms: i64) -> Result<Self, String> {
        if let Some(times) = text.strip_prefix('@') {
            return Self::parse_times(times, now_ms).ok_or_else(|| {
                format!("\"{text}\" is no time; there are such as @2022-02-14, @-1h, @-1h:end and @2022-02-14:1h")
            });
        }
        let wrong = || format!("\"{text}\" is no offset; there are start, end, +N, -N, N, N:M, :end, :M and @TIME");
        let from = |start| Ok(Self { start, end: None });
        match text {
            "start" | "oldest" => return from(OffsetPlace::AfterStart(0)),
            "end" | "newest" => return from(OffsetPlace::BeforeEnd(0)),
            _ => {}
        }
        if let Some(behind) = text.strip_prefix('+') {
            return from(OffsetPlace::AfterStart(number(behind).ok_or_else(wrong)?));
        }
        if let Some(before) = text.strip_prefix('-') {
            return from(OffsetPlace::BeforeEnd(number(before).ok_or_else(wrong)?));
        }
        let Some((start, end)) = text.split_once([':', '-']) else {
            return from(OffsetPlace::At(number(text).ok_or_else(wrong)?));
        };
        let start = match start {
            "" | "start" => OffsetPlace::AfterStart(0),
            start => OffsetPlace::At(number(start).ok_or_else(wrong)?),
        };
        let end = match end {
            "" if start == OffsetPlace::AfterStart(0) => return Err(wrong()),
            "" => None,
            "end" => Some(OffsetPlace::BeforeEnd(0)),
            end => Some(OffsetPlace::At(number(end).ok_or_else(wrong)?)),
        };
        if let (OffsetPlace::At(start), Some(OffsetPlace::At(end))) = (start, end)
            && end <= start
        {
            return Err(format!("\"{text}\" ends where nothing has begun: {end} is not behind {start}"));
        }
        Ok(Self { start, end })
    }

    /// Colons are in times, too: the first one that leaves two times is the one between them.
    fn parse_times(text: &str, now_ms: i64) -> Option<Self> {
        if let Some((start, _)) = time(text, now_ms) {
            return Some(Self { start: OffsetPlace::Since(start), end: None });
        }
        text.match_indices(':').find_map(|(colon, _)| {
            let (start, end) = (text.get(..colon)?, text.get(colon + 1..)?);
            let (start, base_ms) = match start {
                "" => (OffsetPlace::AfterStart(0), now_ms),
                start => {
                    let (at, is_absolute) = time(start, now_ms)?;
                    (OffsetPlace::Since(at), if is_absolute { at } else { now_ms })
                }
            };
            let end = match end {
                "" if start == OffsetPlace::AfterStart(0) => return None,
                "" => None,
                "end" => Some(OffsetPlace::BeforeEnd(0)),
                end => Some(OffsetPlace::Since(time(end, base_ms)?.0)),
            };
            Some(Self { start, end })
        })
    }

    /// The first offset to be read of a partition, and the one not to be read any more. Neither is outside of what the
    /// partition holds.
    pub(in crate::cli) fn within(&self, extent: Extent) -> (i64, Option<i64>) {
        let place = |place: OffsetPlace, since: Option<i64>| {
            let offset = match place {
                OffsetPlace::AfterStart(count) => extent.earliest.saturating_add(count),
                OffsetPlace::BeforeEnd(count) => extent.latest.saturating_sub(count),
                OffsetPlace::At(offset) => offset,
                OffsetPlace::Since(_) => since.unwrap_or(extent.latest),
            };
            offset.clamp(extent.earliest, extent.latest.max(extent.earliest))
        };
        let start = place(self.start, extent.since_start);
        (start, self.end.map(|end| place(end, extent.since_end).max(start)))
    }
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A time in milliseconds since the Unix epoch, and whether it is one without regard to `base_ms`.
fn time(text: &str, base_ms: i64) -> Option<(i64, bool)> {
    if let Some(number) = number(text) {
        return match text.len() {
            13 => Some((number, true)),
            10 => Some((number.checked_mul(1_000)?, true)),
            _ => None,
        };
    }
    if let Ok(at) = datetime(text) {
        return Some((at, true));
    }
    let (sign, length) = text.strip_prefix('-').map_or((1, text), |length| (-1, length));
    Some((base_ms.saturating_add(sign * duration(length).ok()?), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const HOUR: i64 = 3_600_000;
    const VALENTINE: i64 = 1_644_796_800_000;

    fn range(text: &str) -> (OffsetPlace, Option<OffsetPlace>) {
        let range = OffsetRange::parse(text, NOW).unwrap_or_else(|error| panic!("{error}"));
        (range.start, range.end)
    }

    #[test]
    fn offsets_are_read_as_rpk_spells_them() {
        use OffsetPlace::{AfterStart, At, BeforeEnd};
        for (text, start, end) in [
            ("start", AfterStart(0), None),
            ("oldest", AfterStart(0), None),
            ("end", BeforeEnd(0), None),
            (":end", AfterStart(0), Some(BeforeEnd(0))),
            ("+2", AfterStart(2), None),
            ("-3", BeforeEnd(3), None),
            ("47", At(47), None),
            ("47:", At(47), None),
            (":47", AfterStart(0), Some(At(47))),
            ("3:7", At(3), Some(At(7))),
            ("3-7", At(3), Some(At(7))),
            ("3:end", At(3), Some(BeforeEnd(0))),
        ] {
            assert_eq!(range(text), (start, end), "{text}");
        }
    }

    #[test]
    fn times_are_days_moments_numbers_and_durations() {
        use OffsetPlace::{AfterStart, BeforeEnd, Since};
        for (text, start, end) in [
            ("@2022-02-14", Since(VALENTINE), None),
            ("@2022-02-14:", Since(VALENTINE), None),
            ("@2022-02-14:1h", Since(VALENTINE), Some(Since(VALENTINE + HOUR))),
            ("@2022-02-14T10:30:00Z", Since(VALENTINE + 10 * HOUR + HOUR / 2), None),
            ("@2022-02-14T10:00:00Z:-1h", Since(VALENTINE + 10 * HOUR), Some(Since(VALENTINE + 9 * HOUR))),
            ("@2022-02-14T10:00:00.500Z:end", Since(VALENTINE + 10 * HOUR + 500), Some(BeforeEnd(0))),
            ("@1644796800", Since(VALENTINE), None),
            ("@1644796800001", Since(VALENTINE + 1), None),
            ("@-1h", Since(NOW - HOUR), None),
            ("@-48h:-24h", Since(NOW - 48 * HOUR), Some(Since(NOW - 24 * HOUR))),
            ("@-1m:end", Since(NOW - 60_000), Some(BeforeEnd(0))),
            ("@:-1h", AfterStart(0), Some(Since(NOW - HOUR))),
            ("@1m3ms", Since(NOW + 60_003), None),
        ] {
            assert_eq!(range(text), (start, end), "{text}");
        }
    }

    #[test]
    fn what_is_no_offset_is_told() {
        for wrong in
            ["", ":", "x", "+", "-x", "+-1", "7:3", "3:3", "1:2:3", "@", "@:", "@end", "@yesterday", "@1h:x", "@12"]
        {
            let error = OffsetRange::parse(wrong, NOW).expect_err(wrong);
            assert!(error.starts_with(&format!("\"{wrong}\" ")), "{error}");
        }
    }

    #[test]
    fn a_range_never_leaves_its_partition() {
        let extent = Extent { earliest: 10, latest: 20, since_start: Some(12), since_end: None };
        for (text, expected) in [
            ("start", (10, None)),
            ("end", (20, None)),
            ("+3", (13, None)),
            ("+30", (20, None)),
            ("-3", (17, None)),
            ("-30", (10, None)),
            ("5:99", (10, Some(20))),
            ("30", (20, None)),
            (":end", (10, Some(20))),
            ("@-2h:-1h", (12, Some(20))),
        ] {
            assert_eq!(OffsetRange::parse(text, NOW).unwrap().within(extent), expected, "{text}");
        }
        let upside_down = Extent { since_start: Some(15), since_end: Some(12), ..extent };
        assert_eq!(OffsetRange::parse("@-1h:-2h", NOW).unwrap().within(upside_down), (15, Some(15)));
    }
}
