//! Times and durations as people write them: in ISO 8601, as Kafka's tools want them, or short.

use std::time::{SystemTime, UNIX_EPOCH};

const MS_PER_DAY: i64 = 86_400_000;

/// The present time, in milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since the Unix epoch of a date, or a date and a time: `2026-02-14`, `2026-02-14T10:00`,
/// `2026-02-14T10:00:00.000+01:00`. Without a zone it is UTC, as with Kafka's tools.
pub(super) fn datetime(text: &str) -> Result<i64, String> {
    let wrong = || format!("\"{text}\" is no date and time, such as 2026-02-14T10:00:00.000");
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let days = days(date).ok_or_else(wrong)?;
    let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at_checked(zone_at).ok_or_else(wrong)?;
    let of_day = if clock.is_empty() { Some(0) } else { clock_ms(clock) }.ok_or_else(wrong)?;
    let offset = zone_ms(zone).ok_or_else(wrong)?;
    Ok(days * MS_PER_DAY + of_day - offset)
}

/// Milliseconds of a duration: `PT1H30M`, `P2D`, or `1h30m`, `2d`, `90s`, `500ms`.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("\"{text}\" is no duration, such as 1h30m or PT1H30M");
    let upper = text.to_ascii_uppercase();
    let total = match upper.strip_prefix('P') {
        Some(iso) => {
            let (days, clock) = iso.split_once('T').map_or((iso, None), |(days, clock)| (days, Some(clock)));
            let days = summed(days, &[("D", MS_PER_DAY)]);
            match clock {
                None => days.filter(|_| !iso.is_empty()),
                Some("") => None,
                Some(clock) => {
                    days.zip(summed(clock, &[("H", 3_600_000), ("M", 60_000), ("S", 1_000)])).map(|(a, b)| a + b)
                }
            }
        }
        None if upper.is_empty() => None,
        None => summed(
            &upper,
            &[("W", 7 * MS_PER_DAY), ("D", MS_PER_DAY), ("H", 3_600_000), ("MS", 1), ("M", 60_000), ("S", 1_000)],
        ),
    };
    total.ok_or_else(wrong)
}

/// Days since the Unix epoch of `YYYY-MM-DD`; the calendar is counted in cycles of 400 years, from March on.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    Some(cycle * 146_097 + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - 719_468)
}

/// Milliseconds of `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fff`.
fn clock_ms(clock: &str) -> Option<i64> {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = whole.split(':').map(|part| digits(part, 2));
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let has_digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = has_digits.then(|| format!("{fraction:0<3}"))?.get(..3)?.parse::<i64>().ok()?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + thousandths)
}

/// How far a zone, `Z`, `+01:00`, `-0530` or `+01`, is ahead of UTC.
fn zone_ms(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1) {
        None | Some(("Z", "")) => return Some(0),
        Some(("+", rest)) => (1, rest.replace(':', "")),
        Some(("-", rest)) => (-1, rest.replace(':', "")),
        Some(_) => return None,
    };
    let (hours, minutes) = rest.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { Some(0) } else { digits(minutes, 2) }?;
    Some(sign * (digits(hours, 2)? * 60 + minutes) * 60_000)
}

/// A number of at least one and at most `most` digits.
fn digits(text: &str, most: usize) -> Option<i64> {
    let is_number = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// The sum of numbers with units, such as `1H30M`, in milliseconds. Of two units that fit, the earlier one is meant.
fn summed(text: &str, units: &[(&str, i64)]) -> Option<i64> {
    let (mut rest, mut total) = (text, 0_i64);
    while !rest.is_empty() {
        let number_ends = rest.find(|letter: char| letter.is_ascii_alphabetic())?;
        let (number, after) = rest.split_at_checked(number_ends)?;
        let (unit, ms) = units.iter().find(|(unit, _)| after.starts_with(unit))?;
        let value = number.parse::<f64>().ok().filter(|value| value.is_finite())? * *ms as f64;
        total = total.checked_add(value as i64)?;
        rest = after.get(unit.len()..)?;
    }
    Some(total)
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
            ("90s", 90_000),
            ("500ms", 500),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for wrong in ["", "P", "PT", "1", "h", "1y", "PT1X", "P1H"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
