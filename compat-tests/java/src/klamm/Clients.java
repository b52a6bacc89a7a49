package klamm;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Makes the clients of one test and closes them; and the few assertions that the tests share. */
final class Clients implements AutoCloseable {
    static final long PATIENCE_S = 20;
    private static final Duration POLL = Duration.ofMillis(50);

    /** A name for topics and groups that no other test uses. */
    final String name = "java-" + UUID.randomUUID().toString().substring(0, 8);

    private final String bootstrap;
    private final List<AutoCloseable> opened = new ArrayList<>();
    private Admin admin;

    Clients(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    private Properties properties(String... options) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < options.length; i += 2) {
            properties.put(options[i], options[i + 1]);
        }
        return properties;
    }

    Admin admin() {
        if (admin == null) {
            admin = Admin.create(properties());
            opened.add(admin);
        }
        return admin;
    }

    /** Another admin client, to read back what the first one changed; the caller closes it. */
    Admin otherAdmin() {
        return Admin.create(properties());
    }

    /** A producer with the defaults of this version, idempotence among them; `options` are keys and values in turn. */
    KafkaProducer<String, String> producer(String... options) {
        var producer = new KafkaProducer<>(properties(options), new StringSerializer(), new StringSerializer());
        opened.add(producer);
        return producer;
    }

    /** A consumer of the classic protocol that starts at the beginning and commits only when told. */
    KafkaConsumer<String, String> consumer(String... options) {
        Properties properties = properties("auto.offset.reset", "earliest", "enable.auto.commit", "false",
                "session.timeout.ms", "6000", "heartbeat.interval.ms", "300", "metadata.max.age.ms", "1000");
        properties.putAll(properties(options));
        var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
        opened.add(consumer);
        return consumer;
    }

    /** Creates a topic with this test's name. */
    String createTopic(int partitions, String... configs) throws Exception {
        NewTopic topic = new NewTopic(name, partitions, (short) 1);
        topic.configs(configs.length == 0 ? Map.of() : Map.of(configs[0], configs[1]));
        done(admin().createTopics(List.of(topic)).all());
        return name;
    }

    /** Sends values to partition 0 in order, acknowledged by all; returns where they are. */
    List<RecordMetadata> fill(String topic, List<String> values, String... options) throws Exception {
        var producer = producer(options);
        var sent = values.stream().map(value -> producer.send(new ProducerRecord<>(topic, 0, null, value))).toList();
        producer.flush();
        List<RecordMetadata> metadata = new ArrayList<>();
        for (var future : sent) {
            metadata.add(future.get(PATIENCE_S, TimeUnit.SECONDS));
        }
        return metadata;
    }

    /** Polls until exactly `count` records came. */
    static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> consumer, int count) throws Exception {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        until(() -> {
            consumer.poll(POLL).forEach(records::add);
            return records.size() >= count;
        });
        equal(count, records.size());
        return records;
    }

    static List<String> values(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).toList();
    }

    /** Waits for an answer of the admin client. */
    static <T> T done(KafkaFuture<T> future) throws Exception {
        return future.get(PATIENCE_S, TimeUnit.SECONDS);
    }

    /** Waits until a condition holds. */
    static void until(Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
        while (!condition.call()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("the condition never held");
            }
            Thread.sleep(10);
        }
    }

    static void equal(Object expected, Object actual) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError("expected " + expected + ", got " + actual);
        }
    }

    /** Runs something that must fail, and checks the innermost Kafka error. */
    static void fails(Class<? extends Exception> type, Callable<?> action) throws Exception {
        Object result;
        try {
            result = action.call();
        } catch (Exception error) {
            Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
            equal(type, cause.getClass());
            return;
        }
        throw new AssertionError("expected " + type + ", got " + result);
    }

    static List<String> numbers(int count) {
        return IntStream.range(0, count).mapToObj(String::valueOf).toList();
    }

    /** Closes the clients, newest first. */
    @Override
    public void close() throws Exception {
        Collections.reverse(opened);
        for (AutoCloseable client : opened) {
            client.close();
        }
    }
}
