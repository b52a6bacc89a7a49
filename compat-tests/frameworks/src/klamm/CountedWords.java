package klamm;

import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;

/**
 * Kafka Streams counts words exactly once: by way of a repartition topic, in a store with a changelog. Every count is written,
 * so that a word read twice or not at all is a number that is missing, or there twice. Runs until it is killed.
 */
final class CountedWords {
    private CountedWords() {}

    public static void main(String[] arguments) throws Exception {
        String name = arguments[1];
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(name)
                .groupBy((key, word) -> word.substring(0, 1), Grouped.as("by-letter"))
                .count(Materialized.as("counts"))
                .toStream()
                .mapValues(String::valueOf)
                .to(name + "-counted");
        Properties options = new Properties();
        options.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        options.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        options.put(StreamsConfig.STATE_DIR_CONFIG, arguments[2]);
        options.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        options.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        options.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        options.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        options.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        options.put("auto.offset.reset", "earliest");
        options.put("reconnect.backoff.max.ms", 100);
        // A killed instance is missed, and what it left open is aborted, in seconds.
        options.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 3000);
        options.put(StreamsConfig.consumerPrefix("heartbeat.interval.ms"), 300);
        options.put(StreamsConfig.producerPrefix("transaction.timeout.ms"), 4000);
        // Transactions of several batches.
        options.put(StreamsConfig.consumerPrefix("max.poll.records"), 50);
        KafkaStreams streams = new KafkaStreams(builder.build(), options);
        streams.start();
        new CountDownLatch(1).await();
    }
}
