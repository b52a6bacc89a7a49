"""Prints every order from the very beginning, whatever any group has read already."""

import json
import os
import sys

from kafka import KafkaConsumer, TopicPartition

consumer = KafkaConsumer(bootstrap_servers=os.environ.get("BOOTSTRAP", "localhost:9092"))
# What partitions_for_topic() asks for would be created; the list of topics creates none.
if "orders" not in consumer.topics():
    print("there is no topic orders yet: run orders_topic.py and orders_producer.py first", file=sys.stderr)
    sys.exit(1)
partitions = [TopicPartition("orders", number) for number in sorted(consumer.partitions_for_topic("orders"))]
consumer.assign(partitions)
consumer.seek_to_beginning()
end = consumer.end_offsets(partitions)

while any(consumer.position(partition) < end[partition] for partition in partitions):
    for messages in consumer.poll(timeout_ms=1000).values():
        for message in messages:
            order = json.loads(message.value)
            where = f"partition {message.partition} offset {message.offset}"
            print(f"replay: order {order['number']} of {order['table']} ({where})")

consumer.close()
