"""The Schema Registry wire format and the two registry calls that both clients need."""

import json
import struct
import urllib.request

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
TIMEOUT = 30  # seconds


def _call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return json.load(answer)


def register(registry, subject, schema):
    """Registers schema (a dict) under subject and returns its id."""
    return _call(f"{registry}/subjects/{subject}/versions", {"schema": json.dumps(schema)})["id"]


def fetch(registry, schema_id):
    """Returns the schema (a dict) of an id."""
    return json.loads(_call(f"{registry}/schemas/ids/{schema_id}")["schema"])


def frame(schema_id, avro):
    return struct.pack(">bI", 0, schema_id) + avro


def unframe(value):
    """Returns (schema id, Avro bytes), or (None, b"") for bytes that are not in the wire format."""
    if not value or len(value) < 5 or value[0] != 0:
        return None, b""
    return struct.unpack(">I", value[1:5])[0], value[5:]
