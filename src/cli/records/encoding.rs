//! Bytes as letters: hexadecimal and base64 (RFC 4648). Pure.

use std::fmt::Write;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Two small letters or digits for each byte.
pub(in crate::cli) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that [`to_hex`] has written, in letters of either size.
pub(in crate::cli) fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |letter: u8| char::from(letter).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_chunks::<2>();
    rest.is_empty().then_some(())?;
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Four letters for each three bytes; `is_padded` fills the last four up with `=`.
pub(in crate::cli) fn to_base64(bytes: &[u8], is_padded: bool) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or_default()));
        for at in 0..4 {
            if at <= chunk.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * at)) as usize & 63]));
            } else if is_padded {
                text.push('=');
            }
        }
    }
    text
}

/// The bytes that [`to_base64`] has written, padded or not.
pub(in crate::cli) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|letter| **letter == b'=').count();
    let letters = &text[..text.len() - padding];
    let mut bytes = Vec::with_capacity(letters.len() / 4 * 3 + 2);
    for chunk in letters.chunks(4) {
        let mut bits = 0_u32;
        for at in 0..4 {
            let value = match chunk.get(at) {
                Some(letter) => ALPHABET.iter().position(|known| known == letter)?,
                None => 0,
            };
            bits = bits << 6 | value as u32;
        }
        let length = match chunk.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=length]);
    }
    (padding <= 2).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, padded) in cases {
            assert_eq!(to_base64(plain.as_bytes(), true), padded);
            let raw = padded.trim_end_matches('=');
            assert_eq!(to_base64(plain.as_bytes(), false), raw);
            for encoded in [padded, raw] {
                assert_eq!(from_base64(encoded.as_bytes()).as_deref(), Some(plain.as_bytes()), "{encoded}");
            }
        }
        assert_eq!(to_base64(&[0xfb, 0xff], true), "+/8=");
        assert_eq!((from_base64(b"Z"), from_base64(b"Zm9v!"), from_base64(b"===")), (None, None, None));
    }

    #[test]
    fn hex_is_read_as_it_is_written() {
        assert_eq!(to_hex(&[0, 0xab, 0xff]), "00abff");
        assert_eq!(from_hex(b"00ABff"), Some(vec![0, 0xab, 0xff]));
        assert_eq!((from_hex(b"0"), from_hex(b"0g")), (None, None));
    }
}
