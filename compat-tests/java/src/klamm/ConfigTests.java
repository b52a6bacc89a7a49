package klamm;

import static klamm.Clients.done;
import static klamm.Clients.equal;
import static klamm.Clients.fails;
import static klamm.Clients.until;

import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConfigEntry.ConfigSource;
import org.apache.kafka.clients.admin.ConfigEntry.ConfigType;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.ConfigResource.Type;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidRequestException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;

/** Configs and quotas by the Java admin client: one client alters, another one reads back. */
final class ConfigTests {
    private static final String BROKER = "1";

    private final Clients clients;

    ConfigTests(Clients clients) {
        this.clients = clients;
    }

    private static AlterConfigOp operation(OpType type, String key, String value) {
        return new AlterConfigOp(new ConfigEntry(key, value), type);
    }

    private void alter(ConfigResource resource, AlterConfigOp... operations) throws Exception {
        Map<ConfigResource, Collection<AlterConfigOp>> changes = Map.of(resource, Arrays.asList(operations));
        done(clients.admin().incrementalAlterConfigs(changes).all());
    }

    /** A config with its documentation and synonyms, read by a client of its own. */
    private ConfigEntry read(ConfigResource resource, String key) throws Exception {
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        try (Admin other = clients.otherAdmin()) {
            return done(other.describeConfigs(List.of(resource), options).all()).get(resource).get(key);
        }
    }

    private static List<ConfigSource> sources(ConfigEntry entry) {
        return entry.synonyms().stream().map(ConfigEntry.ConfigSynonym::source).toList();
    }

    /** Of a topic: every operation, and what is said about a config besides its value. */
    @Test
    void topic() throws Exception {
        var topic = new ConfigResource(Type.TOPIC, clients.createTopic(1, "retention.ms", "1000"));
        alter(topic, operation(OpType.APPEND, "cleanup.policy", "compact"), operation(OpType.SET, "max.message.bytes", "2000"),
                operation(OpType.DELETE, "retention.ms", null));
        equal("delete,compact", read(topic, "cleanup.policy").value());
        equal(ConfigType.LIST, read(topic, "cleanup.policy").type());
        equal("604800000", read(topic, "retention.ms").value());
        var size = read(topic, "max.message.bytes");
        equal("2000", size.value());
        equal(List.of(ConfigSource.DYNAMIC_TOPIC_CONFIG, ConfigSource.DEFAULT_CONFIG), sources(size));
        equal("message.max.bytes", size.synonyms().get(1).name());
        equal(ConfigType.INT, size.type());
        equal(List.of(false, false, false), List.of(size.isReadOnly(), size.isSensitive(), size.isDefault()));
        equal(true, size.documentation().length() > 20);
        alter(topic, operation(OpType.SUBTRACT, "cleanup.policy", "delete"));
        equal("compact", read(topic, "cleanup.policy").value());
    }

    @Test
    void onlyValidated() throws Exception {
        var topic = new ConfigResource(Type.TOPIC, clients.createTopic(1));
        Map<ConfigResource, Collection<AlterConfigOp>> changes =
                Map.of(topic, List.of(operation(OpType.SET, "retention.ms", "1000")));
        done(clients.admin().incrementalAlterConfigs(changes, new AlterConfigsOptions().validateOnly(true)).all());
        equal("604800000", read(topic, "retention.ms").value());
    }

    @Test
    void refusals() throws Exception {
        var topic = new ConfigResource(Type.TOPIC, clients.createTopic(1));
        var missing = new ConfigResource(Type.TOPIC, clients.name + "-missing");
        var broker = new ConfigResource(Type.BROKER, BROKER);
        var retention = operation(OpType.SET, "retention.ms", "soon");
        fails(InvalidConfigurationException.class, () -> refused(topic, retention));
        fails(InvalidConfigurationException.class, () -> refused(topic, operation(OpType.SET, "no.such.key", "1")));
        fails(InvalidConfigurationException.class, () -> refused(topic, operation(OpType.APPEND, "retention.ms", "1")));
        fails(UnknownTopicOrPartitionException.class, () -> refused(missing, operation(OpType.SET, "retention.ms", "1")));
        fails(UnknownTopicOrPartitionException.class, () -> done(clients.admin().describeConfigs(List.of(missing)).all()));
        fails(InvalidRequestException.class, () -> refused(broker, operation(OpType.SET, "node.id", "2")));
        var valid = operation(OpType.SET, "retention.ms", "1");
        // One resource's refusal is not another's.
        Map<ConfigResource, Collection<AlterConfigOp>> changes =
                Map.of(topic, List.of(operation(OpType.SET, "retention.ms", "1000")), missing, List.of(valid));
        var results = clients.admin().incrementalAlterConfigs(changes).values();
        fails(UnknownTopicOrPartitionException.class, () -> done(results.get(missing)));
        done(results.get(topic));
        equal("1000", read(topic, "retention.ms").value());
    }

