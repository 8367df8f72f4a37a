"""Reads result topics as an analyst's own program would: read_committed, decoded by the registry's schema.

    consume.py --brokers B --registry URL --count N [--seconds S] TOPIC...

Reads every partition from its start until N records came or S seconds passed, and prints one JSON object a
record:

    {"topic": "...", "partition": 0, "offset": 0, "key": base64 or null, "headers": {"name": "text"},
     "raw": base64 or null, "value": {...} or null}

`value` is the decoded event, with times in milliseconds since 1970; null where the bytes are not one (a
dead letter keeps whatever it was). Exits 1 when the time passed first.
"""

import argparse
import base64
import datetime
import io
import json
import sys
import time
import urllib.error

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

import wire

WAIT = 30  # seconds, for brokers that are up


def plain(value):
    """What JSON cannot say: times as milliseconds, bytes as base64."""
    if isinstance(value, datetime.datetime):
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        return (value - epoch) // datetime.timedelta(milliseconds=1)
    if isinstance(value, bytes):
        return text64(value)
    raise TypeError(type(value))


def text64(data):
    return None if data is None else base64.b64encode(data).decode()


class Decoder:
    def __init__(self, registry):
        self.registry, self.schemas = registry, {}

    def schema(self, schema_id):
        if schema_id not in self.schemas:
            try:
                self.schemas[schema_id] = fastavro.parse_schema(wire.fetch(self.registry, schema_id))
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
                self.schemas[schema_id] = None
        return self.schemas[schema_id]

    def decode(self, value):
        schema_id, avro = wire.unframe(value)
        schema = None if schema_id is None else self.schema(schema_id)
        if schema is None:
            return None
        try:
            return fastavro.schemaless_reader(io.BytesIO(avro), schema, None)
        except (EOFError, ValueError, IndexError, OverflowError):
            return None


def assign(consumer, topics):
    partitions = []
    for topic in topics:
        metadata = consumer.list_topics(topic, WAIT).topics[topic]
        if metadata.error:
            raise SystemExit(f"{topic}: {metadata.error}")
        partitions += [TopicPartition(topic, p, OFFSET_BEGINNING) for p in metadata.partitions]
    consumer.assign(partitions)


def read(consumer, decoder, count, seconds):
    """Prints up to count records; returns how many it found."""
    found, deadline = 0, time.monotonic() + seconds
    while found < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        found += 1
        line = {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "key": text64(message.key()),
            "headers": {name: value.decode("utf-8", "replace") for name, value in message.headers() or []},
            "raw": text64(message.value()),
            "value": decoder.decode(message.value()),
        }
        print(json.dumps(line, default=plain), flush=True)
    return found


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--brokers", required=True)
    args.add_argument("--registry", required=True, help="base URL of the Confluent API")
    args.add_argument("--count", type=int, required=True)
    args.add_argument("--seconds", type=float, default=60)
    args.add_argument("topics", nargs="+")
    args = args.parse_args()

    consumer = Consumer({
        "bootstrap.servers": args.brokers,
        "group.id": "foreign-reader",  # required, never committed to
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    })
    try:
        assign(consumer, args.topics)
        found = read(consumer, Decoder(args.registry), args.count, args.seconds)
    finally:
        consumer.close()
    sys.exit(0 if found == args.count else 1)


if __name__ == "__main__":
    main()
