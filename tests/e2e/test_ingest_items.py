"""Items and the deletion of users over HTTP onto a real log."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.ingest.app import create_ingest_app
from services.ingest.settings import IngestSettings
from services.kernel.event import UserDeletion, decode_log_value
from services.kernel.item import decode_item, decode_patch, item_id_of_key, key_of_attribute
from services.kernel.position import Position
from services.log.open import open_log
from services.log.protocol import Record, Topic
from tests.serving import serving

SLASHED = "gid://shopify/Product/1"


@pytest.fixture(scope="module")
def settings(valkey: Any) -> IngestSettings:
    return IngestSettings(log_url=valkey.url, namespace=f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="module")
def http(settings: IngestSettings) -> Iterator[httpx.Client]:
    with serving(create_ingest_app(settings)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def record_at(settings: IngestSettings, topic: Topic, position: str) -> Record:
    async def read() -> Record | None:
        log = open_log(settings)
        try:
            place = Position.parse(position)
            return await log.read_at(topic, place.partition, place.offset)
        finally:
            await log.close()

    record = asyncio.run(read())
    assert record is not None
    return record


@pytest.mark.parametrize("path", ["/items/gid:%2F%2Fshopify%2FProduct%2F1", f"/items/{SLASHED}"])
def test_an_items_life(http: httpx.Client, settings: IngestSettings, path: str) -> None:
    put = http.put(path, json={"title": "Gouda", "categories": ["Food > Cheese"], "price": 4.5})
    patch = http.patch(path, json={"price": None}, headers={"content-type": "application/merge-patch+json"})
    delete = http.delete(path)
    records = []
    for answer in (put, patch, delete):
        assert answer.status_code == 202
        assert answer.json()["item_id"] == SLASHED
        records.append(record_at(settings, Topic.ITEMS, answer.json()["position"]))
    assert [dict(record.headers)["ce_type"] for record in records] == [
        b"freshet.item.v1",
        b"freshet.item_patch.v1",
        b"freshet.item_deletion.v1",
    ]
    assert [item_id_of_key(record.key) for record in records] == [SLASHED] * 3
    attributes = [dict(record.headers)["ce_freshetkey"].decode() for record in records]
    assert [key_of_attribute(attribute) for attribute in attributes] == [record.key for record in records]
    assert all(re.fullmatch("[A-Za-z0-9_-]+", attribute) for attribute in attributes)
    assert len({record.position.partition for record in records}) == 1
    assert records[0].value is not None
    assert decode_item(records[0].value).categories == [["Food", "Cheese"]]
    assert records[1].value is not None
    assert decode_patch(records[1].value) == {"price": None}
    assert records[2].value is None


def test_items_in_bulk(http: httpx.Client) -> None:
    items = [
        {"item_id": "a", "title": "A"},
        {"item_id": "b", "price": "1"},
        {"title": "no id"},
        {"item_id": 4},
    ]
    answer = http.post("/items", json=items)
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["item_ids"]) == (2, ["a", "4"])
    assert [(entry["index"], entry["item_id"], entry["code"]) for entry in body["rejected"]] == [
        (1, "b", "invalid_price"),
        (2, None, "missing_item_id"),
    ]
    lines = b"\n".join(json.dumps({"item_id": n}).encode() for n in range(1000))
    assert (
        http.post("/items", content=lines, headers={"content-type": "application/x-ndjson"}).json()[
            "accepted"
        ]
        == 1000
    )
    assert http.post("/items", json={"item_id": "one"}).json()["item_ids"] == ["one"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "/items/x", b'{"titel": "x"}', 422, "unknown_field"),
        ("PUT", "/items/x", b'{"item_id": "y"}', 422, "conflicting_item_id"),
        ("PUT", "/items/x", b"[]", 422, "not_an_object"),
        ("PUT", "/items/x", b"", 400, "empty_body"),
        ("PUT", "/items/x", b"{", 400, "invalid_json"),
        ("PUT", "/items/x", b'{"title": "' + b"x" * 2_000_000 + b'"}', 413, "body_too_large"),
        ("PUT", "/items/x", b'{"price": NaN}', 400, "not_a_number"),
        ("PUT", "/items/%FF", b"{}", 400, "invalid_item_id"),
        ("PUT", "/items/", b"{}", 400, "invalid_item_id"),
        ("PATCH", "/items/x", b"{}", 422, "empty_patch"),
        ("PATCH", "/items/x", b'{"price": "1"}', 422, "invalid_price"),
        ("DELETE", "/items/" + "x" * 257, b"", 400, "invalid_item_id"),
        ("POST", "/items", b"[{}]", 422, "nothing_accepted"),
        ("POST", "/items", b"{}", 422, "missing_item_id"),
        ("DELETE", "/users/%00", b"", 400, "invalid_user_id"),
        ("POST", "/items/x", b"{}", 405, "method_not_allowed"),
    ],
)
def test_what_is_wrong_is_a_problem(
    http: httpx.Client, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    answer = http.request(method, path, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_deletion_of_a_user(http: httpx.Client, settings: IngestSettings) -> None:
    answer = http.delete("/users/team%2Fada")
    assert answer.status_code == 202
    assert answer.json()["user_id"] == "team/ada"
    record = record_at(settings, Topic.EVENTS, answer.json()["position"])
    deletion = decode_log_value(dict(record.headers)["ce_type"].decode(), record.value)
    assert isinstance(deletion, UserDeletion)
    assert (deletion.user_id, record.key) == ("team/ada", b"team/ada")
