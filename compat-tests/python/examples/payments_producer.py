"""Sends ten payments as JSON. The key is the user, so one user's payments stay in order."""

import json
import os

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=os.environ.get("BOOTSTRAP", "localhost:9092"))

for number in range(10):
    user = f"user-{number % 3}"
    payment = {"id": number, "user": user, "amount": 10 * number}
    producer.send("payments", key=user.encode(), value=json.dumps(payment).encode())

producer.flush()
print("sent 10 payments")
