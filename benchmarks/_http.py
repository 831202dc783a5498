"""A keep-alive HTTP/1.1 client that costs next to nothing, so that it does not measure itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any


class Connection:
    """One connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, host: str = "127.0.0.1") -> Connection:
        """Connect. Raises OSError."""
        return cls(*await asyncio.open_connection(host, port, limit=1 << 20))

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send and wait for the whole answer: (status, body)."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        if body:
            head += "Content-Type: application/json\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)
        header = await self._reader.readuntil(b"\r\n\r\n")
        status = int(header[9:12])
        length = 0
        for line in header.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        return status, await self._reader.readexactly(length) if length else b""

    async def json(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """`request` with JSON on both sides."""
        status, answer = await self.request(method, path, b"" if body is None else json.dumps(body).encode())
        return status, json.loads(answer) if answer else None

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()
