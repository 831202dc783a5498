"""What goes wrong in each call of the reference, by a request that makes it go wrong on the demo shop."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

USER: Final = "u_12345"
VIEW: Final = {"user_id": USER, "event_type": "view", "item_id": "1082185"}
LONG_URLS: Final = [f"https://shop.example/{'y' * 2000}"] * 17
CLOUDEVENT: Final = {"content-type": "application/cloudevents+json"}


class Mistake(NamedTuple):
    """A request, and the code of the problem that answers it. `call` is the documented one."""

    call: str
    code: str
    path: str
    body: Any = None
    headers: dict[str, str] | None = None


def _events() -> Iterator[Mistake]:
    route = "POST /events"

    def one(code: str, body: Any, headers: dict[str, str] | None = None) -> Mistake:
        return Mistake(route, code, "/events", body, headers)

    yield one("empty_body", b"")
    yield one("invalid_json", b'{"user_id": "u_12345" "event_type": "view"}')
    yield one("nested_too_deeply", b"[" * 2000)
    yield one("not_utf8", b'{"user_id": "\xff"}')
    yield one("not_a_number", b'{"user_id": "u", "price": NaN}')
    yield one("lone_surrogate", rb'{"user_id": "\ud800"}')
    yield one("number_out_of_range", b'{"user_id": "u", "value": 1e999}')
    yield one("too_many_entries", [VIEW] * 1001)
    yield one("unsupported_media_type", b"<event/>", {"content-type": "text/xml"})
    yield one("empty_list", [])
    yield one("nothing_accepted", [{"event_type": "view", "item_id": "1082185"}, {"user_id": USER}])
    yield one("missing_user_id", {"event_type": "view", "item_id": "1082185"})
    yield one("missing_event_type", {"user_id": USER, "item_id": "1082185"})
    yield one("unknown_event_type", {**VIEW, "event_type": "veiw"})
    yield one("missing_item_id", {"user_id": USER, "event_type": "view"})
    yield one("conflicting_item_id", {**VIEW, "product_id": "1029743"})
    yield one("missing_rating", {**VIEW, "event_type": "rating"})
    yield one("invalid_timestamp", {**VIEW, "timestamp": "yesterday"})
    yield one("timestamp_in_future", {**VIEW, "timestamp": "2099-01-01T00:00:00Z"})
    yield one("invalid_items", {"user_id": USER, "event_type": "purchase", "items": "1082185"})
    yield one("too_many_items", {"user_id": USER, "event_type": "purchase", "items": ["1082185"] * 101})
    yield one("invalid_price", {**VIEW, "price": "cheap"})
    yield one("not_an_object", b'"view"')
    yield one("invalid_cloudevent", {"specversion": "1.0"}, CLOUDEVENT)


def _items() -> Iterator[Mistake]:
    route, gouda = "POST /items", {"item_id": "p_67890", "title": "Gouda, young"}

    def one(code: str, body: Any, headers: dict[str, str] | None = None) -> Mistake:
        return Mistake(route, code, "/items", body, headers)

    yield one("empty_body", b"")
    yield one("invalid_json", b'{"item_id": "p_67890" "title": "Gouda"}')
    yield one("too_many_entries", [gouda] * 1001)
    yield one("unsupported_media_type", b"<item/>", {"content-type": "text/xml"})
    yield one("empty_list", [])
    yield one("nothing_accepted", [{"title": "Gouda"}, {"item_id": "p_67890", "titel": "Gouda"}])
    yield one("missing_item_id", {"title": "Gouda, young"})
    yield one("unknown_field", {**gouda, "titel": "Gouda"})
    yield one("invalid_price", {**gouda, "price": "cheap"})
    yield one("invalid_properties", {**gouda, "properties": {f"p{one}": "x" * 900 for one in range(60)}})
    yield one("item_too_large", {**gouda, "description": "x" * 32_700, "image_urls": LONG_URLS})
    yield one("not_an_object", b'"Gouda"')


def _one_item() -> Iterator[Mistake]:
    path, long_one = "/items/p_67890", f"/items/{'x' * 257}"
    for route, body in (
        ("PUT /items/{item_id}", {"title": "Gouda"}),
        ("PATCH /items/{item_id}", {"price": 1}),
    ):
        yield Mistake(route, "empty_body", path, b"")
        yield Mistake(route, "invalid_json", path, b'{"price": 4,5}')
        yield Mistake(route, "invalid_item_id", long_one, body)
        yield Mistake(route, "not_an_object", path, b"[]")
        yield Mistake(route, "unknown_field", path, {"pirce": 3.9})
        yield Mistake(route, "invalid_price", path, {"price": "cheap"})
        yield Mistake(route, "conflicting_item_id", path, {**body, "item_id": "p_67891"})
    yield Mistake("PATCH /items/{item_id}", "empty_patch", path, {})
    large = {"description": "x" * 32_700, "image_urls": LONG_URLS}
    yield Mistake("PUT /items/{item_id}", "item_too_large", path, large)
    yield Mistake("PATCH /items/{item_id}", "item_too_large", path, large)
    yield Mistake("DELETE /items/{item_id}", "invalid_item_id", long_one)
    yield Mistake("GET /items/{item_id}", "invalid_item_id", long_one)
    yield Mistake("GET /items/{item_id}", "unknown_item", "/items/gouda")
    for code, query in (
        ("invalid_query", "filter=%FF"),
        ("unknown_parameter", "brand=Private"),
        ("repeated_parameter", "limit=5&limit=6"),
        ("invalid_value", "limit=5000"),
        ("invalid_cursor", "cursor=x"),
        ("unknown_field", "filter=brnad:Private"),
        ("invalid_filter", "filter=brand"),
    ):
        yield Mistake("GET /items", code, f"/items?{query}")
    for call in ("DELETE /users/{user_id}", "GET /users/{user_id}/profile", "GET /users/{user_id}/export"):
        path = call.partition(" ")[2].replace("{user_id}", "u" * 257)
        yield Mistake(call, "invalid_user_id", path)


def _recommend() -> Iterator[Mistake]:
    long_one = "u" * 257
    for call, where in (
        ("GET /recommend/{user_id}", f"/recommend/{USER}"),
        ("GET /recommend", "/recommend"),
        ("GET /recommend/{user_id}/stream", f"/recommend/{USER}/stream"),
    ):
        if USER in where:
            yield Mistake(call, "invalid_user_id", where.replace(USER, long_one))
        yield Mistake(call, "invalid_query", f"{where}?scenario=%FF")
        yield Mistake(call, "unknown_parameter", f"{where}?limit=5")
        yield Mistake(call, "repeated_parameter", f"{where}?n=5&n=6")
        yield Mistake(call, "unknown_scenario", f"{where}?scenario=foryou")
        yield Mistake(call, "invalid_value", f"{where}?n=500")
        yield Mistake(call, "unknown_field", f"{where}?filter=brnad:Private")
        yield Mistake(call, "contradictory_filter", f"{where}?filter=price:5..2")
        yield Mistake(call, "invalid_position", f"{where}?after=now")
        yield Mistake(call, "invalid_cursor", f"{where}?cursor=x")
        yield Mistake(call, "invalid_id", f"{where}?item_id={long_one}")
        yield Mistake(call, "too_many", f"{where}?exclude={','.join(map(str, range(501)))}")
    for path, named in (("/recommend", {"user_id": USER}), ("/recommend/batch", {"user_ids": [USER]})):
        call = f"POST {path}"
        yield Mistake(call, "invalid_json", path, b'{"n": 5,}')
        yield Mistake(call, "unknown_parameter", f"{path}?n=5", named)
        yield Mistake(call, "invalid_body", path, [])
        yield Mistake(call, "unknown_field", path, {**named, "limit": 5})
        yield Mistake(call, "unknown_scenario", path, {**named, "scenario": "foryou"})
        yield Mistake(call, "invalid_value", path, {**named, "n": 500})
        yield Mistake(call, "unknown_operator", path, {**named, "filter": {"price": {"max": 5}}})
        yield Mistake(call, "contradictory_filter", path, {**named, "filter": {"price": {"gte": 5, "lt": 2}}})
        yield Mistake(
            call, "invalid_rule", path, {**named, "boosts": [{"filter": "brand:Private", "by": 20}]}
        )
        yield Mistake(call, "repeated_row", path, {**named, "rows": [{"id": "a"}, {"id": "a"}]})
        yield Mistake(call, "too_many", path, {**named, "rows": [{}] * 13})
    recent = {"item_id": "1082185"}
    for code, entry in (
        ("unknown_event_type", {**recent, "event_type": "veiw"}),
        ("invalid_timestamp", {**recent, "timestamp": "yesterday"}),
    ):
        yield Mistake("POST /recommend", code, "/recommend", {"recent_items": [entry]})
    yield Mistake("POST /recommend", "invalid_position", "/recommend", {"user_id": USER, "after": "now"})
    yield Mistake("POST /recommend", "invalid_cursor", "/recommend", {"user_id": USER, "cursor": "x"})
    yield Mistake("POST /recommend", "invalid_id", "/recommend", {"user_id": ""})


def _clients() -> Iterator[Mistake]:
    too_large = json.dumps({"event": "x" * 33_000}).encode()
    for name in ("track", "page", "screen", "identify", "alias", "group"):
        yield Mistake(f"POST /v1/{name}", "invalid_json", f"/v1/{name}", b'{"userId": }')
        yield Mistake(f"POST /v1/{name}", "not_an_object", f"/v1/{name}", b"[]")
        yield Mistake(f"POST /v1/{name}", "body_too_large", f"/v1/{name}", too_large)
        yield Mistake(f"POST /v1/{name}", "empty_body", f"/v1/{name}", b"")
    bought = {
        "type": "track",
        "userId": USER,
        "event": "Product Viewed",
        "properties": {"product_id": "1082185"},
    }
    for name in ("batch", "import"):
        call, path = f"POST /v1/{name}", f"/v1/{name}"
        yield Mistake(call, "invalid_json", path, b'{"batch": }')
        yield Mistake(call, "missing_batch", path, {})
        yield Mistake(call, "not_an_object", path, [])
        yield Mistake(call, "empty_body", path, b"")
        yield Mistake(call, "body_too_large", path, json.dumps({"x": "x" * 520_000}).encode())
        yield Mistake(call, "too_many_entries", path, {"batch": [{}] * 1001})
        yield Mistake(call, "too_many_of_one_user", path, {"batch": [bought] * 129})
    call, path = "POST /mp/collect", "/mp/collect"
    yield Mistake(call, "invalid_json", path, b'{"events": }')
    one = {"name": "view_item", "params": {"items": [{"item_id": "1082185"}]}}
    yield Mistake(call, "too_many_of_one_user", path, {"client_id": "a_1", "events": [one] * 129})
    yield Mistake(call, "missing_events", path, {"client_id": "a_1"})
    yield Mistake(call, "not_an_object", path, b"[]")
    yield Mistake(call, "empty_body", path, b"")


def _edge() -> Iterator[Mistake]:
    """What the edge refuses, once: it does not look at the call."""
    call, path, json_body = "POST /events", "/events", {"content-type": "application/json"}
    yield Mistake(call, "invalid_gzip", path, b"{}", {**json_body, "content-encoding": "gzip"})
    yield Mistake(call, "unsupported_encoding", path, b"{}", {**json_body, "content-encoding": "br"})
    # Small as it is sent: whoever is refused before the end of a large body may find the connection closed.
    inflated = gzip.compress(b" " * (2**20 + 1))
    yield Mistake(call, "body_too_large", path, inflated, {**json_body, "content-encoding": "gzip"})
    yield Mistake(call, "foreign_host", path, VIEW, {"host": "shop.example"})
    yield Mistake(call, "foreign_origin", path, VIEW, {"origin": "https://shop.example"})


# What a healthy Freshet without keys does not answer, or not in the time of a test. Other tests do:
# test_keys, test_ingest_trouble, test_recommender_faults, test_http_edge.
NOT_PROVOKED: Final = {
    *("missing_key", "unknown_key", "key_in_query", "key_in_body", "write_key_only"),
    *("log_unavailable", "log_timeout", "log_full", "record_too_large", "too_many_of_one_user"),
    *(
        "store_unavailable",
        "not_ready",
        "too_many_streams",
        "too_many_batches",
        "overloaded",
        "body_too_slow",
    ),
}
MISTAKES: Final = [*_edge(), *_events(), *_items(), *_one_item(), *_recommend(), *_clients()]
