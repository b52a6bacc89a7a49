package klamm;

import static klamm.Clients.PATIENCE_S;
import static klamm.Clients.done;
import static klamm.Clients.equal;
import static klamm.Clients.fails;
import static klamm.Clients.numbers;
import static klamm.Clients.read;
import static klamm.Clients.until;
import static klamm.Clients.values;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.DescribeTransactionsOptions;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.InvalidTxnStateException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;

/** Transactions of the Java client, in the version that Kafka 4 finalizes (KIP-890) and in the one before it. */
final class TransactionTests {
    private static final String FEATURE = "transaction.version";
    private static final Duration SHORT = Duration.ofSeconds(1);

    private final Clients clients;

    TransactionTests(Clients clients) {
        this.clients = clients;
    }

    /** What a test does in both versions. */
    private interface Body {
        void run() throws Exception;
    }

    /** Runs a test while version 1 is finalized: epochs stay, and a producer adds its partitions by itself. */
    private void inVersion1(Body body) throws Exception {
        finalizeVersion(1, FeatureUpdate.UpgradeType.SAFE_DOWNGRADE);
        try {
            body.run();
        } finally {
            finalizeVersion(2, FeatureUpdate.UpgradeType.UPGRADE);
        }
    }

    private void finalizeVersion(int version, FeatureUpdate.UpgradeType type) throws Exception {
        var update = new FeatureUpdate((short) version, type);
        done(clients.admin().updateFeatures(Map.of(FEATURE, update), new UpdateFeaturesOptions()).all());
        until(() -> {
            var features = done(clients.admin().describeFeatures().featureMetadata()).finalizedFeatures();
            return features.get(FEATURE).maxVersionLevel() == version;
        });
    }

    /** A transactional producer that is ready; `options` are keys and values in turn. */
    private KafkaProducer<String, String> transactional(String id, String... options) {
        List<String> all = new ArrayList<>(List.of("transactional.id", id));
        all.addAll(List.of(options));
        var producer = clients.producer(all.toArray(String[]::new));
        producer.initTransactions();
        return producer;
    }

    private KafkaProducer<String, String> transactional() {
        return transactional(clients.name);
    }

    private static void send(KafkaProducer<String, String> producer, TopicPartition to, String... sent) throws Exception {
        for (String value : sent) {
            producer.send(new ProducerRecord<>(to.topic(), to.partition(), null, value)).get(PATIENCE_S, TimeUnit.SECONDS);
        }
    }

