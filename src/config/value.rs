//! How a key's text becomes a value: Kafka's types, its bounds, and its words for what is wrong.

use std::fmt;

/// The type of a key's value, named as in Kafka's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Boolean,
    /// A signed 16-bit integer.
    Short,
    /// A signed 32-bit integer.
    Int,
    /// A signed 64-bit integer.
    Long,
    /// A floating-point number.
    Double,
    /// Any text.
    String,
    /// Texts separated by commas.
    List,
    /// The name of a Java class; any text, since there are none here.
    Class,
    /// A secret.
    Password,
}

impl Kind {
    /// Whether its values are numbers.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Short | Self::Int | Self::Long | Self::Double)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Boolean => "BOOLEAN",
            Self::Short => "SHORT",
            Self::Int => "INT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::String => "STRING",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        })
    }
}

/// What a value must fulfil beyond its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Valid {
    /// Nothing more.
    Any,
    /// A number that is not less.
    AtLeast(i64),
    /// A number between the two, both included.
    Between(i64, i64),
    /// A number between the two, both included, or the third one.
    BetweenOr(i64, i64, i64),
    /// One of these texts; for a list, each of its elements.
    OneOf(&'static [&'static str]),
    /// The same, whatever the case of its letters.
    OneOfIgnoringCase(&'static [&'static str]),
    /// `*`, or a list of `partition:broker`, as the throttled replicas of a topic are given.
    ThrottledReplicas,
    /// `earliest`, `latest`, or `by_duration:` with an ISO 8601 duration, as a share group begins.
    AutoOffsetReset,
}

impl fmt::Display for Valid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::AtLeast(least) => write!(formatter, "at least {least}"),
            Self::Between(least, most) => write!(formatter, "{least} to {most}"),
            Self::BetweenOr(least, most, other) => write!(formatter, "{least} to {most}, or {other}"),
            Self::OneOf(texts) | Self::OneOfIgnoringCase(texts) => write!(formatter, "{}", texts.join(" | ")),
            Self::ThrottledReplicas => formatter.write_str("* | partition:broker,..."),
            Self::AutoOffsetReset => formatter.write_str("latest | earliest | by_duration:PnDTnHnMn.nS"),
        }
    }
}

/// A value that is wrong for its key; the text is Kafka's own, because clients show it to people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value {value} for configuration {key}: {reason}")]
pub struct InvalidValue {
    /// The key, as the user spelled it.
    pub key: String,
    /// The value, as the user wrote it.
    pub value: String,
    /// What is wrong with it, as a sentence without its full stop.
    pub reason: String,
}

/// Reads one value from its text; the error is the reason alone.
pub trait FromValue: Sized {
    /// Reads `text`, ignoring the white space around it, as Kafka does.
    fn from_value(text: &str) -> Result<Self, String>;
}

/// Reads any number, or says with Kafka's words that it is none.
fn number<N: std::str::FromStr>(text: &str, kind: Kind) -> Result<N, String> {
    text.trim().parse().map_err(|_| format!("Not a number of type {kind}"))
}

impl FromValue for bool {
    fn from_value(text: &str) -> Result<Self, String> {
        match text.trim() {
            text if text.eq_ignore_ascii_case("true") => Ok(true),
            text if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err("Expected value to be either true or false".to_owned()),
        }
    }
}

impl FromValue for i16 {
    fn from_value(text: &str) -> Result<Self, String> {
        number(text, Kind::Short)
    }
}

impl FromValue for i32 {
    fn from_value(text: &str) -> Result<Self, String> {
        number(text, Kind::Int)
    }
}

impl FromValue for i64 {
    fn from_value(text: &str) -> Result<Self, String> {
        number(text, Kind::Long)
    }
}

impl FromValue for f64 {
    fn from_value(text: &str) -> Result<Self, String> {
        number(text, Kind::Double)
    }
}

impl FromValue for String {
    fn from_value(text: &str) -> Result<Self, String> {
        Ok(text.trim().to_owned())
    }
}

impl FromValue for Vec<String> {
    fn from_value(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Ok(Vec::new()),
            text => Ok(text.split(',').map(|element| element.trim().to_owned()).collect()),
        }
    }
}

/// A key that has a value is `Some`; one without default that nobody set is never read and stays `None`.
impl<T: FromValue> FromValue for Option<T> {
    fn from_value(text: &str) -> Result<Self, String> {
        T::from_value(text).map(Some)
    }
}

