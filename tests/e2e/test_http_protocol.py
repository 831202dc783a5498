"""What stands before any app: heads, trailers, upgrades and pipelines, over raw sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from services.http import protocol
from services.http.app import create_app
from services.http.body import BodyReader
from services.http.part import Part
from services.http.raw_route import Router
from services.kernel.metrics import Metrics
from services.kernel.settings import HttpSettings
from tests.serving import serving

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
WAIT_S = 30.0


class Echo:
    """Answers the body that it was sent; a body `wait` waits until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.bodies = BodyReader(1 << 20, 1 << 24)
        router = Router()
        router.add_api_route("/echo", self.echo, methods=["POST"])
        self.part = Part("echo", router, self.running)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield

    async def echo(self, request: Request) -> Response:
        body = await self.bodies.read(request)
        if body == b"wait":
            while not self.go.is_set():
                await asyncio.sleep(0.01)
        return Response(body)


@pytest.fixture(scope="module")
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def url(echo: Echo) -> Iterator[str]:
    with serving(create_app("echo", HttpSettings(), Metrics(), [echo.part])) as served:
        yield served


@pytest.fixture
def connection(url: str) -> Iterator[socket.socket]:
    address = urlsplit(url)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 80), timeout=WAIT_S) as opened:
        yield opened


def request(body: bytes, headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST /echo HTTP/1.1\r\nHost: localhost\r\n" + length + headers + b"\r\n" + body


def read_to_end(connection: socket.socket) -> bytes:
    with suppress(ConnectionError), connection.makefile("rb") as stream:
        return stream.read()
    return b""


def answers(read: bytes) -> list[tuple[int, bytes]]:
    """Status and what follows the head of each answer."""
    heads = read.split(b"HTTP/1.1 ")[1:]
    return [(int(head[:3]), head.partition(b"\r\n\r\n")[2]) for head in heads]


@pytest.mark.parametrize("split", [False, True], ids=["at once", "in two"])
def test_a_wish_for_http_2_keeps_its_body(connection: socket.socket, split: bool) -> None:
    sent = request(b"the body", H2C)
    for piece in (sent[:-8], sent[-8:]) if split else (sent,):
        connection.sendall(piece)
        if split:
            with suppress(TimeoutError):
                connection.settimeout(0.2)
                assert connection.recv(1, socket.MSG_PEEK) != b""
            connection.settimeout(WAIT_S)
    connection.sendall(request(b"the next", b"Connection: close\r\n"))
    assert answers(read_to_end(connection)) == [(200, b"the body"), (200, b"the next")]


def test_a_wish_for_http_2_in_chunks_that_ends_the_connection(connection: socket.socket) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    upgrade = b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n"
    connection.sendall(head + upgrade + b"3\r\none\r\n4\r\n two\r\n0\r\n\r\n")
    assert answers(read_to_end(connection)) == [(200, b"one two")]


@pytest.mark.parametrize(
    "junk",
    [
        b"CONNECT shop:443 HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"BREW /echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ],
)
def test_what_is_no_request_is_a_problem(connection: socket.socket, junk: bytes) -> None:
    connection.sendall(junk)
    read = read_to_end(connection)
    assert b"application/problem+json" in read
    [(status, body)] = answers(read)
    assert (status, b'"code":"bad_request"' in body) == (400, True)


def test_junk_behind_a_request_is_not_taken_for_its_answer(echo: Echo, connection: socket.socket) -> None:
    echo.go.clear()
    try:
        connection.sendall(request(b"wait") + b"junk\r\n\r\n")
        assert read_to_end(connection) == b""
    finally:
        echo.go.set()


@pytest.mark.parametrize("line", [b"X-Long: " + b"y" * 4_000_000, b"X-Many: y\r\n" * 400_000])
def test_heads_are_bounded(connection: socket.socket, url: str, line: bytes) -> None:
    with suppress(ConnectionError):  # the server hangs up in the middle
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n")
    assert b" 200 " not in read_to_end(connection)
    with httpx.Client(base_url=url) as client:  # many requests, one connection: heads are counted each alone
        for _ in range(20):
            assert client.get("/healthz", headers={"x-long": "y" * 50_000}).status_code == 200


@pytest.mark.parametrize("flood", [b"3\r\none\r\n0\r\nX-Long: ", b"3;x="], ids=["trailers", "extensions"])
def test_what_hides_behind_a_head_is_bounded(connection: socket.socket, flood: bytes) -> None:
    connection.sendall(
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + flood
    )
    with pytest.raises(ConnectionError):  # noqa: PT012 - the server hangs up in the middle
        for _ in range(1000):
            connection.sendall(b"y" * 65_536)
        connection.recv(1)


def test_a_body_longer_than_a_head_may_be(connection: socket.socket) -> None:
    body = b"y" * (1 << 20)
    connection.sendall(request(body, b"Connection: close\r\n"))
    assert answers(read_to_end(connection)) == [(200, body)]


def test_a_head_that_does_not_come_is_not_waited_for(
    url: str, monkeypatch: pytest.MonkeyPatch, connection: socket.socket
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.2)
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), address.port or 80), timeout=WAIT_S) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        [(status, body)] = answers(read_to_end(slow))
        assert (status, b"head_too_slow" in body) == (408, True)
    connection.sendall(request(b"after a pause", b"Connection: close\r\n"))
    assert answers(read_to_end(connection)) == [(200, b"after a pause")]
