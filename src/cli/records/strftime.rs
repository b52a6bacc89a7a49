//! Times by the letters of C's `strftime`, in UTC. Pure.

use std::fmt::Write;

const DAY_MS: i64 = 86_400_000;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A moment by the calendar.
struct Moment {
    timestamp_ms: i64,
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    day_of_week: i64,
    of_day_ms: i64,
}

impl Moment {
    /// The calendar is counted in cycles of 400 years that begin in March.
    fn of(timestamp_ms: i64) -> Self {
        let days = timestamp_ms.div_euclid(DAY_MS);
        let shifted = days + 719_468;
        let (cycle, of_cycle) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_cycle = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
        let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let before_march = 59 + i64::from(is_leap);
        let day_of_year = if month > 2 { of_year + before_march + 1 } else { of_year - 306 + 1 };
        Self {
            timestamp_ms,
            year,
            month,
            day,
            day_of_year,
            day_of_week: (days + 4).rem_euclid(7),
            of_day_ms: timestamp_ms.rem_euclid(DAY_MS),
        }
    }

    fn hour(&self) -> i64 {
        self.of_day_ms / 3_600_000
    }

    /// What stands for one letter; `None` for a letter that stands for nothing here.
    fn letter(&self, letter: char) -> Option<String> {
        let name = |names: &[&str], at: i64| {
            usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default().to_owned()
        };
        let short = |name: String| name.chars().take(3).collect();
        let twelve = (self.hour() + 11) % 12 + 1;
        Some(match letter {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'C' => format!("{:02}", self.year.div_euclid(100)),
            'm' => format!("{:02}", self.month),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'j' => format!("{:03}", self.day_of_year),
            'H' => format!("{:02}", self.hour()),
            'I' => format!("{twelve:02}"),
            'k' => format!("{:2}", self.hour()),
            'l' => format!("{twelve:2}"),
            'M' => format!("{:02}", self.of_day_ms / 60_000 % 60),
            'S' => format!("{:02}", self.of_day_ms / 1_000 % 60),
            'f' => format!("{:06}", self.of_day_ms % 1_000 * 1_000),
            'L' => format!("{:03}", self.of_day_ms % 1_000),
            's' => self.timestamp_ms.div_euclid(1_000).to_string(),
            'p' => if self.hour() < 12 { "AM" } else { "PM" }.to_owned(),
            'A' => name(&DAYS, self.day_of_week),
            'a' => short(name(&DAYS, self.day_of_week)),
            'B' => name(&MONTHS, self.month - 1),
            'b' | 'h' => short(name(&MONTHS, self.month - 1)),
            'u' => (if self.day_of_week == 0 { 7 } else { self.day_of_week }).to_string(),
            'w' => self.day_of_week.to_string(),
            'z' => "+0000".to_owned(),
            'Z' => "UTC".to_owned(),
            'F' => self.all("%Y-%m-%d"),
            'T' => self.all("%H:%M:%S"),
            'R' => self.all("%H:%M"),
            'D' => self.all("%m/%d/%y"),
            'c' => self.all("%a %b %e %H:%M:%S %Y"),
            'n' => "\n".to_owned(),
            't' => "\t".to_owned(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }

    fn all(&self, format: &str) -> String {
        let mut text = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            let special = if letter == '%' { letters.next() } else { None };
            match special.map(|special| (special, self.letter(special))) {
                None => text.push(letter),
                Some((_, Some(shown))) => text.push_str(&shown),
                // Writing to a string cannot fail.
                Some((unknown, None)) => {
                    let _ = write!(text, "%{unknown}");
                }
            }
        }
        text
    }
}

/// A timestamp, in milliseconds since the Unix epoch, in the form that `format` says. What stands for nothing stays.
pub(in crate::cli) fn strftime(timestamp_ms: i64, format: &str) -> String {
    Moment::of(timestamp_ms).all(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date_1() {
        let cases = [
            (0, "%c %j %z", "Thu Jan  1 00:00:00 1970 001 +0000"),
            (951_782_400_000, "%F %j", "2000-02-29 060"),
            (1_709_208_000_250, "%Y-%m-%dT%H:%M:%S.%LZ %a %u", "2024-02-29T12:00:00.250Z Thu 4"),
            (1_735_689_599_999, "%F %T %j %A %B %I%p", "2024-12-31 23:59:59 366 Tuesday December 11PM"),
            (-1, "%F %T.%f %s", "1969-12-31 23:59:59.999000 -1"),
            (1_771_063_200_000, "%D %R %y%% %Q %", "02/14/26 10:00 26% %Q %"),
        ];
        for (timestamp_ms, format, expected) in cases {
            assert_eq!(strftime(timestamp_ms, format), expected, "{format}");
        }
        for (day, expected) in [(1, "2023-01-01 001"), (60, "2023-03-01 060"), (365, "2023-12-31 365")] {
            assert_eq!(strftime(1_672_531_200_000 + (day - 1) * DAY_MS, "%F %j"), expected);
        }
        // No number of milliseconds is too large.
        assert!(strftime(i64::MAX, "%F").starts_with("292278994-"));
        assert!(strftime(i64::MIN, "%F").starts_with("-29227"));
    }
}
