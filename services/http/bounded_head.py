"""A bound on request heads: uvicorn's fast parser has none, and heads come before any key is seen."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# A read of the event loop brings up to 256 KiB, of which a head may be the last byte only.
MAX_HEAD_BYTES: Final = 512 * 1024


class BoundedHeadProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that answers 400 and closes once a head passes MAX_HEAD_BYTES."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A head is the first thing to come."""
        self._in_head = True
        self._head_bytes = 0
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """The parser has met a request line."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The parser has met the empty line after the headers."""
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse, then count what has come of a head that is not complete."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The request's head is too large; send less in URL and headers.")
