"""Creates the topic `orders` with four partitions: up to four members of a group can share its work."""

import os

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

admin = KafkaAdminClient(bootstrap_servers=os.environ.get("BOOTSTRAP", "localhost:9092"))
try:
    admin.create_topics([NewTopic("orders", num_partitions=4, replication_factor=1)])
    print("created topic orders with 4 partitions")
except TopicAlreadyExistsError:
    print("topic orders exists already")
admin.close()
