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
# Segment's tracking API; its browser and mobile libraries use the first letters.
_SEGMENT_CALLS: Final = ("track", "page", "screen", "identify", "alias", "group", "batch", "import")
SEGMENT_PATHS: Final = frozenset(f"/v1/{call}" for call in (*_SEGMENT_CALLS, *"tpsiagb"))
GA4_PATH: Final = "/mp/collect"
WRITE_PATHS: Final = SEGMENT_PATHS | {"/events", GA4_PATH}
_MAX_QUERY_FIELDS: Final = 32  # a query that carries a key carries little else
_HOW: Final = "send it as `Authorization: Bearer KEY`, as `X-API-Key: KEY` or as the user name of Basic"


class KeyRing:
    """The keys of a service. Without any, everything is open (and the server binds to loopback only)."""

    def __init__(
        self, keys: Iterable[str], write_keys: Iterable[str], open_paths: frozenset[str] = frozenset()
    ) -> None:
        self._keys = [key.encode() for key in sorted(keys)]
        self._write_keys = [key.encode() for key in sorted(write_keys)]
        self._open_paths = OPEN_PATHS | open_paths
        self.locked = bool(self._keys or self._write_keys)

    def refusal(self, method: str, path: str, headers: Mapping[bytes, bytes], query: bytes) -> Problem | None:
        """Why the request may not pass, or None. `headers` has lower-case names."""
        if not self.locked or path in self._open_paths:
            return None
        given = _keys_in_headers(headers)
        if any([_is_one_of(key, self._keys) for key in given]):  # noqa: C419 - every comparison runs
            return None
        in_query = _key_in_query(query, "api_secret" if path == GA4_PATH else "key")
        may_write = any([_is_one_of(key, self._write_keys) for key in [*given, *in_query]])  # noqa: C419
        if may_write and method == "POST" and path in WRITE_PATHS:
            return None
        if may_write:
            return Problem(403, "write_key_only", "this key may only post events; use one of FRESHET_KEYS")
        if any([_is_one_of(key, self._keys) for key in in_query]):  # noqa: C419
            return Problem(401, "key_in_query", f"a query takes write keys only (URLs are logged); {_HOW}")
        if not (given or in_query) and method == "POST" and path in SEGMENT_PATHS:
            return None  # it may be in the body: `refusal_by_body`
        if given or in_query:
            return _unauthorized("unknown_key", "the key is not one of this service's", headers)
        return _unauthorized("missing_key", f"a key is needed; {_HOW}", headers)

    def refusal_by_body(
        self, headers: Mapping[bytes, bytes], query: bytes, write_key: object
    ) -> Problem | None:
        """Why a request to SEGMENT_PATHS may not pass, once its body is read; None for one that `refusal` has
        judged by its headers. Segment's browser library sent its key in the body for years.
        """
        if not self.locked or _keys_in_headers(headers) or _key_in_query(query, "key"):
            return None
        if not isinstance(write_key, str) or not write_key:
            return _unauthorized("missing_key", f"a key is needed; {_HOW}, or as writeKey", headers)
        given = write_key.encode(errors="replace")
        if _is_one_of(given, self._write_keys):
            return None
        if _is_one_of(given, self._keys):
            return Problem(401, "key_in_body", f"writeKey takes write keys only (pages show it); {_HOW}")
        return _unauthorized("unknown_key", "the key is not one of this service's", headers)


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


def _key_in_query(query: bytes, name: str) -> list[bytes]:
    if f"{name}=".encode() not in query:
        return []
    try:
        fields = parse_qs(query, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        return []
    return fields.get(name.encode(), [])[:1]
