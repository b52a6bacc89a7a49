package klamm;

import static klamm.Clients.done;
import static klamm.Clients.equal;
import static klamm.Clients.fails;
import static klamm.Clients.numbers;
import static klamm.Clients.read;
import static klamm.Clients.until;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The Java admin client. */
final class AdminTests {
    private final Clients clients;

    AdminTests(Clients clients) {
        this.clients = clients;
    }

    @Test
    void describeCluster() throws Exception {
        var cluster = clients.admin().describeCluster();
        equal(1, done(cluster.nodes()).size());
        equal(done(cluster.controller()).id(), done(cluster.nodes()).iterator().next().id());
        equal(false, done(cluster.clusterId()).isEmpty());
    }

    @Test
    void createListDescribeDeleteTopic() throws Exception {
        var admin = clients.admin();
        var created = admin.createTopics(List.of(new NewTopic(clients.name, Optional.of(3), Optional.empty())));
        equal(3, done(created.numPartitions(clients.name)));
        equal(1, done(created.replicationFactor(clients.name)));
        equal(true, done(admin.listTopics().names()).contains(clients.name));
        var described = done(admin.describeTopics(List.of(clients.name)).allTopicNames()).get(clients.name);
        equal(numbers(3), described.partitions().stream().map(partition -> "" + partition.partition()).toList());
        equal(done(created.topicId(clients.name)), described.topicId());
        var byId = done(admin.describeTopics(TopicCollection.ofTopicIds(Set.of(described.topicId()))).allTopicIds());
        equal(clients.name, byId.get(described.topicId()).name());
        done(admin.deleteTopics(TopicCollection.ofTopicIds(Set.of(described.topicId()))).all());
        until(() -> !done(admin.listTopics().names()).contains(clients.name));
        fails(UnknownTopicIdException.class,
                () -> done(admin.deleteTopics(TopicCollection.ofTopicIds(Set.of(described.topicId()))).all()));
    }

    @Test
    void topicErrors() throws Exception {
        var admin = clients.admin();
        clients.createTopic(1);
        fails(TopicExistsException.class, () -> clients.createTopic(1));
        fails(InvalidTopicException.class, () -> done(admin.createTopics(List.of(new NewTopic("a/b", 1, (short) 1))).all()));
        fails(InvalidPartitionsException.class,
                () -> done(admin.createTopics(List.of(new NewTopic(clients.name + "-x", 0, (short) 1))).all()));
        fails(InvalidReplicationFactorException.class,
                () -> done(admin.createTopics(List.of(new NewTopic(clients.name + "-x", 1, (short) 3))).all()));
        fails(UnknownTopicOrPartitionException.class, () -> done(admin.deleteTopics(List.of(clients.name + "-x")).all()));
        fails(UnknownTopicOrPartitionException.class,
                () -> done(admin.describeTopics(List.of(clients.name + "-x")).allTopicNames()));
    }

    @Test
    void validateOnly() throws Exception {
        var options = new CreateTopicsOptions().validateOnly(true);
        done(clients.admin().createTopics(List.of(new NewTopic(clients.name, 1, (short) 1)), options).all());
        equal(false, done(clients.admin().listTopics().names()).contains(clients.name));
    }

    @Test
    void createPartitions() throws Exception {
        var admin = clients.admin();
        clients.createTopic(2);
        done(admin.createPartitions(Map.of(clients.name, NewPartitions.increaseTo(5))).all());
        until(() -> done(admin.describeTopics(List.of(clients.name)).allTopicNames())
                .get(clients.name).partitions().size() == 5);
        fails(InvalidPartitionsException.class,
                () -> done(admin.createPartitions(Map.of(clients.name, NewPartitions.increaseTo(5))).all()));
    }

    @Test
    void listOffsets() throws Exception {
        var partition = new TopicPartition(clients.createTopic(1), 0);
        clients.fill(clients.name, numbers(5));
        var specs = Map.of(OffsetSpec.earliest(), 0L, OffsetSpec.latest(), 5L, OffsetSpec.earliestLocal(), 0L,
                OffsetSpec.forTimestamp(0), 0L, OffsetSpec.latestTiered(), -1L);
        for (var spec : specs.entrySet()) {
            var listed = done(clients.admin().listOffsets(Map.of(partition, spec.getKey())).all());
            equal(spec.getValue(), listed.get(partition).offset());
        }
        var newest = done(clients.admin().listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).all()).get(partition);
        equal(true, newest.offset() >= 0 && newest.offset() < 5 && newest.timestamp() > 0);
    }

    @Test
    void groups() throws Exception {
        var admin = clients.admin();
        clients.createTopic(2);
        var consumer = clients.consumer("group.id", clients.name, "client.id", "observed");
        consumer.subscribe(List.of(clients.name));
        clients.fill(clients.name, numbers(3));
        read(consumer, 3);
        var stable = ListGroupsOptions.forConsumerGroups().inGroupStates(Set.of(GroupState.STABLE));
        equal(1L, done(admin.listGroups(stable).all()).stream()
                .filter(group -> group.groupId().equals(clients.name)).count());
        var described = done(admin.describeConsumerGroups(List.of(clients.name)).all()).get(clients.name);
        equal(GroupState.STABLE, described.groupState());
        equal("range", described.partitionAssignor());
        var member = described.members().iterator().next();
        equal("observed", member.clientId());
        equal(2, member.assignment().topicPartitions().size());
        fails(GroupNotEmptyException.class, () -> done(admin.deleteConsumerGroups(List.of(clients.name)).all()));
        consumer.commitSync();
        fails(GroupSubscribedToTopicException.class, () -> done(admin.deleteConsumerGroupOffsets(
                clients.name, Set.of(new TopicPartition(clients.name, 0))).all()));
        consumer.close();
        done(admin.deleteConsumerGroups(List.of(clients.name)).all());
        fails(GroupIdNotFoundException.class, () -> done(admin.deleteConsumerGroups(List.of(clients.name)).all()));
        fails(GroupIdNotFoundException.class, () -> done(admin.describeConsumerGroups(List.of(clients.name)).all()));
    }

    @Test
    void groupOffsets() throws Exception {
        var admin = clients.admin();
        var one = new TopicPartition(clients.createTopic(2), 0);
        var two = new TopicPartition(clients.name, 1);
        var offsets = Map.of(one, new OffsetAndMetadata(3, "by hand"), two, new OffsetAndMetadata(4));
        done(admin.alterConsumerGroupOffsets(clients.name, offsets).all());
        equal(offsets, done(admin.listConsumerGroupOffsets(clients.name).partitionsToOffsetAndMetadata()));
        done(admin.deleteConsumerGroupOffsets(clients.name, Set.of(two)).all());
        equal(Set.of(one), done(admin.listConsumerGroupOffsets(clients.name).partitionsToOffsetAndMetadata()).keySet());
    }

    @Test
    void removeMembers() throws Exception {
        var admin = clients.admin();
        clients.createTopic(1);
        var consumer = clients.consumer("group.id", clients.name);
        consumer.subscribe(List.of(clients.name));
        clients.fill(clients.name, numbers(1));
        read(consumer, 1);
        var all = new RemoveMembersFromConsumerGroupOptions();
        done(admin.removeMembersFromConsumerGroup(clients.name, all).all());
        var described = done(admin.describeConsumerGroups(List.of(clients.name)).all()).get(clients.name);
        equal(GroupState.EMPTY, described.groupState());
    }
}
