//! Which partition of an internal topic holds the state of a group or a transaction.

/// The partition that `id` belongs to, as Kafka's coordinators compute it (`GroupCoordinatorService.partitionFor`): the
/// absolute value of Java's `String.hashCode`, modulo the number of partitions. 0 where there are no partitions.
pub fn partition_for(id: &str, partitions: i32) -> i32 {
    if partitions <= 0 {
        return 0;
    }
    // Of i32::MIN there is no absolute value; Kafka's Utils.abs takes 0.
    java_hash_code(id).checked_abs().unwrap_or(0) % partitions
}

/// Java's `String.hashCode`: over UTF-16 code units, so that a character beyond the basic plane counts as two.
fn java_hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_java_s() {
        assert_eq!(java_hash_code(""), 0);
        assert_eq!(java_hash_code("a"), 97);
        assert_eq!(java_hash_code("hello"), 99_162_322);
        assert_eq!(java_hash_code("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash_code("grüße"), 98_768_023);
        // U+1F600 is the surrogates D83D DE00.
        assert_eq!(java_hash_code("😀"), 0xd83d * 31 + 0xde00);
    }

    #[test]
    fn a_partition_is_never_negative() {
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("hello", 50), 22);
        assert_eq!(partition_for("hello", 1), 0);
        assert_eq!(java_hash_code("orders"), -1_008_770_331);
        assert_eq!(partition_for("orders", 50), 31, "the absolute value, not the hash without its sign bit");
        assert_eq!(partition_for("hello", 0), 0);
    }
}