    /** Creates a topic and returns its only partition. */
    private TopicPartition partition(String suffix) throws Exception {
        String topic = clients.name + suffix;
        done(clients.admin().createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
        return new TopicPartition(topic, 0);
    }

    private KafkaConsumer<String, String> reader(TopicPartition partition, String isolation) {
        var consumer = clients.consumer("isolation.level", isolation);
        consumer.assign(List.of(partition));
        return consumer;
    }

    /** All values that a partition shows now, from its beginning up to where this reader must stop. */
    private List<String> visible(TopicPartition partition, String isolation) throws Exception {
        var consumer = reader(partition, isolation);
        long end = consumer.endOffsets(List.of(partition)).get(partition);
        List<String> found = new ArrayList<>();
        until(() -> {
            consumer.poll(Duration.ofMillis(50)).forEach(record -> found.add(record.value()));
            return consumer.position(partition) >= end;
        });
        return found;
    }

    private List<String> committed(TopicPartition partition) throws Exception {
        return visible(partition, "read_committed");
    }

    private List<String> uncommitted(TopicPartition partition) throws Exception {
        return visible(partition, "read_uncommitted");
    }

    private long end(TopicPartition partition, IsolationLevel isolation) throws Exception {
        var asked = Map.of(partition, OffsetSpec.latest());
        return done(clients.admin().listOffsets(asked, new ListOffsetsOptions(isolation)).partitionResult(partition)).offset();
    }

    private long stable(TopicPartition partition) throws Exception {
        return end(partition, IsolationLevel.READ_COMMITTED);
    }

    private TransactionDescription described(String id) throws Exception {
        return done(clients.admin().describeTransactions(List.of(id), new DescribeTransactionsOptions()).description(id));
    }

    /** Waits for a state; the end of a transaction is answered before all of its markers are written. */
    private TransactionDescription described(String id, TransactionState state) throws Exception {
        until(() -> described(id).state() == state);
        return described(id);
    }

    /** The state of the only producer that a partition knows. */
    private ProducerState producerOf(TopicPartition partition) throws Exception {
        var states = done(clients.admin().describeProducers(List.of(partition)).partitionResult(partition)).activeProducers();
        equal(1, states.size());
        return states.get(0);
    }

    private Map<TopicPartition, OffsetAndMetadata> offsets(String group, boolean stable) throws Exception {
        var options = new ListConsumerGroupOffsetsOptions().requireStable(stable).timeoutMs(1000);
        var asked = Map.of(group, new ListConsumerGroupOffsetsSpec());
        return done(clients.admin().listConsumerGroupOffsets(asked, options).partitionsToOffsetAndMetadata());
    }

    /** Commits, aborts and commits again in one partition, and in a second one at the same time. */
    private void endings(int epochsPerTransaction) throws Exception {
        var one = partition("");
        var other = partition("-other");
        var producer = transactional();
        int first = described(clients.name).producerEpoch();
        producer.beginTransaction();
        send(producer, one, "a", "b");
        send(producer, other, "c");
        equal(List.of(), committed(one));
        equal(List.of("a", "b"), uncommitted(one));
        equal(0L, stable(one));
        producer.commitTransaction();
        until(() -> stable(one) == 3 && stable(other) == 2);
        equal(List.of("a", "b"), committed(one));
        equal(List.of("c"), committed(other));
        producer.beginTransaction();
        send(producer, one, "never");
        producer.abortTransaction();
        producer.beginTransaction();
        send(producer, one, "d");
        producer.commitTransaction();
        until(() -> stable(one) == 7);
        equal(List.of("a", "b", "d"), committed(one));
        equal(List.of("a", "b", "never", "d"), uncommitted(one));
        var end = described(clients.name, TransactionState.COMPLETE_COMMIT);
        equal(first + 3 * epochsPerTransaction, end.producerEpoch());
    }

    @Test
    void commitsAndAborts() throws Exception {
        endings(1);
    }

    @Test
    void commitsAndAbortsInVersion1() throws Exception {
        inVersion1(() -> endings(0));
    }

    /** A producer that began in one version goes on in the other, after the feature has changed under it. */
    @Test
    void versionsChangeUnderAProducer() throws Exception {
        var partition = partition("");
        var producer = transactional();
        producer.beginTransaction();
        send(producer, partition, "a");
        inVersion1(() -> {
            producer.commitTransaction();
            producer.beginTransaction();
            send(producer, partition, "b");
            producer.commitTransaction();
            producer.beginTransaction();
            send(producer, partition, "never");
        });
        producer.abortTransaction();
        producer.beginTransaction();
        send(producer, partition, "c");
        producer.commitTransaction();
        until(() -> stable(partition) == 8);
        equal(List.of("a", "b", "c"), committed(partition));
    }

    @Test
    void manyTransactionsInManyPartitions() throws Exception {
        done(clients.admin().createTopics(List.of(new NewTopic(clients.name, 10, (short) 1))).all());
        var producer = transactional();
        for (int number = 0; number < 100; number++) {
            producer.beginTransaction();
            for (int partition = 0; partition < 10; partition++) {
                producer.send(new ProducerRecord<>(clients.name, partition, null, "" + number));
            }
            // Without this, kafka-clients 4.1 may end a transaction before its records are sent, where a broker is fast: its sender
            // looks for records that are left before it looks for the request that ends it. They go into the next one then.
            producer.flush();
            if (number % 4 == 3) {
                producer.abortTransaction();
            } else {
                producer.commitTransaction();
            }
        }
        var kept = numbers(100).stream().filter(number -> Integer.parseInt(number) % 4 != 3).toList();
        for (int partition = 0; partition < 10; partition++) {
            var consumer = reader(new TopicPartition(clients.name, partition), "read_committed");
            equal(kept, values(read(consumer, kept.size())));
        }
    }

    @Test
    void nothingWithinATransaction() throws Exception {
        var producer = transactional();
        producer.beginTransaction();
        producer.commitTransaction();
        producer.beginTransaction();
        producer.abortTransaction();
        equal(TransactionState.EMPTY, described(clients.name).state());
    }

    /** What an open transaction has committed for a group: seen by nobody, and those who ask for what is stable wait. */
    private void pendingOffsets(boolean commits) throws Exception {
        var source = partition("-in");
        String group = clients.name;
        clients.fill(source.topic(), numbers(10));
        var consumer = clients.consumer("group.id", group, "isolation.level", "read_committed");
        consumer.subscribe(List.of(source.topic()));
        read(consumer, 10);
        consumer.commitSync(Map.of(source, new OffsetAndMetadata(2, "before")));
        var producer = transactional();
        producer.beginTransaction();
        producer.sendOffsetsToTransaction(Map.of(source, new OffsetAndMetadata(7, "within")), consumer.groupMetadata());
        equal(new OffsetAndMetadata(2, "before"), offsets(group, false).get(source));
        // Partitions with an error are left out by the admin client, and asked for again by the consumer.
        equal(Map.of(), offsets(group, true));
        fails(TimeoutException.class, () -> consumer.committed(Set.of(source), SHORT));
        if (commits) {
            producer.commitTransaction();
        } else {
            producer.abortTransaction();
        }
        var expected = commits ? new OffsetAndMetadata(7, "within") : new OffsetAndMetadata(2, "before");
        equal(expected, consumer.committed(Set.of(source)).get(source));
        equal(expected, offsets(group, true).get(source));
    }

    @Test
    void offsetsAreCommitted() throws Exception {
        pendingOffsets(true);
    }

    @Test
    void offsetsAreAborted() throws Exception {
        pendingOffsets(false);
    }

    @Test
    void offsetsAreCommittedInVersion1() throws Exception {
        inVersion1(() -> pendingOffsets(true));
    }

    /** A plain commit beside a pending one: the later of the two in the log is what counts once the transaction is committed. */
    @Test
    void plainCommitBesideAPendingOne() throws Exception {
        var source = partition("-in");
        var consumer = clients.consumer("group.id", clients.name);
        var producer = transactional();
        producer.beginTransaction();
        var group = new ConsumerGroupMetadata(clients.name);
        producer.sendOffsetsToTransaction(Map.of(source, new OffsetAndMetadata(5)), group);
        consumer.assign(List.of(source));
        consumer.commitSync(Map.of(source, new OffsetAndMetadata(9)));
        producer.commitTransaction();
        equal(9L, offsets(clients.name, true).get(source).offset());
    }

    /** A generation that is over must not commit, and its transaction can only be aborted. */
    @Test
    void offsetsOfAFormerGeneration() throws Exception {
        var source = partition("-in");
        clients.fill(source.topic(), numbers(3));
        var consumer = clients.consumer("group.id", clients.name);
        consumer.subscribe(List.of(source.topic()));
        read(consumer, 3);
        var former = consumer.groupMetadata();
        consumer.unsubscribe();
        var producer = transactional();
        producer.beginTransaction();
        fails(CommitFailedException.class, () -> {
            producer.sendOffsetsToTransaction(Map.of(source, new OffsetAndMetadata(3)), former);
            return null;
        });
        producer.abortTransaction();
        equal(Map.of(), offsets(clients.name, true));
    }

    private void fencing() throws Exception {
        var partition = partition("");
        var zombie = transactional();
        zombie.beginTransaction();
        send(zombie, partition, "of the zombie");
        var successor = transactional();
        until(() -> stable(partition) == 2);
        equal(List.of(), committed(partition));
        fails(InvalidProducerEpochException.class, () -> {
            send(zombie, partition, "more of the zombie");
            return null;
        });
        successor.beginTransaction();
        send(successor, partition, "of the successor");
        successor.commitTransaction();
        until(() -> stable(partition) == 4);
        equal(List.of("of the successor"), committed(partition));
    }

    @Test
    void successorFencesItsPredecessor() throws Exception {
        fencing();
    }

    @Test
    void successorFencesItsPredecessorInVersion1() throws Exception {
        inVersion1(this::fencing);
    }

    @Test
    void zombieCannotCommit() throws Exception {
        var partition = partition("");
        var zombie = transactional();
        zombie.beginTransaction();
        send(zombie, partition, "never");
        transactional();
        fails(ProducerFencedException.class, () -> {
            zombie.commitTransaction();
            return null;
        });
        equal(List.of(), committed(partition));
    }

    @Test
    void adminFencesProducers() throws Exception {
        var partition = partition("");
        var producer = transactional();
        producer.beginTransaction();
        send(producer, partition, "never");
        var before = described(clients.name);
        var fenced = clients.admin().fenceProducers(List.of(clients.name));
        equal(before.producerId(), done(fenced.producerId(clients.name)));
        equal(true, done(fenced.epochId(clients.name)) > before.producerEpoch());
        until(() -> stable(partition) == 2);
        fails(ProducerFencedException.class, () -> {
            producer.commitTransaction();
            return null;
        });
        equal(List.of(), committed(partition));
    }

    private void timeout(Class<? extends Exception> lateCommit) throws Exception {
        var partition = partition("");
        var producer = transactional(clients.name, "transaction.timeout.ms", "1000");
        producer.beginTransaction();
        send(producer, partition, "too late");
        until(() -> stable(partition) == 2);
        var state = described(clients.name, TransactionState.COMPLETE_ABORT);
        equal(Set.of(), state.topicPartitions());
        fails(lateCommit, () -> {
            producer.commitTransaction();
            return null;
        });
        var next = transactional();
        next.beginTransaction();
        send(next, partition, "in time");
        next.commitTransaction();
        until(() -> stable(partition) == 4);
        equal(List.of("in time"), committed(partition));
    }

    @Test
    void timeoutAborts() throws Exception {
        timeout(InvalidTxnStateException.class);
    }

    @Test
    void timeoutAbortsInVersion1() throws Exception {
        inVersion1(() -> timeout(ProducerFencedException.class));
    }

    @Test
    void timeoutAboveTheBrokersMaximum() throws Exception {
        fails(KafkaException.class, () -> transactional(clients.name, "transaction.timeout.ms", "900001"));
    }

    @Test
    void describedAndListed() throws Exception {
        var partition = partition("");
        String id = clients.name;
        fails(TransactionalIdNotFoundException.class, () -> described(id));
        var producer = transactional(id, "transaction.timeout.ms", "70000");
        equal(TransactionState.EMPTY, described(id).state());
        producer.beginTransaction();
        send(producer, partition, "a");
        var open = described(id);
        equal(TransactionState.ONGOING, open.state());
        equal(Set.of(partition), open.topicPartitions());
        equal(70_000L, open.transactionTimeoutMs());
        equal(true, open.transactionStartTimeMs().isPresent());
        var listing = new TransactionListing(id, open.producerId(), TransactionState.ONGOING);
        equal(true, listed(new ListTransactionsOptions()).contains(listing));
        equal(List.of(listing), listed(new ListTransactionsOptions().filterProducerIds(Set.of(open.producerId()))));
        equal(List.of(listing), listed(new ListTransactionsOptions().filterOnTransactionalIdPattern(id + ".*")));
        equal(true, listed(new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING))).contains(listing));
        equal(false, listed(new ListTransactionsOptions().filterStates(Set.of(TransactionState.EMPTY))).contains(listing));
        equal(false, listed(new ListTransactionsOptions().filterOnDuration(60_000)).contains(listing));
        producer.commitTransaction();
        var ended = described(id, TransactionState.COMPLETE_COMMIT);
        equal(Set.of(), ended.topicPartitions());
    }

    private List<TransactionListing> listed(ListTransactionsOptions options) throws Exception {
        return List.copyOf(done(clients.admin().listTransactions(options).all()));
    }

    /** The partition's leader tells where a transaction began; the admin aborts it there, behind the coordinator's back. */
    @Test
    void adminAbortsAHangingTransaction() throws Exception {
        var partition = partition("");
        var producer = transactional();
        clients.fill(partition.topic(), List.of("plain"), "enable.idempotence", "false");
        producer.beginTransaction();
        send(producer, partition, "left behind", "and more");
        var state = producerOf(partition);
        var described = described(clients.name);
        equal(described.producerId(), state.producerId());
        equal(described.producerEpoch(), state.producerEpoch());
        equal(1, state.lastSequence());
        equal(1L, state.currentTransactionStartOffset().getAsLong());
        equal(1L, stable(partition));
        short epoch = (short) state.producerEpoch();
        int coordinatorEpoch = state.coordinatorEpoch().orElse(0);
        var spec = new AbortTransactionSpec(partition, state.producerId(), epoch, coordinatorEpoch);
        done(clients.admin().abortTransaction(spec).all());
        until(() -> stable(partition) == 4);
        equal(false, producerOf(partition).currentTransactionStartOffset().isPresent());
        equal(List.of("plain"), committed(partition));
    }

    @Test
    void producersOfAPartition() throws Exception {
        var partition = partition("");
        var producer = transactional();
        producer.beginTransaction();
        send(producer, partition, "a");
        equal(true, producerOf(partition).currentTransactionStartOffset().isPresent());
        producer.commitTransaction();
        until(() -> stable(partition) == 2);
        var state = producerOf(partition);
        equal(false, state.currentTransactionStartOffset().isPresent());
        equal(0, state.coordinatorEpoch().getAsInt());
    }
}
