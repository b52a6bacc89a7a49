"""Reads payments as the group `payments-processor`, until Ctrl-C. Several of these share the work."""

import json
import os

from kafka import KafkaConsumer

consumer = KafkaConsumer(
    "payments",
    bootstrap_servers=os.environ.get("BOOTSTRAP", "localhost:9092"),
    group_id="payments-processor",
    auto_offset_reset="earliest",  # A group that is new here starts with the oldest payment, not with the next.
)

try:
    for message in consumer:
        payment = json.loads(message.value)
        print(f"payment {payment['id']}: {payment['user']} paid {payment['amount']}", flush=True)
except KeyboardInterrupt:
    consumer.close()
