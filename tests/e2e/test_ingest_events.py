"""POST /events over HTTP onto a real log: what is accepted, what stands there, what is answered."""

from __future__ import annotations

import asyncio
import gzip
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.ingest.app import create_ingest_app
from services.ingest.settings import IngestSettings
from services.kernel.event import Event, decode_event
from services.kernel.partitioning import partition_of
from services.kernel.position import Position
from services.log.open import open_log
from services.log.protocol import Record, Topic
from tests.serving import serving

SAMPLE = {
    "user_id": "u_12345",
    "event_type": "product_view",
    "product_id": "p_67890",
    "timestamp": 1687872000,
}
GOOD = {"event_id": "good", "user_id": "u", "event_type": "view", "item_id": "i"}


class Ingest:
    """A running ingest, and the log behind it."""

    def __init__(self, url: str, settings: IngestSettings) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)
        self._settings = settings

    def post(self, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post("/events", content=content, headers=named)

    def record(self, position: str) -> Record:
        async def read() -> Record | None:
            log = open_log(self._settings)
            try:
                place = Position.parse(position)
                return await log.read_at(Topic.EVENTS, place.partition, place.offset)
            finally:
                await log.close()

        record = asyncio.run(read())
        assert record is not None
        return record

    def event(self, position: str) -> Event:
        value = self.record(position).value
        assert value is not None
        return decode_event(value)


@pytest.fixture
def ingest(log_url: str, namespace: str) -> Iterator[Ingest]:
    yield from _started(log_url, namespace)


@pytest.fixture(scope="module")
def valkey_ingest(valkey: Any) -> Iterator[Ingest]:
    """One for all tests that are about input, not about the log."""
    yield from _started(valkey.url, f"t{uuid.uuid4().hex[:12]}")


def _started(log_url: str, namespace: str) -> Iterator[Ingest]:
    settings = IngestSettings(log_url=log_url, namespace=namespace)
    with serving(create_ingest_app(settings)) as url:
        started = Ingest(url, settings)
        with started.http:
            yield started


def test_the_sample_event_stands_on_the_log_when_202_comes(ingest: Ingest) -> None:
    answer = ingest.post(SAMPLE, content_type="application/json")
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (1, [])
    record = ingest.record(body["positions"][0])
    assert record.key == b"u_12345"
    assert record.position.partition == partition_of(b"u_12345", 4)
    assert dict(record.headers)["ce_type"] == b"freshet.event.v1"
    assert dict(record.headers)["ce_id"].decode() == body["event_ids"][0]
    event = ingest.event(body["positions"][0])
    assert (event.event_type, event.item_id, event.timestamp) == ("view", "p_67890", 1_687_872_000_000)
    assert abs(event.received_at - record.timestamp_ms) < 60_000


def test_a_thousand_events_keep_their_order(ingest: Ingest) -> None:
    events = [{**GOOD, "event_id": f"e{n}", "user_id": f"u{n % 10}"} for n in range(1000)]
    body = ingest.post(events).json()
    assert body["accepted"] == 1000
    assert body["event_ids"] == [f"e{n}" for n in range(1000)]
    positions = [Position.parse(text) for text in body["positions"]]
    for user in range(10):
        own = positions[user::10]
        assert own == sorted(own)
        assert len(set(own)) == 100
    assert ingest.event(body["positions"][777]).event_id == "e777"


def test_the_same_event_id_twice_in_a_request_is_two_records(ingest: Ingest) -> None:
    body = ingest.post([GOOD, GOOD]).json()
    assert body["event_ids"] == ["good", "good"]
    assert len(set(body["positions"])) == 2


def test_lines_gzip_and_beacons(valkey_ingest: Ingest) -> None:
    lines = b"\n".join(json.dumps({**GOOD, "user_id": n}).encode() for n in range(5))
    assert valkey_ingest.post(lines, content_type="application/x-ndjson").json()["accepted"] == 5
    zipped = valkey_ingest.post(
        gzip.compress(lines), content_type="application/x-ndjson", content_encoding="gzip"
    )
    assert zipped.json()["accepted"] == 5
    for media_type in (
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "application/json",
        "",
    ):
        assert valkey_ingest.post(SAMPLE, content_type=media_type).status_code == 202


def test_cloudevents_in_three_modes(valkey_ingest: Ingest) -> None:
    data = {"user_id": "u", "event_type": "view", "item_id": "i"}
    envelope = {
        "specversion": "1.0",
        "id": "ce-1",
        "source": "/shop",
        "type": "freshet.event.v1",
        "data": data,
    }
    structured = valkey_ingest.post(envelope, content_type="application/cloudevents+json; charset=utf-8")
    assert structured.json()["event_ids"] == ["ce-1"]
    batch = [envelope, {**envelope, "id": "ce-2", "data": 5}, {**envelope, "id": "ce-3"}]
    batched = valkey_ingest.post(batch, content_type="application/cloudevents-batch+json")
    assert batched.json()["event_ids"] == ["ce-1", "ce-3"]
    assert batched.json()["rejected"][0]["code"] == "invalid_cloudevent"
    binary = valkey_ingest.post(
        data, content_type="application/json", ce_specversion="1.0", ce_id="ce-4", ce_source="/s",
        ce_type="freshet.event.v1", ce_time="2026-01-31T12:00:00Z",
    )  # fmt: skip
    assert binary.json()["event_ids"] == ["ce-4"]
    assert valkey_ingest.event(binary.json()["positions"][0]).timestamp == 1_769_860_800_000


def test_the_sample_is_in_the_documentation(valkey_ingest: Ingest) -> None:
    schema = valkey_ingest.http.get("/openapi.json").json()
    operation = schema["paths"]["/events"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["examples"]["others"]["value"]
    assert example == SAMPLE
    assert valkey_ingest.post(example).status_code == 202
    assert {"202", "422", "503"} <= operation["responses"].keys()
    item = schema["paths"]["/items/{item_id}"]["put"]
    assert [parameter["name"] for parameter in item["parameters"]] == ["item_id"]


BAD_ENTRIES: list[tuple[bytes, str]] = [
    (b'{"user_id" "u"}', "invalid_json"),
    (b'{"user_id": "u", "event_type": "view", "item_id": "i", "value": NaN}', "not_a_number"),
    (b'{"user_id": "u\xff", "event_type": "view", "item_id": "i"}', "not_utf8"),
    (b'{"user_id": "\\udc00", "event_type": "view", "item_id": "i"}', "lone_surrogate"),
    (b'{"user_id": "u", "a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested_too_deeply"),
    (b'{"user_id": "u", "event_type": "view", "item_id": "i", "a": [[[[[[[[1]]]]]]]]}', "invalid_properties"),
    (b'{"user_id": "u", "event_type": "view", "item_id": ' + b"9" * 400 + b"}", "invalid_item_id"),
    (b'{"event_type": "view", "item_id": "i"}', "missing_user_id"),
    (b'{"user_id": "u", "item_id": "i"}', "missing_event_type"),
    (b'{"user_id": "u", "event_type": "view"}', "missing_item_id"),
    (b'{"user_id": true, "event_type": "view", "item_id": "i"}', "invalid_user_id"),
    (b'{"user_id": "u", "event_type": "veiw", "item_id": "i"}', "unknown_event_type"),
    (b'{"user_id": "u", "event_type": "view", "item_id": "' + b"i" * 257 + b'"}', "invalid_item_id"),
    (
        b'{"user_id": "u", "event_type": "view", "item_id": "i", "timestamp": 99999999999}',
        "timestamp_in_future",
    ),
    (b'{"user_id": "u", "event_type": "view", "item_id": "i", "timestamp": "soon"}', "invalid_timestamp"),
    (b'{"user_id": "u", "event_type": "view", "item_id": "i", "price": "1"}', "invalid_price"),
    (
        b'{"user_id": "u", "event_type": "view", "item_id": "i", "x": "' + b"y" * 500_000 + b'"}',
        "invalid_properties",
    ),
    (b"null", "not_an_object"),
    (b'"text"', "not_an_object"),
    (b"[]", "not_an_object"),
]


@pytest.mark.parametrize(
    ("bad", "code"), BAD_ENTRIES, ids=[f"{code}-{n}" for n, (_, code) in enumerate(BAD_ENTRIES)]
)
def test_a_bad_entry_is_named_and_its_neighbours_are_accepted(
    valkey_ingest: Ingest, bad: bytes, code: str
) -> None:
    good = json.dumps(GOOD).encode()
    for body, media_type in [
        (b"[%s, %s, %s]" % (good, bad, good), "application/json"),
        (b"%s\n%s\n%s\n" % (good, bad, good), "application/x-ndjson"),
    ]:
        answer = valkey_ingest.post(body, content_type=media_type)
        assert answer.status_code == 202, answer.text
        assert answer.json()["event_ids"] == ["good", "good"]
        (rejected,) = answer.json()["rejected"]
        assert (rejected["index"], rejected["code"]) == (1, code)
        assert rejected["error"]


@pytest.mark.parametrize(
    ("bad", "code"), BAD_ENTRIES, ids=[f"{code}-{n}" for n, (_, code) in enumerate(BAD_ENTRIES)]
)
def test_alone_it_is_a_4xx_problem(valkey_ingest: Ingest, bad: bytes, code: str) -> None:
    answer = valkey_ingest.post(bad)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == ("empty_list" if bad == b"[]" else code)
    assert len(answer.content) < 2000


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty_body"),
        (b"not json", 400, "invalid_json"),
        (b'{"a": "' + b"x" * 10_000_000 + b'"}', 413, "body_too_large"),
        (b"[" + b"{}," * 1000 + b"{}]", 413, "too_many_entries"),
        (b"[]", 422, "empty_list"),
        (b"[{}, 5]", 422, "nothing_accepted"),
        ("{}".encode("utf-16"), 400, "not_utf8"),
    ],
)
def test_a_body_that_is_wrong_as_a_whole(valkey_ingest: Ingest, body: bytes, status: int, code: str) -> None:
    answer = valkey_ingest.post(body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_when_nothing_is_accepted_each_entry_is_told_why(valkey_ingest: Ingest) -> None:
    answer = valkey_ingest.post([{**GOOD, "price": -1}, {}])
    assert [(entry["index"], entry["event_id"], entry["code"]) for entry in answer.json()["rejected"]] == [
        (0, "good", "invalid_price"),
        (1, None, "missing_user_id"),
    ]


def test_what_is_done_is_counted(valkey_ingest: Ingest) -> None:
    valkey_ingest.post([GOOD, {}])
    text = valkey_ingest.http.get("/metrics").text
    assert 'freshet_ingest_records_total{outcome="accepted",topic="events"}' in text
    assert 'freshet_ingest_rejected_total{code="missing_user_id"}' in text
    assert "freshet_ingest_in_flight_bytes 0.0" in text
