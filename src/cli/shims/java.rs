//! What Java does where Kafka's tools rely on it: the order of a hash table, the text of a floating point number.

/// `items` in the order in which a `HashMap` of Java's iterates over them by `key`, when it was made with `capacity` and
/// they were put into it in their order. Kafka's tools print in such orders, which do not change from run to run.
pub(super) fn in_hash_order<T>(mut items: Vec<T>, capacity: usize, key: impl Fn(&T) -> &str) -> Vec<T> {
    let mut buckets = capacity.max(1).next_power_of_two();
    // A table grows when it is three quarters full.
    while items.len() > buckets * 3 / 4 {
        buckets *= 2;
    }
    let mask = u32::try_from(buckets - 1).unwrap_or(u32::MAX);
    items.sort_by_key(|item| {
        let hash = string_hash(key(item));
        (hash ^ (hash >> 16)) & mask
    });
    items
}

/// `String.hashCode`.
fn string_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// `Double.toString`: `1024.0`, and `1.0E7` from ten million on.
pub(super) fn double_text(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) || !value.is_finite() {
        let text = format!("{value:?}");
        return text.replace("inf", "Infinity");
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let fraction = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{fraction}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_table_has_javas_order() {
        let ordered = |names: &[&str], capacity| in_hash_order(names.to_vec(), capacity, |name| name).join(" ");
        // As kafka-topics --describe of Kafka 4.1.2 printed them.
        assert_eq!(ordered(&["assigned", "orders", "strict"], 3), "strict assigned orders");
        let four = ["assigned", "orders", "strict", "with.dot_and_underscore"];
        assert_eq!(ordered(&four, 4), "assigned orders strict with.dot_and_underscore");
        assert_eq!(ordered(&["retention.ms", "cleanup.policy"], 16), "cleanup.policy retention.ms");
        assert_eq!((string_hash("hello"), string_hash("")), (99_162_322, 0));
    }

    #[test]
    fn numbers_have_javas_text() {
        let texts = [1024.0, 0.5, 0.0, 9_999_999.0, 1e7, 12_345_678.0, 0.0001, f64::INFINITY].map(double_text);
        let expected = ["1024.0", "0.5", "0.0", "9999999.0", "1.0E7", "1.2345678E7", "1.0E-4", "Infinity"];
        assert_eq!(texts, expected);
    }
}
