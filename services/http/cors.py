"""Letting browsers of configured origins call (the fetch standard's CORS protocol). No cookies are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from services.kernel.problem import Problem

_METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
_EXPOSED: Final = b"Retry-After, Server-Timing, Allow"
_MAX_AGE_S: Final = b"600"  # what Chromium honours at most is 7200; a changed setting is felt in ten minutes
_MAX_ECHO_BYTES: Final = 1024

Headers = list[tuple[bytes, bytes]]


class Cors:
    """The CORS headers of answers. Without origins there are none, and preflights are refused."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.rstrip("/").encode() for origin in origins)
        self._any = b"*" in self._origins

    def headers_for(self, origin: bytes | None) -> Headers:
        """What every answer to `origin` carries, errors too."""
        if not self._origins:
            return []
        if self._any:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED)]
        if origin is None or origin not in self._origins:
            return [(b"vary", b"Origin")]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        ]

    def preflight(self, headers: Mapping[bytes, bytes]) -> Headers | Problem:
        """The answer's further headers to an OPTIONS request that asks for a method."""
        origin = headers.get(b"origin", b"")
        if not (self._any or origin in self._origins):
            shown = origin[:128].decode("latin-1")
            return Problem(
                403, "origin_not_allowed", f"add the origin {shown!r} to FRESHET_CORS_ORIGINS to call from it"
            )
        asked = headers.get(b"access-control-request-headers", b"")[:_MAX_ECHO_BYTES]
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-max-age", _MAX_AGE_S),
            *([(b"access-control-allow-headers", asked)] if asked else []),
        ]


def is_preflight(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """An OPTIONS request that a browser sends on its own before the real one."""
    return method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers
