"""Segment's tracking API and Google's Measurement Protocol over HTTP onto a real log."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import uuid
import zlib
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.http.keys import GA4_PATH, SEGMENT_PATHS
from services.ingest.app import create_ingest_app
from services.ingest.client_routes import MAX_BATCH_BYTES, MAX_MESSAGE_BYTES
from services.ingest.settings import IngestSettings
from services.kernel.event import Event, decode_event
from services.log.open import open_log
from services.log.protocol import Topic
from tests.servers import ValkeyServer, valkey_server
from tests.serving import serving

VIEW = {"userId": "u", "event": "Product Viewed", "messageId": "m", "properties": {"product_id": "p"}}
SUCCESS = {"success": True}


class Ingest:
    """A running ingest, and the log behind it."""

    def __init__(self, url: str, settings: IngestSettings) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)
        self._settings = settings

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(path, content=content, headers=named)

    def logged(self, user: str) -> list[Event]:
        """The events of a user, in the order of the log."""

        async def read() -> list[Event]:
            log = open_log(self._settings)
            try:
                found = []
                for partition in range(self._settings.log_partitions):
                    offset = 0
                    while (record := await log.read_at(Topic.EVENTS, partition, offset)) is not None:
                        assert record.value is not None
                        found.append(decode_event(record.value))
                        offset += 1
                return [event for event in found if user in {event.user_id, event.anonymous_id}]
            finally:
                await log.close()

        return asyncio.run(read())


def started(valkey: ValkeyServer, **settings: Any) -> Iterator[Ingest]:
    made = IngestSettings(log_url=valkey.url, namespace=f"t{uuid.uuid4().hex[:12]}", **settings)
    with serving(create_ingest_app(made)) as url:
        ingest = Ingest(url, made)
        with ingest.http:
            yield ingest


@pytest.fixture(scope="module")
def ingest(valkey: ValkeyServer) -> Iterator[Ingest]:
    """One for all tests."""
    yield from started(valkey)


@pytest.fixture(scope="module")
def locked(valkey: ValkeyServer) -> Iterator[Ingest]:
    """The same with keys and an origin."""
    yield from started(valkey, keys="all", write_keys="write", cors_origins="https://shop.example")


def test_every_path_takes_its_call(ingest: Ingest) -> None:
    for path in sorted(SEGMENT_PATHS):
        answer = ingest.post(path, {**VIEW, "type": "track", "previousId": "a"})
        assert answer.status_code == 200, path
        assert answer.json()["success"] is True
        assert answer.headers["content-type"] == "application/json"
    assert ingest.post("/v1/track", VIEW).json() == SUCCESS
    assert ingest.http.get("/v1/track").status_code == 405


def test_what_was_answered_stands_on_the_log(ingest: Ingest) -> None:
    message = {
        **VIEW,
        "userId": "logged",
        "timestamp": "2030-01-01T00:00:00Z",
        "sentAt": "2030-01-01T00:00:03Z",
    }
    assert ingest.post("/v1/track", message, content_type="application/json").json() == SUCCESS
    (event,) = ingest.logged("logged")
    assert (event.event_id, event.event_type, event.item_id) == ("m", "view", "p")
    assert event.received_at - event.timestamp == 3000
    alias = {"userId": "logged", "previousId": "before"}
    assert ingest.post("/v1/alias", alias).json() == SUCCESS
    (merged,) = ingest.logged("before")
    assert (merged.event_type, merged.user_id, merged.anonymous_id) == ("identify", "logged", "before")


def test_a_batch_with_calls_of_no_use_says_which_and_takes_the_others(ingest: Ingest) -> None:
    batch = [
        {**VIEW, "type": "track", "userId": "batched"},
        {**VIEW, "type": "track", "userId": "batched", "event": "Product Veiwed"},
        {**VIEW, "type": "track", "userId": ""},
        {**VIEW, "type": "track", "userId": "batched", "properties": {"padding": "x" * MAX_MESSAGE_BYTES}},
        {**VIEW, "type": "page", "userId": "batched", "properties": {}},
        {**VIEW, "type": "track", "userId": "batched", "properties": {"product_id": "last"}},
        5,
    ]
    answer = ingest.post("/v1/batch", {"batch": batch})
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    assert [(entry["index"], entry["outcome"]) for entry in answer.json()["unused"]] == [
        (1, "unknown_event"), (2, "rejected"), (3, "rejected"), (4, "ignored"), (6, "incomplete"),
    ]  # fmt: skip
    assert "'Product Viewed'" in answer.json()["unused"][0]["reason"]
    assert [event.item_id for event in ingest.logged("batched")] == ["p", "last"]
    assert ingest.post("/v1/batch", {"batch": []}).json() == SUCCESS


def test_context_and_clock_of_a_batch_are_those_of_each_message(ingest: Ingest) -> None:
    body = {
        "batch": [{**VIEW, "type": "track", "userId": "clocked", "timestamp": "2030-01-01T00:00:00Z"}],
        "sentAt": "2030-01-01T00:00:05Z",
        "context": {"location": {"country": "DE"}, "ip": "203.0.113.9"},
    }
    assert ingest.post("/v1/import", body).json() == SUCCESS
    (event,) = ingest.logged("clocked")
    assert event.received_at - event.timestamp == 5000
    assert event.context == {"country": "DE"}


def test_gzip_and_text_and_what_webhooks_send(ingest: Ingest) -> None:
    message = {**VIEW, "type": "track", "userId": "zipped"}
    zipped = gzip.compress(json.dumps({"batch": [message]}).encode())
    assert ingest.post("/v1/batch", zipped, content_encoding="gzip").json() == SUCCESS
    assert ingest.post("/v1/batch", message, content_type="text/plain").json() == SUCCESS
    assert len(ingest.logged("zipped")) == 2


def deep(depth: int) -> bytes:
    return b'{"batch": [' + b"[" * depth + b"]" * depth + b"]}"


def bomb() -> bytes:
    """A gigabyte in a megabyte."""
    deflater = zlib.compressobj(9, wbits=31)
    return b"".join([*(deflater.compress(bytes(1 << 20)) for _ in range(64)), deflater.flush()])


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/track", b"", "empty_body"),
        ("/v1/track", b"not json", "invalid_json"),
        ("/v1/track", b"[]", "not_an_object"),
        ("/v1/track", {**VIEW, "padding": "x" * MAX_MESSAGE_BYTES}, "body_too_large"),
        ("/v1/batch", {"batch": [], "padding": "x" * MAX_BATCH_BYTES}, "body_too_large"),
        ("/v1/batch", b'{"a": "' + b"x" * 5_000_000 + b'"}', "body_too_large"),
        ("/v1/batch", {}, "missing_batch"),
        ("/v1/batch", {"batch": {}}, "missing_batch"),
        ("/v1/batch", {"batch": [{}] * 1001}, "too_many_entries"),
        ("/v1/batch", {"batch": [{**VIEW, "type": "track"}] * 129}, "too_many_of_one_user"),
        ("/v1/batch", deep(100_000), "nested_too_deeply"),
    ],
)
def test_other_bodies_are_a_400_that_segments_clients_understand(
    ingest: Ingest, path: str, body: Any, code: str
) -> None:
    answer = ingest.post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json()["success"] is False
    assert answer.json()["message"] == answer.json()["detail"]


def test_a_bomb_is_refused(ingest: Ingest) -> None:
    answer = ingest.post("/v1/batch", bomb(), content_encoding="gzip")
    assert (answer.status_code, answer.json()["code"]) == (400, "body_too_large")


def test_a_refused_batch_left_nothing_behind(ingest: Ingest) -> None:
    batch = [{**VIEW, "type": "track", "userId": "crowded", "messageId": f"m{n}"} for n in range(129)]
    assert ingest.post("/v1/batch", {"batch": batch}).status_code == 400
    assert ingest.logged("crowded") == []
    assert ingest.post("/v1/batch", {"batch": batch[:128]}).json() == SUCCESS
    assert len(ingest.logged("crowded")) == 128


def test_keys(locked: Ingest) -> None:
    basic = {key: f"Basic {b64encode(f'{key}:'.encode()).decode()}" for key in ("write", "all", "wrong")}
    for key, status in {"write": 200, "all": 200, "wrong": 401}.items():
        assert locked.post("/v1/track", VIEW, authorization=basic[key]).status_code == status
    for key, status in {"write": 200, "all": 401, "wrong": 401}.items():
        answer = locked.post("/v1/t", {**VIEW, "writeKey": key}, content_type="text/plain")
        assert answer.status_code == status
        assert locked.post("/v1/batch", {"batch": [], "writeKey": key}).status_code == status
    nobody = locked.post("/v1/track", {**VIEW, "userId": "stranger"})
    assert (nobody.status_code, nobody.json()["code"], nobody.json()["success"]) == (
        401,
        "missing_key",
        False,
    )
    assert locked.logged("stranger") == []
    assert locked.post(f"{GA4_PATH}?api_secret=write", {"events": []}).status_code == 204
    assert locked.post(f"{GA4_PATH}?api_secret=wrong", {"events": []}).status_code == 401
    assert locked.post(GA4_PATH, {"events": []}).status_code == 401


def test_a_page_of_an_allowed_origin_may_call(locked: Ingest) -> None:
    origin = "https://shop.example"
    asked = locked.http.options(
        "/v1/t",
        headers={
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization",
        },
    )
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-headers"] == "authorization"
    answer = locked.post("/v1/t", {**VIEW, "writeKey": "write"}, origin=origin, content_type="text/plain")
    assert answer.headers["access-control-allow-origin"] == origin


def test_the_measurement_protocol(ingest: Ingest) -> None:
    purchase = {"transaction_id": "T1", "items": [{"item_id": "p", "price": 4.5, "quantity": 2}], "value": 9}
    body = {
        "client_id": "ga4",
        "events": [
            {"name": "view_item", "params": {"items": [{"item_id": "p"}]}},
            {"name": "begin_checkout", "params": {"items": [{"item_id": "p"}]}},
            {"name": "purchase", "params": purchase},
        ],
    }
    for _ in range(2):
        answer = ingest.post(f"{GA4_PATH}?measurement_id=G-1&api_secret=any", body)
        assert (answer.status_code, answer.content) == (204, b"")
    events = ingest.logged("ga4")
    assert [event.event_type for event in events] == ["view", "purchase"] * 2
    assert events[1].event_id == events[3].event_id
    for wrong, code in [(b"[]", "not_an_object"), (b"{}", "missing_events"), (b"{", "invalid_json")]:
        refused = ingest.post(GA4_PATH, wrong)
        assert (refused.status_code, refused.json()["code"]) == (400, code)


def test_what_becomes_of_calls_is_counted_and_the_first_are_named(
    ingest: Ingest, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="services.ingest.translation"):
        for _ in range(3):
            ingest.post("/v1/track", {**VIEW, "event": "Basket Filled"})
            ingest.post(GA4_PATH, {"client_id": "c", "events": [{"name": "view_itme"}]})
        strange = [{**VIEW, "type": "track", "event": f"Event {number}"} for number in range(100)]
        ingest.post("/v1/batch", {"batch": strange})
    told = [record.getMessage() for record in caplog.records]
    assert len([line for line in told if "'Basket Filled'" in line]) == 1
    (google,) = [line for line in told if "'view_itme'" in line]
    assert "'view_item'" in google
    assert len(told) <= 40
    metrics = ingest.http.get("/metrics").text
    assert 'freshet_ingest_calls_total{api="segment",call="track",outcome="unknown_event"}' in metrics
    assert 'freshet_ingest_calls_total{api="ga4",call="event",outcome="unknown_event"} 3.0' in metrics


def test_the_examples_of_the_documentation_are_taken(ingest: Ingest) -> None:
    paths = ingest.http.get("/openapi.json").json()["paths"]
    documented = {path for path in paths if path in SEGMENT_PATHS | {GA4_PATH}}
    assert documented == {path for path in SEGMENT_PATHS if len(path) > len("/v1/x")} | {GA4_PATH}
    for path in documented:
        content = paths[path]["post"]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            answer = ingest.post(path, example["value"])
            assert answer.status_code == (204 if path == GA4_PATH else 200)
            if path not in {GA4_PATH, "/v1/group"}:
                assert answer.json() == SUCCESS, (path, answer.json())


def test_a_log_that_is_away_is_a_503_that_clients_repeat() -> None:
    with valkey_server() as server:
        settings = IngestSettings(log_url=server.url, ack_timeout_ms=200)
        with serving(create_ingest_app(settings)) as url, httpx.Client(base_url=url, timeout=60) as http:
            assert http.post("/v1/track", json=VIEW).json() == SUCCESS
            server.kill()
            login = {"client_id": "c", "events": [{"name": "login"}]}
            for path, body in [
                ("/v1/track", VIEW),
                ("/v1/batch", {**VIEW, "type": "track"}),
                (GA4_PATH, login),
            ]:
                answer = http.post(path, json=body)
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) >= 1
                assert "success" not in answer.json()
            assert http.post("/v1/page", json={"userId": "u"}).json()["success"] is True, "nothing to write"
