//! How one value of a format is written, as said in braces behind it: `%v{hex}`, `%p{big32}`. Pure.

use super::encoding::{to_base64, to_hex};
use crate::cli::time::strftime;

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum TextStyle {
    /// As they are.
    Raw,
    Hex,
    /// With `=` at the end where need be.
    Base64,
    /// Without it.
    Base64Raw,
}

/// How a number is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum NumberStyle {
    Decimal,
    /// As many hexadecimal digits of its end.
    Hex(usize),
    /// As many bytes of its end, the highest first.
    Big(usize),
    /// As many bytes of its end, the lowest first.
    Little(usize),
    /// `true` unless it is 0.
    Bool,
    /// As a time.
    Strftime(String),
}

impl TextStyle {
    pub(in crate::cli) fn parse(modifier: &str) -> Result<Self, String> {
        match modifier {
            "" => Ok(Self::Raw),
            "hex" => Ok(Self::Hex),
            "base64" => Ok(Self::Base64),
            "base64raw" => Ok(Self::Base64Raw),
            _ => Err(format!("{{{modifier}}} is no way to write text; there are hex, base64 and base64raw")),
        }
    }

    pub(in crate::cli) fn write(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Raw => out.extend_from_slice(bytes),
            Self::Hex => out.extend_from_slice(to_hex(bytes).as_bytes()),
            Self::Base64 => out.extend_from_slice(to_base64(bytes, true).as_bytes()),
            Self::Base64Raw => out.extend_from_slice(to_base64(bytes, false).as_bytes()),
        }
    }
}

impl NumberStyle {
    pub(in crate::cli) fn parse(modifier: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{{{modifier}}} is no way to write a number; there are ascii, bool, byte, hex4 to hex64, and big8 to big64 and \
                 little8 to little64"
            )
        };
        if matches!(modifier, "" | "ascii") {
            return Ok(Self::Decimal);
        }
        if modifier == "bool" {
            return Ok(Self::Bool);
        }
        if modifier == "byte" {
            return Ok(Self::Big(1));
        }
        let digits_at = modifier.find(|letter: char| letter.is_ascii_digit()).ok_or_else(wrong)?;
        let (name, bits) = modifier.split_at(digits_at);
        let bits = bits.parse::<usize>().ok().filter(|bits| matches!(bits, 4 | 8 | 16 | 32 | 64)).ok_or_else(wrong)?;
        match name {
            "hex" => Ok(Self::Hex(bits / 4)),
            "big" if bits > 4 => Ok(Self::Big(bits / 8)),
            "little" if bits > 4 => Ok(Self::Little(bits / 8)),
            _ => Err(wrong()),
        }
    }

    /// As [`NumberStyle::parse`], for a time, which may also be `strftime[...]` with any brackets, or `#`, around.
    pub(in crate::cli) fn parse_time(modifier: &str) -> Result<Self, String> {
        let Some(wrapped) = modifier.strip_prefix("strftime") else { return Self::parse(modifier) };
        let opening: String = wrapped.chars().take_while(|letter| matches!(letter, '[' | '{' | '#')).collect();
        let closing: String = opening
            .chars()
            .rev()
            .map(|letter| match letter {
                '[' => ']',
                '{' => '}',
                other => other,
            })
            .collect();
        let inner = wrapped.strip_prefix(&opening).and_then(|rest| rest.strip_suffix(&closing));
        match inner.filter(|_| !opening.is_empty()) {
            Some(format) => Ok(Self::Strftime(format.to_owned())),
            None => Err(format!("{{{modifier}}} is not of the form {{strftime[...]}}")),
        }
    }

    pub(in crate::cli) fn write(&self, number: i64, out: &mut Vec<u8>) {
        let bytes = number.to_be_bytes();
        match self {
            Self::Decimal => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Hex(digits) => {
                let all = to_hex(&bytes);
                out.extend_from_slice(&all.as_bytes()[all.len().saturating_sub(*digits)..]);
            }
            Self::Big(count) => out.extend_from_slice(&bytes[bytes.len().saturating_sub(*count)..]),
            Self::Little(count) => out.extend(bytes.iter().rev().take(*count)),
            Self::Bool => out.extend_from_slice(if number == 0 { b"false" } else { b"true" }),
            Self::Strftime(format) => out.extend_from_slice(strftime(number, format).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_to_their_width() {
        let written = |modifier: &str, number: i64| {
            let mut out = Vec::new();
            NumberStyle::parse(modifier).unwrap().write(number, &mut out);
            out
        };
        assert_eq!(written("", -5), b"-5");
        assert_eq!(written("hex16", 0x1_2345), b"2345");
        assert_eq!(written("hex4", 0x1f), b"f");
        assert_eq!(written("hex64", -1), b"ffffffffffffffff");
        assert_eq!(written("big32", 258), [0, 0, 1, 2]);
        assert_eq!(written("little16", 258), [2, 1]);
        assert_eq!(written("byte", 256), [0]);
        assert_eq!((written("bool", 0), written("bool", 7)), (b"false".to_vec(), b"true".to_vec()));
        for wrong in ["hex", "hex3", "big4", "big128", "huge8", "8"] {
            assert!(NumberStyle::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_times_format_is_wrapped_in_whatever_it_does_not_hold() {
        for (modifier, format) in [("strftime[%F]", "%F"), ("strftime### [%T] ###", " [%T] "), ("strftime{[%s]}", "%s")]
        {
            assert_eq!(NumberStyle::parse_time(modifier), Ok(NumberStyle::Strftime(format.to_owned())), "{modifier}");
        }
        assert!(NumberStyle::parse_time("strftime%F").is_err() && NumberStyle::parse_time("strftime[%F").is_err());
        assert_eq!(NumberStyle::parse_time("big64"), Ok(NumberStyle::Big(8)));
    }
}
