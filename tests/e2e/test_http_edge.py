"""The edge that all services share, over real HTTP around a small app of its own."""

from __future__ import annotations

import gzip
import io
import select
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response

from services.http.answers import json_answer
from services.http.app import create_app
from services.http.body import BodyReader
from services.http.part import Part
from services.http.raw_path import path_id
from services.http.raw_route import Router
from services.kernel.metrics import Metrics
from services.kernel.setting_fields import SecretStr
from services.kernel.settings import HttpSettings
from tests.serving import serving

MAX_BODY_BYTES = 4096


class Echo:
    """A part that answers what it was given."""

    def __init__(self) -> None:
        self.trouble = ""
        self.bodies = BodyReader(MAX_BODY_BYTES, 3 * MAX_BODY_BYTES)
        router = Router()
        router.add_api_route("/events", self.echo, methods=["POST"])
        router.add_api_route("/users/{user_id:path}/profile", self.name, methods=["GET"])
        router.add_api_route("/users/{user_id:path}", self.name, methods=["DELETE"])
        router.add_api_route("/fault", self.fault, methods=["GET"])
        self.part = Part("echo", router, self.running, {"echo": self.ready})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield

    async def ready(self) -> None:
        if self.trouble:
            raise RuntimeError(self.trouble)

    async def echo(self, request: Request) -> Response:
        return Response(await self.bodies.read(request))

    async def name(self, request: Request) -> Response:
        return json_answer({"user_id": path_id(request, "user_id")})

    async def fault(self, _request: Request) -> Response:
        raise RuntimeError("secret detail")


@pytest.fixture(scope="module")
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def open_url(echo: Echo) -> Iterator[str]:
    with serving(create_app("echo", HttpSettings(), Metrics(), [echo.part])) as url:
        yield url


@pytest.fixture
def http(open_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=open_url) as client:
        yield client


@pytest.fixture(scope="module")
def locked_url() -> Iterator[str]:
    settings = HttpSettings(
        keys=SecretStr("all"),
        write_keys=SecretStr("write"),
        cors_origins="https://shop.example, http://localhost:3000",
    )
    with serving(create_app("echo", settings, Metrics(), [Echo().part])) as url:
        yield url


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        answer.text
    )
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    assert problem["detail"]


def test_the_frameworks_own_errors_are_problems(http: httpx.Client) -> None:
    assert_problem(http.get("/nothing"), 404, "not_found")
    wrong = http.get("/events")
    assert_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    both = http.put("/users/u/profile")
    assert_problem(both, 405, "method_not_allowed")
    assert both.headers["allow"] == "DELETE, GET"


def test_a_fault_of_ours_tells_nothing_but_that_it_is_one(http: httpx.Client) -> None:
    answer = http.get("/fault")
    assert_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("path", "user_id"),
    [
        ("/users/u_1/profile", "u_1"),
        ("/users/gid:%2F%2Fshopify%2FProduct%2F1/profile", "gid://shopify/Product/1"),
        ("/users/gid://shopify/Product/1/profile", "gid://shopify/Product/1"),
        ("/users/a%2Fprofile/profile", "a/profile"),
        ("/users/100%25%20caf%C3%A9/profile", "100% café"),
        ("/users/a%252Fb/profile", "a%2Fb"),
        ("/users/a+b/profile", "a+b"),
    ],
)
def test_an_id_in_the_path_is_decoded_once(http: httpx.Client, path: str, user_id: str) -> None:
    assert http.get(path).json() == {"user_id": user_id}


