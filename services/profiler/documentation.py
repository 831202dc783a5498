"""What the documentation says about the push endpoints, which Knative KafkaSources post to."""

from __future__ import annotations

from typing import Any, Final

from services.http.documentation import Schema, body, problem, record

_STRUCTURED: Final = "application/cloudevents+json"
_RECORD: Final[Schema] = record(
    "LogRecord",
    "a record of the log as a structured CloudEvent; binary mode and batches are read too",
    {
        "specversion": {"type": "string", "examples": ["1.0"]},
        "id": {"type": "string"},
        "source": {"type": "string"},
        "type": {"type": "string", "examples": ["freshet.event.v1"]},
        "knativekafkapartition": {"type": ["string", "integer"], "description": "its partition"},
        "knativekafkaoffset": {"type": ["string", "integer"], "description": "its place there"},
        "data": {"description": "the record"},
    },
    "type",
    "knativekafkapartition",
    "knativekafkaoffset",
)
_SAMPLE: Final = {
    "specversion": "1.0",
    "id": "0190a1b2-0000-7000-8000-000000000001",
    "source": "/apis/v1/namespaces/freshet/kafkasources/events",
    "type": "freshet.event.v1",
    "knativekafkapartition": "0",
    "knativekafkaoffset": "42",
    "data": {
        "event_id": "0190a1b2-0000-7000-8000-000000000001",
        "event_type": "view",
        "user_id": "u_12345",
        "item_id": "1082185",
        "timestamp": 1687872000000,
        "received_at": 1687872000123,
    },
}
_PROBLEMS: Final = {
    **problem(
        400,
        "No CloudEvent with a place on the log.",
        {
            "missing_position": "the attributes knativekafkapartition and knativekafkaoffset say where a "
            "record stands on the log; a Knative KafkaSource adds them. Post your own events to ingest "
            "(POST /events) instead",
            "invalid_position": "knativekafkaoffset is 'x', not a number from 0 on",
            "invalid_cloudevent": "the body is not application/cloudevents+json: …",
            "invalid_batch": "send 1 to 1000 events a request, not 1001",
            "wrong_topic": "type freshet.item.v1: items belong to POST /items; give each topic a "
            "KafkaSource of its own",
        },
    ),
    **problem(
        503,
        "Not applied yet, or not now; post the same again.",
        {
            "busy": "another profiler owns partition 0 of the items",
            "stopped": "the store at FRESHET_STORE_URL is empty, but group 'freshet.profiler' has applied …",
            "unavailable": "…",
            "unknown_offset": "partition 0 of the events log at FRESHET_LOG_URL ends at 41 and has no "
            "offset 42: …",
        },
    ),
}


def _posted(name: str, what: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": f"Apply records of the {what} topic",
        "description": f"For a Knative KafkaSource of the {what} topic. 204 when all are applied, or in "
        f"the dead topic for good.",
        "tags": ["Records"],
        "requestBody": body(
            "CloudEvents: binary, structured or batched.", _RECORD, {"one": _SAMPLE}, _STRUCTURED
        ),
        "responses": {"204": {"description": "All are applied, or in the dead topic for good."}, **_PROBLEMS},
    }


CALLS: Final[dict[str, Any]] = {
    "POST /": _posted("applyEvents", "events"),
    "POST /items": _posted("applyItems", "items"),
}
