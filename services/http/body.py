"""Reading request bodies within bounds: bytes, bytes after gunzip, time, and memory over all requests."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from starlette.requests import ClientDisconnect, Request

from services.kernel.problem import Problem, ProblemError

_READ_TIMEOUT_S: Final = 30.0  # 1 MiB at 300 kbit/s; slower clients send less at once
_MAX_GZIP_MEMBERS: Final = 16  # concatenated gzip files are legal; thousands of empty ones are an attack
_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS
_MAX_LENGTH_DIGITS: Final = 18


class BodyReader:
    """Reads bodies of at most `max_bytes`, before and after gunzip; all together at most `max_held_bytes`."""

    def __init__(self, max_bytes: int, max_held_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_held_bytes = max_held_bytes
        self.held_bytes = 0

    async def read(self, request: Request) -> bytes:
        """The whole body, inflated. Raises ProblemError 400, 408, 413, 415, 503, and ClientDisconnect.

        1. Refuse by the headers, before a byte is read.
        2. Gather the pieces, within the bounds of size, time and memory over all requests.
        3. Inflate, within the bound of size.
        """
        # 1.
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip"}:
            raise ProblemError(
                Problem(415, "unsupported_encoding", f"Content-Encoding {encoding[:32]!r}: send gzip or none")
            )
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced[:_MAX_LENGTH_DIGITS]) > self._max_bytes:
            raise self._too_large()
        # 2.
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                body = await self._gather(request)
        except TimeoutError:
            raise ProblemError(
                Problem(408, "body_too_slow", f"the body did not arrive within {_READ_TIMEOUT_S:.0f} s")
            ) from None
        # 3.
        return self._gunzip(body) if encoding.endswith("gzip") else body

    async def _gather(self, request: Request) -> bytes:
        pieces: list[bytes] = []
        size = 0
        try:
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                piece: bytes = message.get("body", b"")
                more: bool = message.get("more_body", False)
                size += len(piece)
                if size > self._max_bytes:
                    raise self._too_large()
                if not more:
                    return b"".join([*pieces, piece]) if pieces else piece
                self.held_bytes += len(piece)
                pieces.append(piece)
                if self.held_bytes > self._max_held_bytes:
                    raise ProblemError(
                        Problem(
                            503, "overloaded", "too many large bodies at once; try again", retry_after_s=1
                        )
                    )
        finally:
            self.held_bytes -= sum(map(len, pieces))

    def _gunzip(self, body: bytes) -> bytes:
        pieces: list[bytes] = []
        room = self._max_bytes
        for _ in range(_MAX_GZIP_MEMBERS):
            inflater = zlib.decompressobj(_GZIP_WBITS)
            try:
                piece = inflater.decompress(body, room + 1)
            except zlib.error:
                raise ProblemError(
                    Problem(400, "invalid_gzip", "the body is not gzip although Content-Encoding says so")
                ) from None
            if len(piece) > room:
                raise self._too_large()
            if not inflater.eof:
                raise ProblemError(
                    Problem(400, "invalid_gzip", "the gzip body ends before its end; send all of it")
                )
            pieces.append(piece)
            room -= len(piece)
            body = inflater.unused_data
            if not body:
                return b"".join(pieces)
        raise ProblemError(
            Problem(400, "invalid_gzip", f"the gzip body has more than {_MAX_GZIP_MEMBERS} members; send one")
        )

    def _too_large(self) -> ProblemError:
        return ProblemError(
            Problem(
                413,
                "body_too_large",
                f"the body has more than {self._max_bytes} bytes (after gunzip too); split it into several",
            )
        )