def test_an_encoded_slash_does_not_choose_the_route(http: httpx.Client) -> None:
    assert http.delete("/users/a%2Fprofile").json() == {"user_id": "a/profile"}
    assert_problem(http.get("/users/a%2Fprofile"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/users/%FF", "/users/%C3", "/users/a%0Ab", "/users/a%00", "/users/", "/users/" + "a" * 257]
)
def test_what_is_no_id_in_a_path(http: httpx.Client, path: str) -> None:
    assert_problem(http.delete(path), 400, "invalid_user_id")


def test_a_path_of_raw_bytes_is_a_4xx(open_url: str) -> None:
    address = urlsplit(open_url)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 80), timeout=30) as connection:
        connection.sendall(b"DELETE /users/\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.makefile("rb").readline().split()[1].startswith(b"4")


def test_bodies_are_bounded_before_and_after_gunzip(http: httpx.Client) -> None:
    fits = b"x" * MAX_BODY_BYTES
    assert http.post("/events", content=fits).content == fits
    assert_problem(http.post("/events", content=fits + b"x"), 413, "body_too_large")
    zipped = {"content-encoding": "gzip"}
    assert http.post("/events", content=gzip.compress(fits), headers=zipped).content == fits
    assert_problem(
        http.post("/events", content=gzip.compress(fits + b"x"), headers=zipped), 413, "body_too_large"
    )
    bomb = gzip.compress(b"\0" * 3_000_000)
    assert len(bomb) < MAX_BODY_BYTES
    assert_problem(http.post("/events", content=bomb, headers=zipped), 413, "body_too_large")


def test_a_body_without_a_length_is_bounded_too(http: httpx.Client, echo: Echo) -> None:
    assert http.post("/events", content=iter([b"x" * 100] * 10)).content == b"x" * 1000
    assert_problem(http.post("/events", content=iter([b"x" * 1000] * 10)), 413, "body_too_large")
    assert echo.bodies.held_bytes == 0


def test_a_body_that_its_length_condemns_is_not_read(open_url: str) -> None:
    address = urlsplit(open_url)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 80), timeout=30) as connection:
        connection.sendall(b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        assert b" 413 " in connection.makefile("rb").readline()


def test_bodies_of_all_requests_together_are_bounded(open_url: str, http: httpx.Client, echo: Echo) -> None:
    """Slow senders hold what they have sent; the one too many is told to come again."""
    address = urlsplit(open_url)
    assert address.hostname is not None
    part = b"x" * (MAX_BODY_BYTES - 1)
    head = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % MAX_BODY_BYTES
    connections = [
        socket.create_connection((address.hostname, address.port or 80), timeout=30) for _ in range(4)
    ]
    try:
        for connection in connections:
            connection.sendall(head + part)
        answered, _, _ = select.select(connections, [], [], 30)
        assert [connection.recv(64).split()[1] for connection in answered] == [b"503"]
    finally:
        for connection in connections:
            connection.close()
    while echo.bodies.held_bytes:  # the server notices that they are gone
        http.get("/healthz")
    assert http.post("/events", content=b"x").content == b"x"


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (b"{}", "gzip", 400, "invalid_gzip"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-4], "gzip", 400, "invalid_gzip"),
        (gzip.compress(b"x", mtime=0) + b"rest", "gzip", 400, "invalid_gzip"),
        (gzip.compress(b"", mtime=0) * 50, "gzip", 400, "invalid_gzip"),
        (b"", "gzip", 400, "invalid_gzip"),
        (b"{}", "br", 415, "unsupported_encoding"),
        (b"{}", "gzip, gzip", 415, "unsupported_encoding"),
    ],
)
def test_bodies_that_cannot_be_inflated(
    http: httpx.Client, body: bytes, encoding: str, status: int, code: str
) -> None:
    assert_problem(http.post("/events", content=body, headers={"content-encoding": encoding}), status, code)


def test_gzip_in_several_members(http: httpx.Client) -> None:
    joined = gzip.compress(b"one ") + gzip.compress(b"two")
    assert http.post("/events", content=joined, headers={"content-encoding": "x-gzip"}).content == b"one two"
    assert gzip.GzipFile(fileobj=io.BytesIO(joined)).read() == b"one two"


def test_health_and_readiness(http: httpx.Client, echo: Echo) -> None:
    for path in ("/healthz", "/health", "/readyz", "/ready"):
        assert http.get(path).status_code == 200
        assert http.head(path).status_code == 200
    echo.trouble = "the log is away; start it"
    try:
        answer = http.get("/readyz")
        assert_problem(answer, 503, "not_ready")
        assert answer.json()["checks"] == {"echo": "the log is away; start it"}
        assert http.get("/healthz").status_code == 200
    finally:
        echo.trouble = ""


def test_metrics_count_routes_and_hold_no_ids(http: httpx.Client) -> None:
    http.get("/users/private-name/profile")
    http.request("BREW", "/nothing/private-name")
    text = http.get("/metrics").text
    assert "private-name" not in text
    assert "BREW" not in text
    samples = {
        (sample.labels["route"], sample.labels["status"])
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "freshet_http_requests_total"
    }
    assert ("/users/{user_id}/profile", "200") in samples
    assert ("other", "404") in samples


def test_keys_over_http(locked_url: str) -> None:
    with httpx.Client(base_url=locked_url) as http:
        assert_problem(http.post("/events"), 401, "missing_key")
        assert http.post("/events", headers={"authorization": "Bearer all"}).status_code == 200
        assert http.post("/events?key=write").status_code == 200
        assert http.post("/events", auth=("write", "")).status_code == 200
        assert_problem(http.get("/metrics?key=write"), 403, "write_key_only")
        assert_problem(http.get("/docs"), 401, "missing_key")
        assert_problem(http.get("/nothing"), 401, "missing_key")
        assert http.get("/docs", auth=("all", "")).status_code == 200
        assert http.get("/readyz").status_code == 200


def test_browsers_of_allowed_origins_read_every_answer(locked_url: str) -> None:
    origin = {"origin": "https://shop.example"}
    with httpx.Client(base_url=locked_url, headers=origin) as http:
        preflight = http.options(
            "/events",
            headers={"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"},
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-headers"] == "x-api-key"
        assert "POST" in preflight.headers["access-control-allow-methods"]
        answers = [
            preflight,
            http.post("/events"),
            http.post("/events?key=write"),
            http.get("/fault", auth=("all", "")),
        ]
        assert [answer.status_code for answer in answers] == [204, 401, 200, 500]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
            assert answer.headers["vary"] == "Origin"


def test_browsers_of_other_origins_do_not(locked_url: str, http: httpx.Client) -> None:
    ask = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    with httpx.Client(base_url=locked_url) as locked:
        assert_problem(locked.options("/events", headers=ask), 403, "origin_not_allowed")
        assert "access-control-allow-origin" not in locked.post("/events?key=write", headers=ask).headers
    assert_problem(http.options("/events", headers=ask), 403, "origin_not_allowed")


def test_the_documentation_opens_and_says_how_keys_are_sent(http: httpx.Client) -> None:
    assert http.get("/docs").status_code == 200
    schema = http.get("/openapi.json").json()
    schemes = {"bearer", "header", "basic", "query", "api_secret"}
    assert set(schema["components"]["securitySchemes"]) == schemes
