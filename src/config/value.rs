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
    /// `*`, or a list of `partition:broker`, as the throttled replicas of a topic are given.
    ThrottledReplicas,
}

impl fmt::Display for Valid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::AtLeast(least) => write!(formatter, "at least {least}"),
            Self::Between(least, most) => write!(formatter, "{least} to {most}"),
            Self::BetweenOr(least, most, other) => write!(formatter, "{least} to {most}, or {other}"),
            Self::OneOf(texts) => write!(formatter, "{}", texts.join(" | ")),
            Self::ThrottledReplicas => formatter.write_str("* | partition:broker,..."),
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

/// Checks `text` against a type and a condition; the error is the reason alone.
pub(super) fn check(kind: Kind, valid: Valid, text: &str) -> Result<(), String> {
    match kind {
        Kind::Boolean => bool::from_value(text).map(drop),
        Kind::Short => within(valid, f64::from(i16::from_value(text)?)),
        Kind::Int => within(valid, f64::from(i32::from_value(text)?)),
        Kind::Long => within(valid, i64::from_value(text)? as f64),
        Kind::Double => within(valid, f64::from_value(text)?),
        Kind::String => one_of(valid, &[String::from_value(text)?]),
        Kind::List => one_of(valid, &Vec::from_value(text)?),
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

fn one_of(valid: Valid, elements: &[String]) -> Result<(), String> {
    match valid {
        Valid::OneOf(texts) if !elements.iter().all(|element| texts.contains(&element.as_str())) => {
            Err(format!("String must be one of: {}", texts.join(", ")))
        }
        Valid::ThrottledReplicas if !elements.iter().all(|element| element == "*" || is_throttled_replica(element)) => {
            Err("Must be the literal '*' or a list of replicas in the form [partitionId]:[brokerId]".to_owned())
        }
        _ => Ok(()),
    }
}

fn is_throttled_replica(element: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    element.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_checked_for_their_width_and_their_bounds() {
        assert_eq!(check(Kind::Int, Valid::AtLeast(1), " 5 "), Ok(()));
        assert_eq!(check(Kind::Int, Valid::AtLeast(1), "0"), Err("Value must be at least 1".into()));
        assert_eq!(check(Kind::Int, Valid::Any, "2147483648"), Err("Not a number of type INT".into()));
        assert_eq!(check(Kind::Long, Valid::AtLeast(1), "9223372036854775807"), Ok(()));
        assert_eq!(check(Kind::Double, Valid::Between(0, 1), "1.5"), Err("Value must be no more than 1".into()));
        assert_eq!(check(Kind::Int, Valid::BetweenOr(1, 9, -1), "-1"), Ok(()));
        assert!(check(Kind::Int, Valid::BetweenOr(1, 9, -1), "0").is_err());
    }

    #[test]
    fn texts_are_checked_one_by_one() {
        let policies = Valid::OneOf(&["compact", "delete"]);
        assert_eq!(check(Kind::List, policies, "compact, delete"), Ok(()));
        assert_eq!(check(Kind::List, policies, ""), Ok(()));
        let refused = Err("String must be one of: compact, delete".to_owned());
        assert_eq!(check(Kind::List, policies, "compact,shred"), refused);
        assert_eq!(check(Kind::Boolean, Valid::Any, "TRUE"), Ok(()));
        assert_eq!(check(Kind::Boolean, Valid::Any, "yes"), Err("Expected value to be either true or false".into()));
        assert_eq!(check(Kind::List, Valid::ThrottledReplicas, "0:1,1:2"), Ok(()));
        assert!(check(Kind::List, Valid::ThrottledReplicas, "0:").is_err());
    }
}
