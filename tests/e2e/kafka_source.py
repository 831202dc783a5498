"""Requests as a Knative KafkaSource makes them of records.

After the sources of its dispatcher (knative-extensions/eventing-kafka-broker, release 1.23:
InvalidCloudEventInterceptor, NullCloudEventInterceptor, CloudEventOverridesMutator,
WebClientCloudEventSender) and of the CloudEvents SDK that it uses (kafka and http-vertx).
"""

from __future__ import annotations

import json
import re
from typing import Any

from services.log.protocol import Record


def posted(record: Record) -> dict[str, Any]:
    """A request in binary mode, as keyword arguments of httpx.

    1. A record with CloudEvents headers keeps these and its content type; the key is lost.
    2. Any other gets attributes of the dispatcher's own, with its key and headers among them.
    3. Partition and offset are added. Header values are written as Latin-1, with ? for what that lacks, and
       HTTP takes the spaces around them off.
    4. No value, no body.
    """
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    if "ce_specversion" in headers:  # 1.
        attributes = {name[3:].lower(): value for name, value in headers.items() if name.startswith("ce_")}
    else:  # 2.
        place = record.position
        attributes = {
            "specversion": "1.0",
            "id": f"partition:{place.partition}/offset:{place.offset}",
            "type": "dev.knative.kafka.event",
            "source": "/apis/v1/namespaces/freshet/kafkasources/items#topic",
            "subject": f"partition:{place.partition}#{place.offset}",
            "time": "2026-01-01T00:00:00Z",
        }
        for name, value in headers.items():
            if name != "content-type":
                attributes["kafkaheader" + re.sub("[^a-z0-9]", "", name.lower())] = value
        if record.key:
            attributes["key"] = attributes["partitionkey"] = record.key.decode("utf-8", "replace")
    attributes["knativekafkapartition"] = str(record.position.partition)  # 3.
    attributes["knativekafkaoffset"] = str(record.position.offset)
    sent = {f"ce-{name}": value.strip().encode("latin-1", "replace") for name, value in attributes.items()}
    if "content-type" in headers:
        sent["content-type"] = headers["content-type"].encode("latin-1", "replace")
    sent["prefer"], sent["kn-namespace"] = b"reply", b"freshet"
    return {"headers": sent, "content": record.value or b""}  # 4.


def structured(record: Record) -> dict[str, Any]:
    """The same in structured mode, as another sender may choose: one CloudEvent in JSON."""
    headers = dict(record.headers)
    return {
        "specversion": "1.0",
        "id": "x",
        "source": "kafka",
        "type": headers["ce_type"].decode(),
        "knativekafkapartition": str(record.position.partition),
        "knativekafkaoffset": str(record.position.offset),
        "data": json.loads(record.value or b"null"),
    }
