"""Who may call what: all-scope keys, and write keys that may only post events."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Mapping
from hmac import compare_digest
from typing import Final
from urllib.parse import parse_qs

from services.kernel.problem import Problem

OPEN_PATHS: Final = frozenset({"/healthz", "/health", "/readyz", "/ready"})
_WRITE_PATH: Final = "/events"
_MAX_QUERY_FIELDS: Final = 32  # a query that carries a key carries little else
_HOW: Final = "send it as `Authorization: Bearer KEY`, as `X-API-Key: KEY` or as the user name of Basic"


class KeyRing:
    """The keys of a service. Without any, everything is open (and the server binds to loopback only)."""

    def __init__(self, keys: Iterable[str], write_keys: Iterable[str]) -> None:
        self._keys = [key.encode() for key in sorted(keys)]
        self._write_keys = [key.encode() for key in sorted(write_keys)]
        self.locked = bool(self._keys or self._write_keys)

    def refusal(self, method: str, path: str, headers: Mapping[bytes, bytes], query: bytes) -> Problem | None:
        """Why the request may not pass, or None. `headers` has lower-case names."""
        if not self.locked or path in OPEN_PATHS:
            return None
        given = _keys_in_headers(headers)
        if any([_is_one_of(key, self._keys) for key in given]):  # noqa: C419 - every comparison runs
            return None
        in_query = _key_in_query(query)
        may_write = any([_is_one_of(key, self._write_keys) for key in [*given, *in_query]])  # noqa: C419
        if may_write and method == "POST" and path == _WRITE_PATH:
            return None
        if may_write:
            return Problem(
                403, "write_key_only", f"this key may only POST {_WRITE_PATH}; use one of FRESHET_KEYS"
            )
        if any([_is_one_of(key, self._keys) for key in in_query]):  # noqa: C419
            return Problem(401, "key_in_query", f"?key= takes write keys only (URLs are logged); {_HOW}")
        if given or in_query:
            return _unauthorized("unknown_key", "the key is not one of this service's", headers)
        return _unauthorized("missing_key", f"a key is needed; {_HOW}", headers)


def _unauthorized(code: str, detail: str, headers: Mapping[bytes, bytes]) -> Problem:
    # A browser that opens /docs is asked for the key by its own dialog; programs are not.
    scheme = "Basic" if b"text/html" in headers.get(b"accept", b"") else "Bearer"
    return Problem(401, code, detail, headers={"www-authenticate": f'{scheme} realm="freshet"'})


def _is_one_of(given: bytes, keys: list[bytes]) -> bool:
    """Compares with every key, each in constant time."""
    return any([compare_digest(given, key) for key in keys])  # noqa: C419 - a generator would stop at a match


def _keys_in_headers(headers: Mapping[bytes, bytes]) -> list[bytes]:
    given = []
    if (key := headers.get(b"x-api-key")) is not None:
        given.append(key.strip())
    scheme, _, credentials = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() == b"bearer":
        given.append(credentials.strip())
    elif scheme.lower() == b"basic":
        try:
            given.append(b64decode(credentials.strip(), validate=True).partition(b":")[0])
        except (binascii.Error, ValueError):
            given.append(b"")
    return given


def _key_in_query(query: bytes) -> list[bytes]:
    if b"key=" not in query:
        return []
    try:
        fields = parse_qs(query, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        return []
    return fields.get(b"key", [])[:1]
