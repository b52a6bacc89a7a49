"""Kafka's messages as dictionaries, encoded and decoded by the definitions inside the published kafka-clients jar.

A dictionary may hold fields that a version does not know: they are left out there. Fields that are absent get their default.
"""

import json
import re
import struct
import uuid
import zipfile

NUMBERS = {
    "bool": ">?",
    "int8": ">b",
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "float64": ">d",
}


def versions(text):
    """A range such as `3+`, `0-2`, `4` or `none` as (first, last)."""
    if text in (None, "none"):
        return (1, 0)
    first, plus, _ = text.partition("+")
    bounds = first.split("-")
    return (int(bounds[0]), 32767 if plus else int(bounds[-1]))


def within(version, bounds):
    """Whether the version lies in (first, last)."""
    return bounds[0] <= version <= bounds[1]


class Reader:
    """Takes values off the front of bytes."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        """The next `size` bytes."""
        taken = self.data[self.at : self.at + size]
        if len(taken) != size:
            raise ValueError(f"{size} bytes wanted, {len(taken)} left")
        self.at += size
        return taken

    def number(self, layout):
        """One number."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def varint(self):
        """An unsigned varint."""
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7


def varint(value):
    """The bytes of an unsigned varint."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Field:
    """One field of a message or structure."""

    def __init__(self, definition, structs):
        self.name = definition["name"]
        self.type = definition["type"]
        self.versions = versions(definition["versions"])
        self.nullable = versions(definition.get("nullableVersions"))
        self.tagged = versions(definition.get("taggedVersions"))
        self.tag = definition.get("tag")
        self.default = definition.get("default")
        self.element = self.type.removeprefix("[]")
        fields = definition.get("fields") or structs.get(self.element)
        self.struct = [Field(field, structs) for field in fields] if fields else None

    def default_value(self):
        """What an absent field means."""
        if self.default == "null":
            return None
        if self.type.startswith("[]"):
            return []
        if self.struct:
            return {}
        if self.type in NUMBERS:
            text = str(self.default or "0")
            return text == "true" if self.type == "bool" else float(text) if self.type == "float64" else int(text, 0)
        if self.type == "uuid":
            return uuid.UUID(int=0)
        return b"" if self.type in ("bytes", "records") else (self.default or "")


class Message:
    """A request or response type."""

    def __init__(self, definition):
        structs = {struct["name"]: struct["fields"] for struct in definition.get("commonStructs", [])}
        self.name = definition["name"]
        self.key = definition.get("apiKey")
        self.valid = versions(definition["validVersions"])
        self.flexible = versions(definition.get("flexibleVersions"))
        self.fields = [Field(field, structs) for field in definition["fields"]]

    def is_flexible(self, version):
        """Whether the version uses compact lengths and tagged fields."""
        return within(version, self.flexible)

    def encode(self, version, value):
        """The bytes of a dictionary."""
        return encode_struct(self.fields, value, version, self.is_flexible(version))

    def decode(self, version, reader):
        """The dictionary that the reader holds."""
        return decode_struct(self.fields, reader, version, self.is_flexible(version))


def encode_struct(fields, value, version, flexible):
    """The bytes of a structure; a name that it does not have is a mistake of the script."""
    unknown = set(value) - {field.name for field in fields}
    assert not unknown, f"no such fields: {unknown}"
    out, tags = b"", {}
    for field in fields:
        if not within(version, field.versions):
            continue
        content = value.get(field.name, field.default_value())
        if flexible and within(version, field.tagged):
            if field.name in value:
                tags[field.tag] = encode_field(field, content, version, flexible)
        else:
            out += encode_field(field, content, version, flexible)
    if flexible:
        out += varint(len(tags))
        for tag in sorted(tags):
            out += varint(tag) + varint(len(tags[tag])) + tags[tag]
    return out


def encode_field(field, value, version, flexible):
    """The bytes of a field, an array or not."""
    if not field.type.startswith("[]"):
        return encode_value(field, value, version, flexible)
    count = -1 if value is None else len(value)
    head = varint(count + 1) if flexible else struct.pack(">i", count)
    return head + b"".join(encode_value(field, element, version, flexible) for element in value or [])


def encode_value(field, value, version, flexible):
    """The bytes of one value."""
    if field.element in NUMBERS:
        return struct.pack(NUMBERS[field.element], value)
    if field.element == "uuid":
        return value.bytes
    if field.struct:
        if within(version, field.nullable) and not field.type.startswith("[]"):
            return b"\xff" if value is None else b"\x01" + encode_struct(field.struct, value, version, flexible)
        return encode_struct(field.struct, value, version, flexible)
    content = value.encode() if isinstance(value, str) else value
    size = -1 if content is None else len(content)
    if flexible:
        return varint(size + 1) + (content or b"")
    return struct.pack(">h" if field.element == "string" else ">i", size) + (content or b"")


def decode_struct(fields, reader, version, flexible):
    """The dictionary of a structure; tagged fields that were not sent are absent."""
    value = {}
    for field in fields:
        if within(version, field.versions) and not (flexible and within(version, field.tagged)):
            value[field.name] = decode_field(field, reader, version, flexible)
    if flexible:
        known = {field.tag: field for field in fields if within(version, field.tagged)}
        for _ in range(reader.varint()):
            tag, content = reader.varint(), Reader(reader.take(reader.varint()))
            if tag in known:
                value[known[tag].name] = decode_field(known[tag], content, version, flexible)
            else:
                value[f"tag {tag}"] = content.data.hex()
    return value


def decode_field(field, reader, version, flexible):
    """The value of a field, an array or not."""
    if not field.type.startswith("[]"):
        return decode_value(field, reader, version, flexible)
    count = reader.varint() - 1 if flexible else reader.number(">i")
    return None if count < 0 else [decode_value(field, reader, version, flexible) for _ in range(count)]


def decode_value(field, reader, version, flexible):
    """One value."""
    if field.element in NUMBERS:
        return reader.number(NUMBERS[field.element])
    if field.element == "uuid":
        return uuid.UUID(bytes=reader.take(16))
    if field.struct:
        nullable = within(version, field.nullable) and not field.type.startswith("[]")
        return None if nullable and reader.number(">b") < 0 else decode_struct(field.struct, reader, version, flexible)
    if flexible:
        size = reader.varint() - 1
    else:
        size = reader.number(">h" if field.element == "string" else ">i")
    if size < 0:
        return None
    return reader.take(size).decode() if field.element == "string" else reader.take(size)


def load(jar):
    """All messages of a kafka-clients jar by name, such as `FetchRequest`."""
    messages = {}
    with zipfile.ZipFile(jar) as archive:
        for entry in archive.namelist():
            if re.fullmatch(r"common/message/\w+(Request|Response)\.json", entry):
                text = re.sub(r"^\s*//.*$", "", archive.read(entry).decode(), flags=re.MULTILINE)
                definition = json.loads(text)
                if definition["validVersions"] != "none":
                    messages[definition["name"]] = Message(definition)
    return messages
