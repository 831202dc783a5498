"""HTTP/1.1 on a connection: uvicorn's fast parser, with the bounds that it lacks before any key is seen."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.kernel.problem import Problem

# A read of the event loop brings up to 256 KiB, of which a head may be the last byte only.
MAX_HEAD_BYTES: Final = 512 * 1024
# A head is one packet, as a rule; a connection that sends none holds a file descriptor and nothing else.
HEAD_TIMEOUT_S: Final = 30.0
# What asks for HTTP/2 or another protocol. We answer in HTTP/1.1, as RFC 9110 section 7.8 allows.
_UPGRADE_HEADERS: Final = frozenset({b"upgrade", b"http2-settings"})


class EdgeProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, that bounds what comes before a body in bytes and time, and never upgrades.

    Java's client asks for an upgrade to HTTP/2 with each first request; uvicorn would drop that one's body.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True
        self._unread_bytes = 0
        self._heads_begun = 0
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A head is the first thing to come; a connection opened in advance may be idle as long as others."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        self._watch = self.loop.call_later(HEAD_TIMEOUT_S, self._look, 0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The parser has met a request line."""
        self._in_head = True
        self._heads_begun += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The parser has met the empty line after the headers."""
        self._in_head = False
        self._unread_bytes = 0
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """The parser has met a piece of a body, which its reader bounds."""
        self._unread_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parser has met the end of a request."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Parse, then count what has come that is no body: heads, trailers, extensions of chunks."""
        self._unset_keepalive_if_required()
        self._parse(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("the request's head is too large; send less in URL and headers")

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("this is no request of HTTP/1.1; check its method, path and headers")

    def send_400_response(self, msg: str) -> None:
        """Answer without the app, which has not seen the request, and close."""
        self._refuse(Problem(400, "bad_request", msg))

    def _stay(self, rest: bytes) -> None:
        """Read the request whose head has just ended as if it had asked for no upgrade; `rest` follows."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.send_400_response("this is no proxy; send a request for a path")
            return
        version = self.parser.get_http_version().encode()
        head = [method, b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in self.headers:
            if name == b"connection":
                head += [b"connection: ", b"close" if b"close" in value.lower() else b"keep-alive", b"\r\n"]
            elif name not in _UPGRADE_HEADERS:
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self._parse(b"".join([*head, b"\r\n", rest]))

    def _look(self, heads_begun: int) -> None:
        """Close the connection when the same head has been coming since the last look."""
        coming = self._in_head and self._unread_bytes > 0
        if coming and self._heads_begun == heads_begun:
            text = f"the request's head did not arrive within {HEAD_TIMEOUT_S:.0f} s"
            self._refuse(Problem(408, "head_too_slow", text))
        elif not self.transport.is_closing():
            self._watch = self.loop.call_later(HEAD_TIMEOUT_S, self._look, self._heads_begun)

    def _refuse(self, problem: Problem) -> None:
        if self.cycle is None or self.cycle.response_complete:  # or it would pass for another's answer
            body = problem.body()
            headers = {**problem.all_headers(), "content-length": str(len(body)), "connection": "close"}
            lines = [f"{name}: {value}\r\n".encode() for name, value in headers.items()]
            self.transport.write(b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body]))
        self.transport.close()
