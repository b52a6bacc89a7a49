//! What the properties of Kafka's clients must be (`ProducerConfig`, `ConsumerConfig`). Pure.

use super::tool_properties::ToolProperties;

/// Properties that are whole numbers, by Java's name of their type.
const NUMBERS: [(&str, &[&str]); 2] = [
    (
        "INT",
        &[
            "auto.commit.interval.ms",
            "batch.size",
            "default.api.timeout.ms",
            "delivery.timeout.ms",
            "fetch.max.bytes",
            "fetch.max.wait.ms",
            "fetch.min.bytes",
            "heartbeat.interval.ms",
            "max.in.flight.requests.per.connection",
            "max.partition.fetch.bytes",
            "max.poll.interval.ms",
            "max.poll.records",
            "max.request.size",
            "receive.buffer.bytes",
            "request.timeout.ms",
            "retries",
            "send.buffer.bytes",
            "session.timeout.ms",
            "transaction.timeout.ms",
        ],
    ),
    (
        "LONG",
        &[
            "buffer.memory",
            "connections.max.idle.ms",
            "linger.ms",
            "max.block.ms",
            "metadata.max.age.ms",
            "reconnect.backoff.ms",
            "retry.backoff.ms",
        ],
    ),
];

/// The exception that a value is worth which is no number although it must be one. Other properties are not looked at.
pub(super) fn check_numbers(properties: &ToolProperties) -> Result<(), String> {
    for (kind, keys) in NUMBERS {
        for key in keys {
            let Some(value) = properties.text(key) else { continue };
            let number = value.trim().parse::<i64>();
            if !number.is_ok_and(|number| kind == "LONG" || i32::try_from(number).is_ok()) {
                return Err(config_exception(key, value, &format!("Not a number of type {kind}")));
            }
        }
    }
    Ok(())
}

/// What Java says of a value that a property cannot have.
pub(super) fn config_exception(key: &str, value: &str, why: &str) -> String {
    format!("org.apache.kafka.common.config.ConfigException: Invalid value {value} for configuration {key}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_must_be_numbers_of_their_size() {
        let checked = |pair: &str| check_numbers(&ToolProperties::from_pairs(&[pair]));
        assert_eq!(checked("linger.ms= 3000000000 "), Ok(()));
        assert_eq!(checked("com.example.key=soon"), Ok(()));
        let error = checked("retries=3000000000").expect_err("too large");
        assert!(
            error.ends_with("Invalid value 3000000000 for configuration retries: Not a number of type INT"),
            "{error}"
        );
        assert!(checked("linger.ms=soon").expect_err("no number").ends_with("Not a number of type LONG"));
    }
}