/// Checks `text`, the value of the key called `name`, against a type and a condition.
///
/// Errors: the value at fault, as Kafka shows it, and the reason.
pub(super) fn check(name: &str, kind: Kind, valid: Valid, text: &str) -> Result<(), (String, String)> {
    let whole = |reason: String| (text.to_owned(), reason);
    let number = |number: f64| within(valid, number);
    match kind {
        Kind::Boolean => bool::from_value(text).map(drop).map_err(whole),
        Kind::Short => i16::from_value(text).and_then(|value| number(f64::from(value))).map_err(whole),
        Kind::Int => i32::from_value(text).and_then(|value| number(f64::from(value))).map_err(whole),
        Kind::Long => i64::from_value(text).and_then(|value| number(value as f64)).map_err(whole),
        Kind::Double => f64::from_value(text).and_then(number).map_err(whole),
        Kind::String | Kind::Class | Kind::Password => check_text(name, valid, text.trim()),
        Kind::List if valid == Valid::ThrottledReplicas => check_text(name, valid, text),
        Kind::List => {
            let elements: Vec<String> = FromValue::from_value(text).map_err(whole)?;
            elements.iter().try_for_each(|element| check_text(name, valid, element))
        }
    }
}

/// Bounds are compared as floating-point numbers, as Kafka compares them: none is large enough for that to matter.
fn within(valid: Valid, number: f64) -> Result<(), String> {
    match valid {
        Valid::AtLeast(least) | Valid::Between(least, _) if number < least as f64 => {
            Err(format!("Value must be at least {least}"))
        }
        Valid::Between(_, most) if number > most as f64 => Err(format!("Value must be no more than {most}")),
        Valid::BetweenOr(least, most, other)
            if (number < least as f64 || number > most as f64) && number as i64 != other =>
        {
            Err(format!("Value must be between {least} and {most} or equal to {other}"))
        }
        _ => Ok(()),
    }
}

fn check_text(name: &str, valid: Valid, text: &str) -> Result<(), (String, String)> {
    match valid {
        Valid::OneOf(texts) if !texts.contains(&text) => {
            Err((text.to_owned(), format!("String must be one of: {}", texts.join(", "))))
        }
        Valid::OneOfIgnoringCase(texts) if !texts.iter().any(|one| one.eq_ignore_ascii_case(text)) => {
            let texts = texts.join(", ").to_ascii_uppercase();
            Err((text.to_owned(), format!("String must be one of (case insensitive): {texts}")))
        }
        Valid::ThrottledReplicas if !are_throttled_replicas(text) => Err((
            format!("[{}]", text.split(',').map(str::trim).collect::<Vec<_>>().join(", ")),
            format!(
                "{name} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],..."
            ),
        )),
        Valid::AutoOffsetReset if !is_auto_offset_reset(text) => Err((
            text.to_owned(),
            format!(
                "Invalid value `{text}` for configuration {name}. The value must be either 'earliest', 'latest' or of \
                 the format 'by_duration:<PnDTnHnMn.nS.>'."
            ),
        )),
        _ => Ok(()),
    }
}

fn are_throttled_replicas(text: &str) -> bool {
    let elements: Vec<&str> = text.split(',').map(str::trim).collect();
    elements.concat() == "*" || elements.iter().all(|element| element.is_empty() || is_throttled_replica(element))
}

fn is_throttled_replica(element: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    element.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

fn is_auto_offset_reset(text: &str) -> bool {
    let duration = text.strip_prefix("by_duration:");
    matches!(text, "earliest" | "latest") || duration.is_some_and(is_duration)
}

/// Whether `text` is a duration as `java.time.Duration` reads it, and not a negative one: `P1DT2H3M4.5S`, in any case.
fn is_duration(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let Some(rest) = text.strip_prefix('P') else { return false };
    let (days, time) = rest.split_once('T').map_or((rest, None), |(days, time)| (days, Some(time)));
    let has_days = !days.is_empty();
    are_units(days, "D") && time.map_or(has_days, |time| !time.is_empty() && are_units(time, "HMS"))
}

/// Whether `text` is a sequence of numbers, each with one of `units`, every unit at most once and in that order.
fn are_units(mut text: &str, units: &str) -> bool {
    for unit in units.chars() {
        let Some((number, rest)) = text.split_once(unit) else { continue };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let are_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_fraction_allowed = unit == 'S' || !number.contains('.');
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) || !is_fraction_allowed {
            return false;
        }
        text = rest;
    }
    text.is_empty()
}

