package klamm;

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
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** Groups of Java consumers with the classic protocol. */
final class GroupTests {
    private static final String ASSIGNOR = "partition.assignment.strategy";
    private static final String PACKAGE = "org.apache.kafka.clients.consumer.";
    private final Clients clients;

    GroupTests(Clients clients) {
        this.clients = clients;
    }

    private KafkaConsumer<String, String> member(String... options) {
        List<String> all = new ArrayList<>(List.of("group.id", clients.name));
        all.addAll(List.of(options));
        var consumer = clients.consumer(all.toArray(String[]::new));
        consumer.subscribe(List.of(clients.name));
        return consumer;
    }

    /** Polls all members until every partition has exactly one of them and each of them has one. */
    private static void share(List<KafkaConsumer<String, String>> members, int partitions) throws Exception {
        until(() -> {
            List<Integer> owned = new ArrayList<>();
            boolean allBusy = true;
            for (var member : members) {
                member.poll(Duration.ofMillis(30));
                member.assignment().forEach(partition -> owned.add(partition.partition()));
                allBusy &= !member.assignment().isEmpty();
            }
            return allBusy && owned.stream().sorted().map(String::valueOf).toList().equals(numbers(partitions));
        });
    }

    private void rebalances(String assignor) throws Exception {
        clients.createTopic(4);
        List<KafkaConsumer<String, String>> members = new ArrayList<>();
        for (int count = 1; count <= 3; count++) {
            members.add(member(ASSIGNOR, PACKAGE + assignor));
            share(members, 4);
        }
        members.remove(1).close();
        share(members, 4);
    }

    @Test
    void eagerRebalance() throws Exception {
        rebalances("RangeAssignor");
    }

    @Test
    void cooperativeRebalance() throws Exception {
        rebalances("CooperativeStickyAssignor");
    }

    @Test
    void staticMemberReturns() throws Exception {
        clients.createTopic(2);
        var first = member("group.instance.id", "one");
        var second = member("group.instance.id", "two");
        share(List.of(first, second), 2);
        var had = second.assignment();
        second.close();
        var again = member("group.instance.id", "two");
        share(List.of(first, again), 2);
        equal(had, again.assignment());
    }

    @Test
    void commitAndContinue() throws Exception {
        var partition = new TopicPartition(clients.createTopic(1), 0);
        clients.fill(clients.name, List.of("a", "b", "c"));
        var consumer = member("max.poll.records", "2");
        read(consumer, 2);
        equal(null, consumer.committed(Set.of(partition)).get(partition));
        consumer.commitSync();
        equal(2L, consumer.committed(Set.of(partition)).get(partition).offset());
        consumer.close();
        var again = member();
        equal(List.of("c"), values(read(again, 1)));
        List<Exception> outcome = new ArrayList<>();
        again.commitAsync((offsets, error) -> outcome.add(error));
        until(() -> {
            again.poll(Duration.ofMillis(20));
            return !outcome.isEmpty();
        });
        equal(null, outcome.get(0));
        equal(3L, again.committed(Set.of(partition)).get(partition).offset());
    }

    @Test
    void autoCommit() throws Exception {
        var partition = new TopicPartition(clients.createTopic(1), 0);
        clients.fill(clients.name, List.of("a", "b"));
        var consumer = member("enable.auto.commit", "true");
        read(consumer, 2);
        consumer.close();
        equal(2L, clients.consumer("group.id", clients.name).committed(Set.of(partition)).get(partition).offset());
    }

    /** A consumer outside an active group may not commit for it. */
    @Test
    void commitFromOutside() throws Exception {
        var partition = new TopicPartition(clients.createTopic(1), 0);
        share(List.of(member()), 1);
        var outsider = clients.consumer("group.id", clients.name);
        outsider.assign(List.of(partition));
        fails(CommitFailedException.class, () -> {
            outsider.commitSync(Map.of(partition, new OffsetAndMetadata(1)));
            return null;
        });
    }

    /** A member that does not poll in time leaves, and the other takes over. */
    @Test
    void slowMemberIsReplaced() throws Exception {
        clients.createTopic(2);
        var slow = member("max.poll.interval.ms", "1500");
        var other = member();
        share(List.of(slow, other), 2);
        share(List.of(other), 2);
    }
}
