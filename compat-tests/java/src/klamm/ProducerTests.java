package klamm;

import static klamm.Clients.equal;
import static klamm.Clients.fails;
import static klamm.Clients.numbers;
import static klamm.Clients.read;
import static klamm.Clients.values;

import java.util.List;
import java.util.stream.StreamSupport;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;

/** The Java producer. */
final class ProducerTests {
    private final Clients clients;

    ProducerTests(Clients clients) {
        this.clients = clients;
    }

    private List<String> stored(String topic, int count) throws Exception {
        var consumer = clients.consumer();
        consumer.assign(List.of(new TopicPartition(topic, 0)));
        return values(read(consumer, count));
    }

    /** The default producer is idempotent with acks=all. */
    @Test
    void idempotent() throws Exception {
        String topic = clients.createTopic(1);
        var sent = clients.fill(topic, numbers(5000), "linger.ms", "1");
        for (int number = 0; number < 5000; number++) {
            equal((long) number, sent.get(number).offset());
        }
        equal(numbers(5000), stored(topic, 5000));
    }

    @Test
    void acks() throws Exception {
        String topic = clients.createTopic(1);
        int expected = 0;
        for (String acks : List.of("0", "1", "all")) {
            clients.fill(topic, numbers(3), "acks", acks, "enable.idempotence", "false");
            expected += 3;
            equal(expected, stored(topic, expected).size());
        }
    }

    @Test
    void compression() throws Exception {
        String topic = clients.createTopic(1);
        List<String> codecs = List.of("gzip", "snappy", "lz4", "zstd");
        for (String codec : codecs) {
            clients.fill(topic, numbers(500), "compression.type", codec, "linger.ms", "20");
        }
        equal(numbers(500), stored(topic, 2000).subList(1500, 2000));
    }

    @Test
    void keyHeadersNullValue() throws Exception {
        String topic = clients.createTopic(1);
        var record = new ProducerRecord<String, String>(topic, 0, 1_600_000_000_000L, "user-10", null);
        record.headers().add("trace", "1".getBytes()).add("trace", "2".getBytes()).add("none", null);
        clients.producer().send(record).get();
        var consumer = clients.consumer();
        consumer.assign(List.of(new TopicPartition(topic, 0)));
        var stored = read(consumer, 1).get(0);
        equal("user-10", stored.key());
        equal(null, stored.value());
        equal(1_600_000_000_000L, stored.timestamp());
        equal(TimestampType.CREATE_TIME, stored.timestampType());
        var keys = StreamSupport.stream(stored.headers().spliterator(), false).map(Header::key).toList();
        equal(List.of("trace", "trace", "none"), keys);
    }

    @Test
    void logAppendTime() throws Exception {
        String topic = clients.createTopic(1, "message.timestamp.type", "LogAppendTime");
        var sent = clients.producer().send(new ProducerRecord<>(topic, 0, 1000L, null, "a")).get();
        var consumer = clients.consumer();
        consumer.assign(List.of(new TopicPartition(topic, 0)));
        var stored = read(consumer, 1).get(0);
        equal(TimestampType.LOG_APPEND_TIME, stored.timestampType());
        equal(sent.timestamp(), stored.timestamp());
        equal(true, stored.timestamp() > 1_600_000_000_000L);
    }

    /** `user-10` is on partition 2 of 3. */
    @Test
    void keyDecidesPartition() throws Exception {
        String topic = clients.createTopic(3);
        equal(2, clients.producer().send(new ProducerRecord<>(topic, "user-10", "a")).get().partition());
    }

    @Test
    void bigMessage() throws Exception {
        String topic = clients.createTopic(1);
        String big = "x".repeat(900_000);
        clients.fill(topic, List.of(big, "small"));
        equal(List.of(big, "small"), stored(topic, 2));
    }

    @Test
    void tooLargeMessage() throws Exception {
        String topic = clients.createTopic(1, "max.message.bytes", "10000");
        fails(RecordTooLargeException.class, () -> clients.fill(topic, List.of("x".repeat(20_000))));
        clients.fill(topic, List.of("small"));
        equal(List.of("small"), stored(topic, 1));
    }

    @Test
    void autoCreation() throws Exception {
        equal(0L, clients.fill(clients.name, List.of("a")).get(0).offset());
    }
}
