package klamm;

import java.util.Arrays;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;

/**
 * Kafka Streams collects, for each first letter, the words that it has read: by way of a repartition topic, in a store with
 * a changelog. Reading a word twice changes nothing, so that what is missing at the end was lost. Runs until it is killed.
 */
final class CollectedWords {
    private CollectedWords() {}

    public static void main(String[] arguments) throws Exception {
        String name = arguments[1];
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(name)
                .groupBy((key, word) -> word.substring(0, 1), Grouped.as("by-letter"))
                .aggregate(() -> "", (letter, word, words) -> with(words, word), Materialized.as("words"))
                .toStream()
                .to(name + "-collected");
        Properties options = new Properties();
        options.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        options.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        options.put(StreamsConfig.STATE_DIR_CONFIG, arguments[2]);
        options.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        options.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        options.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        options.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        options.put("auto.offset.reset", "earliest");
        options.put("reconnect.backoff.max.ms", 100);
        // The changelog's old segments are closed, and cleaned, while the application runs.
        options.put(StreamsConfig.topicPrefix("segment.ms"), 200);
        options.put(StreamsConfig.topicPrefix("min.cleanable.dirty.ratio"), "0.01");
        KafkaStreams streams = new KafkaStreams(builder.build(), options);
        streams.start();
        new CountDownLatch(1).await();
    }

    private static String with(String words, String word) {
        var all = new TreeSet<>(Arrays.asList(words.split(" ")));
        all.add(word);
        all.remove("");
        return String.join(" ", all);
    }
}