    private Object refused(ConfigResource resource, AlterConfigOp operation) throws Exception {
        alter(resource, operation);
        return "no refusal";
    }

    /** The layers of a broker's config; the cluster-wide default is a resource without a name. */
    @Test
    void broker() throws Exception {
        String key = "log.cleaner.backoff.ms";
        var cluster = new ConfigResource(Type.BROKER, "");
        var broker = new ConfigResource(Type.BROKER, BROKER);
        alter(cluster, operation(OpType.SET, key, "14000"));
        until(() -> read(broker, key).value().equals("14000"));
        alter(broker, operation(OpType.SET, key, "13000"));
        until(() -> read(broker, key).value().equals("13000"));
        equal(List.of(ConfigSource.DYNAMIC_BROKER_CONFIG, ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG,
                ConfigSource.DEFAULT_CONFIG), sources(read(broker, key)));
        equal("14000", read(cluster, key).value());
        alter(broker, operation(OpType.DELETE, key, null));
        alter(cluster, operation(OpType.DELETE, key, null));
        until(() -> read(broker, key).value().equals("15000"));
        equal(true, read(broker, "node.id").isReadOnly());
    }

    @Test
    void brokerLogger() throws Exception {
        var loggers = new ConfigResource(Type.BROKER_LOGGER, BROKER);
        String before = read(loggers, "root").value();
        alter(loggers, operation(OpType.SET, "root", "ERROR"));
        equal("ERROR", read(loggers, "root").value());
        alter(loggers, operation(OpType.SET, "root", before));
        fails(InvalidConfigurationException.class, () -> refused(loggers, operation(OpType.SET, "root", "LOUD")));
    }

    @Test
    void groupAndClientMetrics() throws Exception {
        var group = new ConfigResource(Type.GROUP, clients.name);
        alter(group, operation(OpType.SET, "consumer.session.timeout.ms", "50000"));
        until(() -> read(group, "consumer.session.timeout.ms").source() == ConfigSource.DYNAMIC_GROUP_CONFIG);
        equal("50000", read(group, "consumer.session.timeout.ms").value());
        var metrics = new ConfigResource(Type.CLIENT_METRICS, clients.name);
        alter(metrics, operation(OpType.SET, "interval.ms", "60000"));
        until(() -> read(metrics, "interval.ms") != null);
        equal("60000", read(metrics, "interval.ms").value());
        fails(InvalidConfigurationException.class, () -> refused(group, operation(OpType.SET, "no.such.key", "1")));
        fails(InvalidRequestException.class, () -> refused(metrics, operation(OpType.SET, "interval.ms", "1")));
        try (Admin other = clients.otherAdmin()) {
            var types = Set.of(Type.GROUP, Type.CLIENT_METRICS);
            var listed = done(other.listConfigResources(types, new ListConfigResourcesOptions()).all());
            equal(true, listed.containsAll(List.of(group, metrics)));
        }
        alter(group, operation(OpType.DELETE, "consumer.session.timeout.ms", null));
        alter(metrics, operation(OpType.DELETE, "interval.ms", null));
    }

    @Test
    void quotas() throws Exception {
        var user = new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, clients.name));
        var client = new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, clients.name, ClientQuotaEntity.CLIENT_ID, "app"));
        var rate = new ClientQuotaAlteration.Op("producer_byte_rate", 1024.0);
        var percentage = new ClientQuotaAlteration.Op("request_percentage", 12.5);
        done(clients.admin().alterClientQuotas(List.of(new ClientQuotaAlteration(user, List.of(rate)),
                new ClientQuotaAlteration(client, List.of(percentage)))).all());
        var named = ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.USER, clients.name);
        try (Admin other = clients.otherAdmin()) {
            var wide = ClientQuotaFilter.contains(List.of(named));
            var expected = Map.of(user, Map.of("producer_byte_rate", 1024.0), client, Map.of("request_percentage", 12.5));
            until(() -> done(other.describeClientQuotas(wide).entities()).equals(expected));
            var strict = ClientQuotaFilter.containsOnly(List.of(named));
            equal(Set.of(user), done(other.describeClientQuotas(strict).entities()).keySet());
            var removals = expected.keySet().stream().map(entity -> new ClientQuotaAlteration(entity,
                    List.of(new ClientQuotaAlteration.Op("producer_byte_rate", null),
                            new ClientQuotaAlteration.Op("request_percentage", null)))).collect(Collectors.toList());
            done(clients.admin().alterClientQuotas(removals).all());
            until(() -> done(other.describeClientQuotas(wide).entities()).isEmpty());
        }
        var unknown = new ClientQuotaAlteration(user, List.of(new ClientQuotaAlteration.Op("no_such_quota", 1.0)));
        fails(InvalidRequestException.class, () -> done(clients.admin().alterClientQuotas(List.of(unknown)).all()));
    }
}
