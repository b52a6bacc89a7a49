"""One raw connection to a broker: requests as dictionaries, answers in order, closing seen as an answer of its own."""

import socket
import struct

from codec import Reader, varint

CLOSED = "connection closed"
SILENCE = "no answer"
PATIENCE_S = 30


class Connection:
    """A TCP connection; `ask` waits for the answer, `send` and `receive` leave room in between.

    A lasting one is made anew when an `ask` has ended without an answer, so that the questions after it are heard.
    """

    def __init__(self, port, messages, lasting=False):
        self.port = port
        self.messages = messages
        self.lasting = lasting
        self.correlation = 0
        self.open()

    def open(self):
        """Connects, for the first time or again."""
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.owed = []

    def frame(self, api, version, body, client="oracle"):
        """The bytes of a request without its length; `body` is a dictionary, or bytes as they are."""
        message = self.messages[f"{api}Request"]
        flexible = message.is_flexible(version)
        self.correlation += 1
        header = struct.pack(">hhi", message.key, version, self.correlation)
        header += struct.pack(">h", -1) if client is None else struct.pack(">h", len(client)) + client.encode()
        content = body if isinstance(body, bytes) else message.encode(version, body)
        return header + (varint(0) if flexible else b"") + content

    def write(self, frame):
        """Sends bytes with their length before them."""
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def send(self, api, version, body, **options):
        """Sends a request and remembers what answer is owed."""
        self.write(self.frame(api, version, body, **options))
        self.owed.append((api, version, self.correlation))

    def read(self, size):
        """Exactly `size` bytes, or None when the broker closed the connection."""
        data = b""
        while len(data) < size:
            try:
                more = self.socket.recv(size - len(data))
            except ConnectionError:
                return None
            if not more:
                return None
            data += more
        return data

    def receive(self):
        """The next answer as a dictionary, or CLOSED, or SILENCE."""
        api, version, correlation = self.owed.pop(0)
        try:
            size = self.read(4)
            frame = self.read(struct.unpack(">i", size)[0]) if size else None
        except TimeoutError:
            return SILENCE
        if frame is None:
            return CLOSED
        reader = Reader(frame)
        found = reader.number(">i")
        assert found == correlation, f"answer to {found}, expected {correlation}"
        return self.decode(api, version, reader)

    def decode(self, api, version, reader):
        """An answer's body; one to an unsupported ApiVersions version is in version 0."""
        message = self.messages[f"{api}Response"]
        if api == "ApiVersions":
            if reader.data[reader.at : reader.at + 2] == struct.pack(">h", 35):
                version = 0
        elif message.is_flexible(version):
            for _ in range(reader.varint()):
                reader.varint(), reader.take(reader.varint())
        value = message.decode(version, reader)
        left = len(reader.data) - reader.at
        return {**value, "bytes left": left} if left else value

    def ask(self, api, version, body, patience=PATIENCE_S, **options):
        """Sends a request and waits for its answer; one that the broker closed before is CLOSED too."""
        self.socket.settimeout(patience)
        try:
            self.send(api, version, body, **options)
            answer = self.receive()
        except ConnectionError:
            answer = CLOSED
        self.socket.settimeout(PATIENCE_S)
        if self.lasting and answer in (CLOSED, SILENCE):
            self.close()
            self.open()
        return answer

    def is_closed_after(self, data):
        """Sends bytes as they are; CLOSED, SILENCE, or the first bytes that come back."""
        try:
            self.socket.sendall(data)
            answer = self.socket.recv(4096)
        except TimeoutError:
            return SILENCE
        except ConnectionError:
            return CLOSED
        return answer.hex() if answer else CLOSED

    def close(self):
        """Closes the connection."""
        self.socket.close()
