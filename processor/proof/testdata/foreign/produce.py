"""Produces requests as a team would that shares nothing with this project but the schema.

    produce.py --brokers B --registry URL --topic T --schema CouponGrantRequested.avsc FILE

FILE holds one JSON object a line:

    {"key": "...", "writer": "current", "value": {...}, "headers": {"name": "text"}, "partition": 0}
    {"key": "...", "raw": "00ff"}

`writer` says which version of the schema writes the record: `current`; `older`, without the members that
have a default; `newer`, with one member more and all in another order. Each is registered before its first
use. `raw` is the value itself in hexadecimal, for input that nobody should send; `"raw": null` is a
record without value. key, headers and partition may be missing. Times are milliseconds since 1970.

With --transactional-id everything is one transaction, which --abort aborts. Prints one line for each
record when all are acknowledged: {"partition": 0, "offset": 0}, in the order of FILE.
"""

import argparse
import io
import json

import fastavro
from confluent_kafka import Producer

import wire

WAIT = 60  # seconds, for brokers that are up


def variants(current):
    """The three writer's schemas by name."""
    older = dict(current, fields=[f for f in current["fields"] if "default" not in f])
    extra = {"name": "a_later_member", "type": ["null", "string"], "default": None}
    newer = dict(current, fields=list(reversed(current["fields"])) + [extra])
    return {"current": current, "older": older, "newer": newer}


class Encoder:
    def __init__(self, registry, subject, current):
        self.registry, self.subject, self.schemas = registry, subject, variants(current)
        self.registered = {}

    def encode(self, writer, value):
        if writer not in self.registered:
            schema = self.schemas[writer]
            schema_id = wire.register(self.registry, self.subject, schema)
            self.registered[writer] = schema_id, fastavro.parse_schema(schema)
        schema_id, parsed = self.registered[writer]
        avro = io.BytesIO()
        fastavro.schemaless_writer(avro, parsed, value)
        return wire.frame(schema_id, avro.getvalue())


def produce(producer, topic, encoder, lines):
    """Sends all lines and returns where each went."""
    sent = []
    for line in lines:
        if "raw" in line:
            value = None if line["raw"] is None else bytes.fromhex(line["raw"])
        else:
            value = encoder.encode(line.get("writer", "current"), line["value"])
        place = {}
        sent.append(place)

        def delivered(error, message, place=place):
            if error:
                raise SystemExit(f"not delivered: {error}")
            place.update(partition=message.partition(), offset=message.offset())

        optional = {"partition": line["partition"]} if "partition" in line else {}
        headers = list(line.get("headers", {}).items())
        producer.produce(topic, value, line.get("key"), headers=headers, on_delivery=delivered, **optional)
    if producer.flush(WAIT):
        raise SystemExit("brokers did not acknowledge in time")
    return sent


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--brokers", required=True)
    args.add_argument("--registry", required=True, help="base URL of the Confluent API")
    args.add_argument("--topic", required=True)
    args.add_argument("--schema", required=True, help="file of the current schema")
    args.add_argument("--transactional-id")
    args.add_argument("--abort", action="store_true")
    args.add_argument("file", type=argparse.FileType("r"))
    args = args.parse_args()

    with open(args.schema, encoding="utf-8") as schema:
        encoder = Encoder(args.registry, args.topic + "-value", json.load(schema))
    config = {"bootstrap.servers": args.brokers, "enable.idempotence": True}
    if args.transactional_id:
        config["transactional.id"] = args.transactional_id
    producer = Producer(config)
    if args.transactional_id:
        producer.init_transactions(WAIT)
        producer.begin_transaction()
    sent = produce(producer, args.topic, encoder, [json.loads(line) for line in args.file if line.strip()])
    if args.transactional_id:
        producer.abort_transaction(WAIT) if args.abort else producer.commit_transaction(WAIT)
    for place in sent:
        print(json.dumps(place))


if __name__ == "__main__":
    main()
