package klamm;

import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Grouped;

/** Kafka Streams counts words by a key of its own, and deletes what it has read of the topic between. */
final class PurgedRepartition {
    private static final int WORDS = 200;

    private PurgedRepartition() {}

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        String name = arguments[1];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(name, 1, (short) 1))).all().get();
            write(bootstrap, name);
            try (KafkaStreams streams = streams(bootstrap, name)) {
                streams.start();
                var partition = new TopicPartition(name + "-by-length-repartition", 0);
                while (offset(admin, partition, OffsetSpec.earliest()) < WORDS) {
                    Thread.sleep(50);
                }
                if (offset(admin, partition, OffsetSpec.latest()) != WORDS) {
                    throw new AssertionError("the repartition topic holds more than was written");
                }
            }
        }
        System.out.println("purged");
    }

    private static void write(String bootstrap, String topic) {
        Map<String, Object> options = Map.of("bootstrap.servers", bootstrap);
        try (var producer = new KafkaProducer<>(options, new StringSerializer(), new StringSerializer())) {
            for (int number = 0; number < WORDS; number++) {
                producer.send(new ProducerRecord<>(topic, "word " + number));
            }
        }
    }

    private static KafkaStreams streams(String bootstrap, String name) throws Exception {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(name)
                .groupBy((key, word) -> "" + word.length(), Grouped.as("by-length"))
                .count()
                .toStream()
                .mapValues(String::valueOf)
                .to(name + "-counts");
        Properties options = new Properties();
        options.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        options.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        options.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        options.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        options.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        options.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, 200);
        options.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("klamm-streams").toString());
        options.put("auto.offset.reset", "earliest");
        return new KafkaStreams(builder.build(), options);
    }

    /** An offset of a partition, or -1 while there is no such topic. */
    private static long offset(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        if (!admin.listTopics().names().get().contains(partition.topic())) {
            return -1;
        }
        try {
            return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
        } catch (ExecutionException error) {
            return -1;
        }
    }
}
