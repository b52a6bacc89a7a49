package klamm;

import static klamm.Clients.done;
import static klamm.Clients.equal;
import static klamm.Clients.fails;
import static klamm.Clients.numbers;
import static klamm.Clients.until;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RaftVoterEndpoint;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.admin.UserScramCredentialDeletion;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.errors.BrokerIdNotRegisteredException;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.InvalidUpdateVersionException;
import org.apache.kafka.common.errors.LogDirNotFoundException;
import org.apache.kafka.common.errors.NoReassignmentInProgressException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.ResourceNotFoundException;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.UnacceptableCredentialException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.errors.UnsupportedByAuthenticationException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Logs, replicas, the quorum, users and access by the Java admin client; another one reads back. */
final class ClusterTests {
    private final Clients clients;

    ClusterTests(Clients clients) {
        this.clients = clients;
    }

    private long startOffset(TopicPartition partition) throws Exception {
        try (Admin other = clients.otherAdmin()) {
            return done(other.listOffsets(Map.of(partition, OffsetSpec.earliest())).all()).get(partition).offset();
        }
    }

    @Test
    void deleteRecords() throws Exception {
        var partition = new TopicPartition(clients.createTopic(1), 0);
        clients.fill(clients.name, numbers(5));
        var deleted = clients.admin().deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(2)));
        equal(2L, done(deleted.lowWatermarks().get(partition)).lowWatermark());
        equal(2L, startOffset(partition));
        fails(OffsetOutOfRangeException.class,
                () -> done(clients.admin().deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(6))).all()));
        done(clients.admin().deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).all());
        equal(5L, startOffset(partition));
    }

    @Test
    void logDirectories() throws Exception {
        clients.createTopic(2);
        clients.fill(clients.name, numbers(5));
        var directories = done(clients.admin().describeLogDirs(List.of(1)).allDescriptions()).get(1);
        equal(1, directories.size());
        String path = directories.keySet().iterator().next();
        var described = directories.get(path);
        equal(null, described.error());
        equal(true, described.totalBytes().getAsLong() > described.usableBytes().getAsLong());
        equal(true, described.replicaInfos().get(new TopicPartition(clients.name, 0)).size() > 60);
        equal(0L, described.replicaInfos().get(new TopicPartition(clients.name, 1)).size());
        var replica = new TopicPartitionReplica(clients.name, 0, 1);
        equal(path, done(clients.admin().describeReplicaLogDirs(List.of(replica)).all()).get(replica).getCurrentReplicaLogDir());
        done(clients.admin().alterReplicaLogDirs(Map.of(replica, path)).all());
        fails(LogDirNotFoundException.class,
                () -> done(clients.admin().alterReplicaLogDirs(Map.of(replica, "/nowhere")).all()));
    }

    @Test
    void elections() throws Exception {
        var partition = new TopicPartition(clients.createTopic(1), 0);
        var missing = new TopicPartition(clients.name + "-missing", 0);
        for (ElectionType type : ElectionType.values()) {
            var outcomes = done(clients.admin().electLeaders(type, Set.of(partition, missing)).partitions());
            equal(ElectionNotNeededException.class, outcomes.get(partition).get().getClass());
            equal(UnknownTopicOrPartitionException.class, outcomes.get(missing).get().getClass());
        }
        equal(Map.of(), done(clients.admin().electLeaders(ElectionType.PREFERRED, null).partitions()));
    }

    @Test
    void reassignments() throws Exception {
        var partition = new TopicPartition(clients.createTopic(1), 0);
        var here = Optional.of(new NewPartitionReassignment(List.of(1)));
        var nowhere = Optional.of(new NewPartitionReassignment(List.of(7)));
        done(clients.admin().alterPartitionReassignments(Map.of(partition, here)).all());
        equal(Map.of(), done(clients.admin().listPartitionReassignments().reassignments()));
        fails(InvalidReplicaAssignmentException.class,
                () -> done(clients.admin().alterPartitionReassignments(Map.of(partition, nowhere)).all()));
        fails(NoReassignmentInProgressException.class,
                () -> done(clients.admin().alterPartitionReassignments(Map.of(partition, Optional.empty())).all()));
        var missing = new TopicPartition(clients.name + "-missing", 0);
        fails(UnknownTopicOrPartitionException.class,
                () -> done(clients.admin().alterPartitionReassignments(Map.of(missing, here)).all()));
    }

    @Test
    void quorum() throws Exception {
        var quorum = done(clients.admin().describeMetadataQuorum().quorumInfo());
        equal(1, quorum.leaderId());
        equal(List.of(1), quorum.voters().stream().map(voter -> voter.replicaId()).toList());
        equal(true, quorum.highWatermark() > 0 && quorum.voters().get(0).logEndOffset() >= quorum.highWatermark());
        equal(List.of(), quorum.observers());
        var endpoint = Set.of(new RaftVoterEndpoint("CONTROLLER", "127.0.0.1", 1));
        fails(UnsupportedVersionException.class,
                () -> done(clients.admin().addRaftVoter(7, Uuid.randomUuid(), endpoint).all()));
        fails(UnsupportedVersionException.class, () -> done(clients.admin().removeRaftVoter(1, Uuid.randomUuid()).all()));
        fails(BrokerIdNotRegisteredException.class, () -> done(clients.admin().unregisterBroker(7).all()));
    }

    @Test
    void features() throws Exception {
        var features = done(clients.admin().describeFeatures().featureMetadata());
        // 27 is 4.1-IV1.
        equal((short) 27, features.finalizedFeatures().get("metadata.version").maxVersionLevel());
        var upgrade = FeatureUpdate.UpgradeType.UPGRADE;
        var unknown = Map.of("no.such.feature", new FeatureUpdate((short) 1, upgrade));
        fails(InvalidUpdateVersionException.class,
                () -> done(clients.admin().updateFeatures(unknown, new UpdateFeaturesOptions()).all()));
        var same = Map.of("metadata.version", new FeatureUpdate((short) 27, upgrade));
        done(clients.admin().updateFeatures(same, new UpdateFeaturesOptions()).all());
    }

    @Test
    void scramUsers() throws Exception {
        var info = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096);
        var added = new UserScramCredentialUpsertion(clients.name, info, "secret");
        done(clients.admin().alterUserScramCredentials(List.of(added)).all());
        try (Admin other = clients.otherAdmin()) {
            until(() -> done(other.describeUserScramCredentials().users()).contains(clients.name));
            var described = other.describeUserScramCredentials(List.of(clients.name)).description(clients.name);
            equal(List.of(info), done(described).credentialInfos());
            done(clients.admin().alterUserScramCredentials(
                    List.of(new UserScramCredentialDeletion(clients.name, ScramMechanism.SCRAM_SHA_512))).all());
            until(() -> !done(other.describeUserScramCredentials().users()).contains(clients.name));
            fails(ResourceNotFoundException.class,
                    () -> done(other.describeUserScramCredentials(List.of(clients.name)).description(clients.name)));
        }
        var once = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 1);
        var weak = new UserScramCredentialUpsertion(clients.name, once, "secret");
        fails(UnacceptableCredentialException.class, () -> done(clients.admin().alterUserScramCredentials(List.of(weak)).all()));
    }

    @Test
    void noAuthorizer() throws Exception {
        var rule = new AccessControlEntry("User:alice", "*", AclOperation.READ, AclPermissionType.ALLOW);
        var binding = new AclBinding(new ResourcePattern(ResourceType.TOPIC, clients.name, PatternType.LITERAL), rule);
        fails(SecurityDisabledException.class, () -> done(clients.admin().createAcls(List.of(binding)).all()));
        fails(SecurityDisabledException.class, () -> done(clients.admin().describeAcls(AclBindingFilter.ANY).values()));
        fails(SecurityDisabledException.class, () -> done(clients.admin().deleteAcls(List.of(binding.toFilter())).all()));
        fails(UnsupportedByAuthenticationException.class, () -> done(clients.admin().createDelegationToken().delegationToken()));
        fails(UnsupportedByAuthenticationException.class,
                () -> done(clients.admin().describeDelegationToken().delegationTokens()));
    }

    @Test
    void producers() throws Exception {
        var partition = new TopicPartition(clients.createTopic(1), 0);
        clients.fill(clients.name, numbers(3), "batch.size", "1");
        var producers = done(clients.admin().describeProducers(List.of(partition)).all()).get(partition).activeProducers();
        equal(1, producers.size());
        equal(0, producers.get(0).producerEpoch());
        equal(2, producers.get(0).lastSequence());
        equal(true, producers.get(0).currentTransactionStartOffset().isEmpty());
    }

    /** More partitions than one answer may hold. */
    @Test
    void pages() throws Exception {
        clients.createTopic(7);
        var options = new DescribeTopicsOptions().partitionSizeLimitPerResponse(3);
        var described = done(clients.admin().describeTopics(List.of(clients.name), options).allTopicNames());
        equal(numbers(7), described.get(clients.name).partitions().stream().map(part -> "" + part.partition()).toList());
    }
}
