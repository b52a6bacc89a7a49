"""A proxy between clients and a broker that holds frames back. It is told what to do by lines on its standard input:

pass                     everything goes through at once
slow MS                  every frame of a client is held for so long
late MS KEY...           frames of these API keys are: the client's connection is cut when one arrives, and the broker gets
                         the frame after so long, when the client has asked again elsewhere

python3 proxy.py PORT_OF_THE_BROKER           prints its own port
"""

import asyncio
import os
import struct
import sys


class Proxy:
    """Passes connections on; `hold_s` and `late` are what is in force."""

    def __init__(self, broker_port):
        self.broker_port = broker_port
        self.hold_s = 0.0
        self.late = frozenset()
        self.held = 0
        self.tasks = set()

    async def connection(self, reader, writer):
        """Passes one client's connection on, until either side ends it."""
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self.broker_port)
        except OSError:
            writer.transport.abort()
            return
        answers = asyncio.create_task(self.answers(broker_reader, writer))
        self.tasks.add(answers)
        answers.add_done_callback(self.tasks.discard)
        try:
            await self.requests(reader, broker_writer, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            broker_writer.close()

    async def answers(self, reader, writer):
        """Passes the broker's bytes on."""
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()

    async def requests(self, reader, broker_writer, writer):
        """Passes a client's frames on, or holds them."""
        while True:
            head = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack(">i", head)[0])
            if struct.unpack(">h", body[:2])[0] in self.late:
                self.held += 1
                hold_s = self.hold_s
                writer.transport.abort()
                await asyncio.sleep(hold_s)
                broker_writer.write(head + body)
                await broker_writer.drain()
                await asyncio.sleep(0.2)  # The broker reads what came before the end of the connection.
                return
            if self.hold_s and not self.late:
                await asyncio.sleep(self.hold_s)
            broker_writer.write(head + body)
            await broker_writer.drain()

    def obey(self, line):
        """Does what a line says."""
        word, *numbers = line.split() or ["pass"]
        self.hold_s = int(numbers[0]) / 1000 if numbers else 0.0
        self.late = frozenset(map(int, numbers[1:])) if word == "late" else frozenset()


async def main():
    """Listens on a free port, and to the standard input until its end."""
    proxy = Proxy(int(sys.argv[1]))
    server = await asyncio.start_server(proxy.connection, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        proxy.obey(line.decode())
        print(f"held {proxy.held}", flush=True)
    # What is still connected ends with this process, and nobody waits for it.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
