//! Which names a topic may have: they become directory names, so nothing unchecked ever reaches a path.

use std::borrow::Cow;

/// The longest name in bytes: a directory name of 255 minus a dash, and room for a partition's number.
pub const MAX_LENGTH: usize = 249;

/// Why `name` cannot be a topic's name, in Kafka's words; `None` where it can.
pub fn reason_invalid(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("the empty string is not allowed".to_owned())
    } else if name == "." || name == ".." {
        Some(format!("'{name}' is not allowed"))
    } else if name.encode_utf16().count() > MAX_LENGTH {
        Some(format!("the length of '{name}' is longer than the max allowed length {MAX_LENGTH}"))
    } else if !name.bytes().all(is_legal) {
        Some(format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"))
    } else {
        None
    }
}

/// As much of `name` as a topic's name can have, for a sentence that is said once per partition: a request with one
/// name of 32 KB and many partitions must not become gigabytes.
pub fn in_a_sentence(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_LENGTH)).unwrap_or(name)
}

/// Whether `name` can be a topic's name.
pub fn is_valid(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && name.len() <= MAX_LENGTH && name.bytes().all(is_legal)
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// The form in which two names collide: metric names cannot tell a period from an underscore, so Kafka refuses a topic
/// whose name differs from another's in nothing else.
pub fn collision_form(name: &str) -> Cow<'_, str> {
    if name.contains('.') { Cow::Owned(name.replace('.', "_")) } else { Cow::Borrowed(name) }
}

/// Whether `name` has a character that can collide at all.
pub fn has_collision_characters(name: &str) -> bool {
    name.contains(['.', '_'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_directory_or_cannot_be_printed_are_invalid() {
        let too_long = "x".repeat(250);
        for name in ["", ".", "..", "../x", "a/b", "nul\0", "caf\u{e9}", "a b", &too_long] {
            assert!(!is_valid(name), "{name}");
            assert!(reason_invalid(name).is_some(), "{name}");
        }
    }

    #[test]
    fn kafkas_alphabet_is_valid_up_to_249_characters() {
        let longest = "x".repeat(249);
        for name in ["a", "...", "orders.v1_x-Y9", "__consumer_offsets", &longest] {
            assert!(is_valid(name), "{name}");
            assert_eq!(reason_invalid(name), None);
        }
    }

    #[test]
    fn a_period_and_an_underscore_collide() {
        assert_eq!(collision_form("a.b_c"), collision_form("a_b.c"));
        assert_ne!(collision_form("a.b"), collision_form("a-b"));
    }
}
