"""Sends the orders numbered FIRST to LAST: orders_producer.py FIRST LAST. The key is the table that ordered."""

import json
import os
import sys

from kafka import KafkaProducer

if len(sys.argv) != 3 or not all(argument.isdecimal() for argument in sys.argv[1:]):
    print("usage: orders_producer.py FIRST LAST, such as orders_producer.py 1 20", file=sys.stderr)
    sys.exit(2)
first, last = int(sys.argv[1]), int(sys.argv[2])
producer = KafkaProducer(bootstrap_servers=os.environ.get("BOOTSTRAP", "localhost:9092"), acks="all")

for number in range(first, last + 1):
    table = f"table-{number % 8}"
    order = {"number": number, "table": table, "dish": "soup"}
    producer.send("orders", key=table.encode(), value=json.dumps(order).encode())

producer.flush()
print(f"sent orders {first} to {last}")
