"""aiokafka's clients for the tests of this folder, and what their tests share."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PATIENCE_S = 20


class Clients:
    """Starts clients of one broker and stops them with the test."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.started = []

    async def start(self, client):
        """Starts a client that `stop` will stop."""
        await client.start()
        self.started.append(client)
        return client

    async def producer(self, **options):
        """A started producer."""
        return await self.start(AIOKafkaProducer(bootstrap_servers=self.bootstrap, **options))

    async def consumer(self, *topics, **options):
        """A started consumer that reads from the beginning and commits only when told."""
        quick = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 300, "metadata_max_age_ms": 1000}
        defaults = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **quick}
        return await self.start(AIOKafkaConsumer(*topics, bootstrap_servers=self.bootstrap, **{**defaults, **options}))

    async def create(self, topic, partitions=1, **configs):
        """Creates a topic."""
        entries = {key.replace("_", "."): value for key, value in configs.items()}
        admin = await self.admin()
        return await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=entries)])

    async def admin(self):
        """A started admin client."""
        client = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await client.start()
        client.stop = client.close
        self.started.append(client)
        return client

    async def fill(self, topic, values, **options):
        """Sends values in order; returns the records' metadata."""
        producer = await self.producer(**options)
        sent = [await producer.send(topic, value.encode()) for value in values]
        return [await future for future in sent]

    async def stop(self):
        """Stops everything, newest first."""
        for client in reversed(self.started):
            await client.stop()


async def read(consumer, count):
    """Reads `count` records."""
    return [await asyncio.wait_for(consumer.getone(), PATIENCE_S) for _ in range(count)]


async def values(consumer, count):
    """Reads `count` records' values as strings."""
    return [record.value.decode() for record in await read(consumer, count)]
