"""Keys: how they arrive and what they open."""

from __future__ import annotations

from base64 import b64encode

import pytest

from services.http.keys import OPEN_PATHS, KeyRing

RING = KeyRing({"all", "all-2"}, {"write"})
BASIC = {name: b"Basic " + b64encode(name + b":ignored") for name in (b"all", b"write", b"x")}


def status(method: str, path: str, headers: dict[bytes, bytes] | None = None, query: bytes = b"") -> int:
    refusal = RING.refusal(method, path, headers or {}, query)
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer all"},
        {b"authorization": b"bearer  all-2 "},
        {b"x-api-key": b"all"},
        {b"authorization": BASIC[b"all"]},
        {b"authorization": b"Bearer nonsense", b"x-api-key": b"all"},
    ],
)
def test_a_key_opens_everything(headers: dict[bytes, bytes]) -> None:
    for method, path in [("GET", "/recommend/u"), ("POST", "/events"), ("GET", "/metrics"), ("GET", "/docs")]:
        assert status(method, path, headers) == 200


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({b"authorization": b"Bearer write"}, b""),
        ({b"x-api-key": b"write"}, b""),
        ({b"authorization": BASIC[b"write"]}, b""),
        ({}, b"key=write"),
        ({}, b"x=1&key=write&y=2"),
    ],
)
def test_a_write_key_posts_events_and_nothing_else(headers: dict[bytes, bytes], query: bytes) -> None:
    assert status("POST", "/events", headers, query) == 200
    for method, path in [
        ("GET", "/events"), ("POST", "/items"), ("PUT", "/items/x"), ("DELETE", "/users/u"),
        ("POST", "/events/"), ("GET", "/recommend/u"), ("GET", "/metrics"),
        ("POST", "/recommend"), ("GET", "/docs"),
    ]:  # fmt: skip
        assert status(method, path, headers, query) == 403


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, b""),
        ({b"authorization": b"Bearer"}, b""),
        ({b"authorization": b"Bearer wrong"}, b""),
        ({b"authorization": b"Digest all"}, b""),
        ({b"authorization": b"Basic !!!"}, b""),
        ({b"authorization": BASIC[b"x"]}, b""),
        ({b"x-api-key": b""}, b""),
        ({b"x-api-key": b"al"}, b""),
        ({b"x-api-key": b"\xff\xfe"}, b""),
        ({}, b"key="),
        ({}, b"key=wrong"),
        ({}, b"key=%ff"),
        ({}, b"key=all"),
        ({}, b"akey=write"),
        ({}, b"key=wrong&key=write"),
        ({}, b"&".join([b"x=1"] * 100 + [b"key=write"])),
    ],
)
def test_everything_else_is_refused(headers: dict[bytes, bytes], query: bytes) -> None:
    for method, path in [
        ("POST", "/events"),
        ("GET", "/recommend/u"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
    ]:
        assert status(method, path, headers, query) == 401


def test_the_refusal_says_what_to_do() -> None:
    missing = RING.refusal("POST", "/events", {}, b"")
    assert missing is not None
    assert (missing.code, missing.headers["www-authenticate"]) == ("missing_key", 'Bearer realm="freshet"')
    browser = RING.refusal("GET", "/docs", {b"accept": b"text/html,*/*"}, b"")
    assert browser is not None
    assert browser.headers["www-authenticate"].startswith("Basic")
    in_query = RING.refusal("POST", "/events", {}, b"key=all")
    assert in_query is not None
    assert in_query.code == "key_in_query"
    assert "all" not in in_query.detail.split()


def test_health_is_open() -> None:
    for path in OPEN_PATHS:
        assert status("GET", path) == 200
    assert status("GET", "/healthz/x") == 401


def test_without_keys_all_is_open_and_write_keys_alone_lock_the_rest() -> None:
    assert KeyRing((), ()).refusal("DELETE", "/users/u", {}, b"") is None
    alone = KeyRing((), {"write"})
    assert alone.refusal("POST", "/events", {b"x-api-key": b"write"}, b"") is None
    assert alone.refusal("GET", "/recommend/u", {}, b"") is not None
    assert alone.refusal("GET", "/recommend/u", {b"x-api-key": b"write"}, b"") is not None
