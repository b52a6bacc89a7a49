//! Uuids as Kafka writes them into files and prints them: 22 characters of URL-safe base64 without padding.

use crate::ids::Uuid;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LENGTH: usize = 22;

/// The 22 characters of `uuid`.
pub fn format_uuid(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    // 22 characters of 6 bits are 132 bits: the last character holds the uuid's last two bits and four zeros.
    let digit = |index: usize| match 122_i32 - 6 * index as i32 {
        shift @ 0.. => (bits >> shift) & 0x3f,
        _ => (bits << 4) & 0x3f,
    };
    (0..TEXT_LENGTH).filter_map(|index| ALPHABET.get(digit(index) as usize)).map(|&byte| char::from(byte)).collect()
}

/// The uuid that [`format_uuid`] wrote as `text`, or `None` when it is not one.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() != TEXT_LENGTH {
        return None;
    }
    let (head, last) = text.split_at_checked(TEXT_LENGTH - 1)?;
    let digit = |byte: u8| ALPHABET.iter().position(|&known| known == byte).map(|digit| digit as u128);
    let bits = head.bytes().try_fold(0, |bits: u128, byte| Some(bits << 6 | digit(byte)?))?;
    Some(Uuid::from_u128(bits << 2 | digit(last.bytes().next()?)? >> 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kafkas_and_comes_back() {
        // Kafka's own constants: Uuid.ONE_UUID and Uuid.ZERO_UUID.
        assert_eq!(format_uuid(Uuid::nil()), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(format_uuid(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        for uuid in [Uuid::nil(), Uuid::max(), Uuid::new_v4(), Uuid::new_v4()] {
            assert_eq!(parse_uuid(&format_uuid(uuid)), Some(uuid));
        }
        assert_eq!(parse_uuid("AAAAAAAAAAAAAAAAAAAAA"), None);
        assert_eq!(parse_uuid("AAAAAAAAAAAAAAAAAAAAA="), None);
        assert_eq!(parse_uuid("ééééééééééé"), None);
    }
}
