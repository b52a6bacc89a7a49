"""Creates the topic `orders` with four partitions: up to four members of a group can share its work."""

import os

from kafka.admin import KafkaAdminClient, NewTopic

admin = KafkaAdminClient(bootstrap_servers=os.environ.get("BOOTSTRAP", "localhost:9092"))
admin.create_topics([NewTopic("orders", num_partitions=4, replication_factor=1)])
admin.close()
print("created topic orders with 4 partitions")