/// A valid value as Kafka shows it after it has read it: without white space, numbers and truth values in their own form.
pub(super) fn canonical(kind: Kind, text: &str) -> String {
    let trimmed = text.trim();
    let shown = match kind {
        Kind::Boolean => bool::from_value(text).map(|value| value.to_string()),
        Kind::Short | Kind::Int | Kind::Long => i64::from_value(text).map(|value| value.to_string()),
        Kind::Double => f64::from_value(text).map(double_text),
        Kind::List => Vec::from_value(text).map(|elements: Vec<String>| elements.join(",")),
        Kind::String | Kind::Class | Kind::Password => Ok(trimmed.to_owned()),
    };
    shown.unwrap_or_else(|_| trimmed.to_owned())
}

/// A floating-point number as Java writes it: very small and very large ones with an exponent, always with a point.
fn double_text(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: Kind, valid: Valid, text: &str) -> String {
        let (value, reason) = check("key", kind, valid, text).expect_err(text);
        format!("{value}: {reason}")
    }

    #[test]
    fn numbers_are_checked_for_their_width_and_their_bounds() {
        assert_eq!(check("key", Kind::Int, Valid::AtLeast(1), " 5 "), Ok(()));
        assert_eq!(refused(Kind::Int, Valid::AtLeast(1), "0"), "0: Value must be at least 1");
        assert_eq!(refused(Kind::Int, Valid::Any, "2147483648"), "2147483648: Not a number of type INT");
        assert_eq!(check("key", Kind::Long, Valid::AtLeast(1), "9223372036854775807"), Ok(()));
        assert_eq!(refused(Kind::Double, Valid::Between(0, 1), "1.5"), "1.5: Value must be no more than 1");
        assert_eq!(check("key", Kind::Int, Valid::BetweenOr(1, 9, -1), "-1"), Ok(()));
        assert_eq!(
            refused(Kind::Int, Valid::BetweenOr(1, 9, -1), "0"),
            "0: Value must be between 1 and 9 or equal to -1"
        );
    }

    #[test]
    fn texts_are_checked_one_by_one() {
        let policies = Valid::OneOf(&["compact", "delete"]);
        assert_eq!(check("key", Kind::List, policies, "compact, delete"), Ok(()));
        assert_eq!(check("key", Kind::List, policies, ""), Ok(()));
        assert_eq!(refused(Kind::List, policies, "compact,shred"), "shred: String must be one of: compact, delete");
        assert_eq!(check("key", Kind::Boolean, Valid::Any, "TRUE"), Ok(()));
        assert_eq!(refused(Kind::Boolean, Valid::Any, "yes"), "yes: Expected value to be either true or false");
        assert_eq!(check("key", Kind::String, Valid::OneOfIgnoringCase(&["a"]), "A"), Ok(()));
        for replicas in ["", "*", "0:1,1:2", "0:1, 1:2"] {
            assert_eq!(check("key", Kind::List, Valid::ThrottledReplicas, replicas), Ok(()), "{replicas}");
        }
        assert!(refused(Kind::List, Valid::ThrottledReplicas, "0:,1:2").starts_with("[0:, 1:2]: key must be the"));
    }

    #[test]
    fn a_share_group_begins_at_an_end_or_at_a_duration() {
        for begin in ["latest", "earliest", "by_duration:P1D", "by_duration:PT0.5S", "by_duration:p1dt2h3m4s"] {
            assert_eq!(check("key", Kind::String, Valid::AutoOffsetReset, begin), Ok(()), "{begin}");
        }
        for begin in ["none", "by_duration:", "by_duration:P", "by_duration:PT", "by_duration:PT-1H", "by_duration:1D"]
        {
            refused(Kind::String, Valid::AutoOffsetReset, begin);
        }
    }

    #[test]
    fn values_are_shown_in_their_own_form() {
        let cases = [
            (Kind::Boolean, " TRUE", "true"),
            (Kind::Int, " 007 ", "7"),
            (Kind::Double, "0.50", "0.5"),
            (Kind::Double, "1", "1.0"),
            (Kind::Double, "1.7976931348623157E308", "1.7976931348623157E308"),
            (Kind::Double, "10000000", "1.0E7"),
            (Kind::List, "a, b", "a,b"),
            (Kind::String, " a ", "a"),
        ];
        for (kind, text, shown) in cases {
            assert_eq!(canonical(kind, text), shown);
        }
    }
}
