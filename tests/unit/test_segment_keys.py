"""Keys as Segment's and Google's clients send them."""

from __future__ import annotations

from base64 import b64encode

import pytest

from services.http.keys import GA4_PATH, SEGMENT_PATHS, KeyRing

RING = KeyRing({"all"}, {"write"})
BASIC = {name: {b"authorization": b"Basic " + b64encode(name + b":")} for name in (b"all", b"write", b"x")}


def status(path: str, headers: dict[bytes, bytes], query: bytes = b"", write_key: object = None) -> int:
    """What a POST hears before its body is read, else after."""
    refusal = RING.refusal("POST", path, headers, query)
    if refusal is None and path in SEGMENT_PATHS:
        refusal = RING.refusal_by_body(headers, query, write_key)
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize("path", sorted(SEGMENT_PATHS))
def test_segments_clients_send_basic_or_a_field_of_the_body(path: str) -> None:
    assert status(path, BASIC[b"write"]) == 200
    assert status(path, BASIC[b"all"]) == 200
    assert status(path, BASIC[b"write"], write_key="wrong") == 200
    assert status(path, {}, write_key="write") == 200
    assert status(path, {}, b"key=write") == 200
    wrong: list[object] = [None, "", "wrong", "all", 5, [], {}, "\ud800", "write\0"]
    for write_key in wrong:
        assert status(path, {}, write_key=write_key) == 401
    for headers in (BASIC[b"x"], {b"x-api-key": b""}, {b"authorization": b"Bearer"}):
        assert status(path, headers, write_key="write") == 401, "what the headers say is judged alone"
    assert status(path, {}, b"key=wrong", "write") == 401
    assert status(path, {}, b"key=all", "write") == 401


def test_a_body_opens_nothing_but_segments_paths() -> None:
    for method, path in [
        ("POST", "/events"), ("POST", "/items"), ("GET", "/v1/track"), ("POST", "/v1/track/"),
        ("POST", "/v1/other"), ("POST", "/recommend"), ("GET", "/metrics"), ("POST", GA4_PATH),
    ]:  # fmt: skip
        refusal = RING.refusal(method, path, {}, b"")
        assert refusal is not None, path
        assert refusal.status == 401


def test_a_key_of_all_scopes_does_not_belong_in_a_page() -> None:
    refusal = RING.refusal_by_body({}, b"", "all")
    assert refusal is not None
    assert refusal.code == "key_in_body"


def test_google_sends_it_as_api_secret() -> None:
    assert status(GA4_PATH, {}, b"measurement_id=G-1&api_secret=write") == 200
    assert status(GA4_PATH, BASIC[b"write"]) == 200
    for query in (b"", b"api_secret=", b"api_secret=wrong", b"api_secret=all", b"key=write"):
        assert status(GA4_PATH, {}, query) == 401
    refusal = RING.refusal("POST", "/events", {}, b"api_secret=write")
    assert refusal is not None, "there it is ?key="


def test_without_keys_no_body_is_asked() -> None:
    assert KeyRing((), ()).refusal_by_body({}, b"", None) is None
