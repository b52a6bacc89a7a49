package klamm;

import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.config.ConfigResource;
import org.springframework.context.support.GenericApplicationContext;
import org.springframework.kafka.config.TopicBuilder;
import org.springframework.kafka.core.KafkaAdmin;

/** Spring's KafkaAdmin makes topics what an application's beans say, at its first start and at a later one. */
final class SpringTopics {
    private SpringTopics() {}

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        String name = arguments[1];
        start(bootstrap, TopicBuilder.name(name).partitions(1).replicas(1).config("retention.ms", "1000").build());
        expect(bootstrap, name, 1, "1000");
        start(bootstrap, TopicBuilder.name(name).partitions(3).replicas(1).config("retention.ms", "2000").build());
        expect(bootstrap, name, 3, "2000");
        System.out.println("modified");
    }

    /** Starts an application that has this topic as its bean. */
    private static void start(String bootstrap, NewTopic topic) {
        KafkaAdmin admin = new KafkaAdmin(Map.of("bootstrap.servers", bootstrap));
        admin.setModifyTopicConfigs(true);
        admin.setFatalIfBrokerNotAvailable(true);
        try (var context = new GenericApplicationContext()) {
            context.registerBean("topic", NewTopic.class, () -> topic);
            context.registerBean("admin", KafkaAdmin.class, () -> admin);
            context.refresh();
        }
    }

    private static void expect(String bootstrap, String name, int partitions, String retention) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            int found = admin.describeTopics(List.of(name)).allTopicNames().get().get(name).partitions().size();
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, name);
            var configs = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            String value = configs.get("retention.ms").value();
            if (found != partitions || !value.equals(retention)) {
                throw new AssertionError(found + " partitions, retention.ms=" + value);
            }
        }
    }
}
