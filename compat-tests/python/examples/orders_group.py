"""One member of a group that works on every order: orders_group.py kitchen|delivery|billing, until Ctrl-C.

Each group gets every order. Members of one group share them: every partition has one member.
"""

import json
import os
import sys

from kafka import ConsumerRebalanceListener, KafkaConsumer

if len(sys.argv) != 2:
    print("usage: orders_group.py kitchen|delivery|billing", file=sys.stderr)
    sys.exit(2)
group = sys.argv[1]


class ShowPartitions(ConsumerRebalanceListener):
    """Prints which partitions this member works on, each time the group shares them anew."""

    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        print(f"{group}: has partitions {sorted(p.partition for p in assigned)}", flush=True)


consumer = KafkaConsumer(
    bootstrap_servers=os.environ.get("BOOTSTRAP", "localhost:9092"),
    group_id=group,
    auto_offset_reset="earliest",
    enable_auto_commit=False,
    session_timeout_ms=6000,  # How long a member may be silent before the others take over its partitions.
    heartbeat_interval_ms=1000,
)
consumer.subscribe(["orders"], listener=ShowPartitions())

try:
    for message in consumer:
        order = json.loads(message.value)
        # After this commit the group never sees the order again, even when this program is killed.
        consumer.commit()
        where = f"partition {message.partition} offset {message.offset}"
        print(f"{group}: order {order['number']} of {order['table']} ({where})", flush=True)
except KeyboardInterrupt:
    consumer.close()
