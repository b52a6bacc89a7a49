//! Times and durations as people write them, in ISO 8601, as Kafka's tools want them, or short; and as they read them.

use jiff::civil::DateTime;
use jiff::fmt::strtime::{BrokenDownTime, Config, PosixCustom};
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};

/// The present time, in milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Milliseconds since the Unix epoch of a date, or a date and a time: `2026-02-14`, `2026-02-14T10:00`,
/// `2026-02-14T10:00:00.000+01:00`. Without a zone it is UTC, as with Kafka's tools.
pub(super) fn datetime(text: &str) -> Result<i64, String> {
    let in_utc = || Ok(text.parse::<DateTime>()?.to_zoned_datetime(TimeZone::UTC)?.timestamp());
    let at: Result<Timestamp, jiff::Error> = text.parse().or_else(|_| in_utc());
    at.map(Timestamp::as_millisecond)
        .map_err(|_| format!("\"{text}\" is no date and time, such as 2026-02-14T10:00:00.000"))
}

/// Milliseconds of a duration: `PT1H30M`, `P2D`, or `1h30m`, `2d`, `90s`, `500ms`. A day has 24 hours.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("\"{text}\" is no duration, such as 1h30m or PT1H30M");
    // Java's durations have their sign behind the letters.
    let (sign, unsigned) = match text.strip_prefix("PT-") {
        Some(rest) => (-1, format!("PT{rest}")),
        None => (1, text.to_ascii_lowercase()),
    };
    let span: Span = unsigned.parse().map_err(|_| wrong())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    i64::try_from(length.as_millis()).map(|ms| sign * ms).map_err(|_| wrong())
}

/// A timestamp, in milliseconds since the Unix epoch, in the form that `format` says by the letters of C's `strftime`, in
/// UTC. `%f` is microseconds and `%L` milliseconds, as rpk has them; what stands for nothing stays. A timestamp beyond the
/// years of four digits is written as the number that it is.
pub(super) fn strftime(timestamp_ms: i64, format: &str) -> String {
    let Ok(timestamp) = Timestamp::from_millisecond(timestamp_ms) else { return timestamp_ms.to_string() };
    let time = BrokenDownTime::from(&timestamp.to_zoned_datetime(TimeZone::UTC));
    let config = Config::new().custom(PosixCustom::new()).lenient(true);
    // What is behind a `%%` is no letter.
    let parts: Vec<_> = format.split("%%").map(|part| part.replace("%f", "%6f").replace("%L", "%3f")).collect();
    time.to_string_with_config(&config, parts.join("%%")).unwrap_or_else(|_| format.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datetimes_are_read_in_utc_unless_they_name_a_zone() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("2000-03-01T00:00:00.000", 951_868_800_000),
            ("2024-02-29T12:00", 1_709_208_000_000),
            ("2026-02-14T10:00:00.250Z", 1_771_063_200_250),
            ("2026-02-14T10:00:00.000+01:00", 1_771_059_600_000),
            ("2026-02-14 10:00:00-0530", 1_771_083_000_000),
            ("1969-12-31T23:59:59.5", -500),
        ] {
            assert_eq!(datetime(text), Ok(expected), "{text}");
        }
        for wrong in
            ["", "2026", "2026-02-30", "2026-13-01", "2026-02-14T25:00", "2026-02-14Tnoon", "2026-02-14T10:00+x"]
        {
            assert!(datetime(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_iso_or_short() {
        for (text, expected) in [
            ("PT1H", 3_600_000),
            ("P1DT1H1M1.5S", 90_061_500),
            ("P2D", 172_800_000),
            ("PT-1H", -3_600_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("90s", 90_000),
            ("500ms", 500),
            ("5M", 300_000),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for wrong in ["", "P", "PT", "1", "h", "1y", "1mo", "P1M", "PT1X", "P1H", "PT-"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_those_of_date_1() {
        let cases = [
            (0, "%c %j %z %Z", "Thu Jan  1 00:00:00 1970 001 +0000 UTC"),
            (951_782_400_000, "%F %j", "2000-02-29 060"),
            (1_709_208_000_250, "%Y-%m-%dT%H:%M:%S.%LZ %a %u", "2024-02-29T12:00:00.250Z Thu 4"),
            (1_735_689_599_999, "%F %T %j %A %B %I%p", "2024-12-31 23:59:59 366 Tuesday December 11PM"),
            (-1, "%F %T.%f", "1969-12-31 23:59:59.999000"),
            (-1_000, "%s", "-1"),
            (1_771_063_200_000, "%D %R %y%% %%f %E %", "02/14/26 10:00 26% %f %E %"),
        ];
        for (timestamp_ms, format, expected) in cases {
            assert_eq!(strftime(timestamp_ms, format), expected, "{format}");
        }
        assert_eq!(strftime(i64::MAX, "%F"), i64::MAX.to_string());
        assert_eq!(strftime(i64::MIN, "%F"), i64::MIN.to_string());
    }
}
