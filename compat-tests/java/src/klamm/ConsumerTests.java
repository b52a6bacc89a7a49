package klamm;

import static klamm.Clients.equal;
import static klamm.Clients.fails;
import static klamm.Clients.numbers;
import static klamm.Clients.read;
import static klamm.Clients.values;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetMetadataTooLarge;

/** The Java consumer without a group: where to start, seeking, looking offsets up. */
final class ConsumerTests {
    private static final long START = 1_700_000_000_000L;
    private final Clients clients;

    ConsumerTests(Clients clients) {
        this.clients = clients;
    }

    /** Fills partition 0 of a new topic with 0 to 9, a second apart. */
    private TopicPartition filled() throws Exception {
        String topic = clients.createTopic(1);
        var producer = clients.producer();
        for (int number = 0; number < 10; number++) {
            producer.send(new ProducerRecord<>(topic, 0, START + 1000L * number, null, "" + number)).get();
        }
        return new TopicPartition(topic, 0);
    }

    private KafkaConsumer<String, String> assigned(TopicPartition partition, String... options) {
        var consumer = clients.consumer(options);
        consumer.assign(List.of(partition));
        return consumer;
    }

    @Test
    void fromBeginning() throws Exception {
        equal(numbers(10), values(read(assigned(filled()), 10)));
    }

    @Test
    void fromLatest() throws Exception {
        var partition = filled();
        var consumer = assigned(partition, "auto.offset.reset", "latest");
        equal(10L, consumer.position(partition));
        clients.fill(partition.topic(), List.of("new"));
        equal(List.of("new"), values(read(consumer, 1)));
    }

    /** `by_duration` asks the broker for the offset of a time. */
    @Test
    void fromDuration() throws Exception {
        var consumer = assigned(filled(), "auto.offset.reset", "by_duration:P10000D");
        equal(numbers(10), values(read(consumer, 10)));
    }

    @Test
    void seek() throws Exception {
        var partition = filled();
        var consumer = assigned(partition);
        consumer.seek(partition, 8);
        equal(List.of("8", "9"), values(read(consumer, 2)));
        consumer.seekToBeginning(List.of(partition));
        equal(0L, consumer.position(partition));
        consumer.seekToEnd(List.of(partition));
        equal(10L, consumer.position(partition));
    }

    @Test
    void seekOutOfRangeResets() throws Exception {
        var partition = filled();
        var consumer = assigned(partition);
        consumer.seek(partition, 5000);
        equal(numbers(10), values(read(consumer, 10)));
    }

    @Test
    void offsets() throws Exception {
        var partition = filled();
        var consumer = clients.consumer();
        equal(Map.of(partition, 0L), consumer.beginningOffsets(List.of(partition)));
        equal(Map.of(partition, 10L), consumer.endOffsets(List.of(partition)));
        var found = consumer.offsetsForTimes(Map.of(partition, START + 4500)).get(partition);
        equal(5L, found.offset());
        equal(START + 5000, found.timestamp());
        equal(null, consumer.offsetsForTimes(Map.of(partition, START + 1_000_000)).get(partition));
    }

    @Test
    void lag() throws Exception {
        var partition = filled();
        var consumer = assigned(partition, "max.poll.records", "4");
        read(consumer, 4);
        equal(6L, consumer.currentLag(partition).getAsLong());
    }

    @Test
    void readCommitted() throws Exception {
        equal(numbers(10), values(read(assigned(filled(), "isolation.level", "read_committed"), 10)));
    }

    @Test
    void smallFetches() throws Exception {
        equal(numbers(10), values(read(assigned(filled(), "fetch.max.bytes", "1", "max.partition.fetch.bytes", "1"), 10)));
    }

    @Test
    void longPollWaitsForMinBytes() throws Exception {
        var partition = filled();
        var consumer = assigned(partition, "fetch.min.bytes", "100000", "fetch.max.wait.ms", "300");
        equal(numbers(10), values(read(consumer, 10)));
    }

    @Test
    void manualAssignAndCommit() throws Exception {
        var partition = filled();
        var consumer = assigned(partition, "group.id", clients.name);
        read(consumer, 10);
        consumer.commitSync(Map.of(partition, new OffsetAndMetadata(7, "note")));
        equal(new OffsetAndMetadata(7, "note"), consumer.committed(Set.of(partition)).get(partition));
        equal(List.of("7", "8", "9"), values(read(assigned(partition, "group.id", clients.name), 3)));
    }

    @Test
    void commitWithTooLargeMetadata() throws Exception {
        var partition = filled();
        var consumer = assigned(partition, "group.id", clients.name);
        fails(OffsetMetadataTooLarge.class, () -> {
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(1, "m".repeat(5000))));
            return null;
        });
    }

    @Test
    void invalidTopic() throws Exception {
        var consumer = clients.consumer("group.id", clients.name);
        consumer.subscribe(List.of("not/valid"));
        fails(InvalidTopicException.class, () -> consumer.poll(Duration.ofSeconds(Clients.PATIENCE_S)));
    }

    @Test
    void unknownTopicWithoutAutoCreation() throws Exception {
        var consumer = clients.consumer("allow.auto.create.topics", "false");
        equal(List.of(), consumer.partitionsFor(clients.name));
        equal(false, consumer.listTopics().containsKey(clients.name));
    }
}
