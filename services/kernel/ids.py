"""Identifiers: how they are read, hashed and made."""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b
from typing import Final

MAX_ID_BYTES: Final = 256  # long enough for any URL-like id, short enough for a key in Kafka and Valkey
_MAX_ID_INT: Final = 10**MAX_ID_BYTES  # compared before `str`, which is slow and limited for huge ints
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class IdError(ValueError):
    """A value cannot be an id; the message says what an id is."""


def read_id(raw: object) -> str:
    """An id as clients spell it: a string, or a JSON integer read as its decimal string.

    Ids are opaque, 1 to 256 bytes of UTF-8 without control characters. Raises IdError.
    """
    if isinstance(raw, str):
        text = raw
    elif isinstance(raw, int) and not isinstance(raw, bool):
        if not -_MAX_ID_INT < raw < _MAX_ID_INT:
            raise IdError(f"is longer than {MAX_ID_BYTES} bytes")
        text = str(raw)
    else:
        raise IdError(f"must be a string or an integer, not {json_type(raw)}")
    if text.isascii() and text.isprintable() and 0 < len(text) <= MAX_ID_BYTES:
        return text
    return _read_unusual(text)


def _read_unusual(text: str) -> str:
    if not text:
        raise IdError(f"is empty; an id has 1 to {MAX_ID_BYTES} bytes")
    if len(text) > MAX_ID_BYTES:
        raise IdError(f"is longer than {MAX_ID_BYTES} bytes")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise IdError("holds half of a surrogate pair, which is no character") from None
    if size > MAX_ID_BYTES:
        raise IdError(f"is longer than {MAX_ID_BYTES} bytes of UTF-8")
    if _CONTROL.search(text):
        raise IdError("holds a control character")
    return text


def json_type(raw: object) -> str:
    """What JSON calls a decoded value, for error texts."""
    if raw is None:
        return "null"
    if isinstance(raw, bool):
        return "a boolean"
    names: dict[type, str] = {str: "a string", int: "an integer", float: "a fraction", dict: "an object"}
    return names.get(type(raw), "a list" if isinstance(raw, (list, tuple)) else type(raw).__name__)


def item_key(item_id: str) -> int:
    """The 64-bit key of an item inside profiles and aggregates: stable across releases and machines."""
    return int.from_bytes(blake2b(item_id.encode(), digest_size=8).digest(), "little")


def event_hash(event_id: str) -> int:
    """The 64-bit hash by which a profile remembers an event that it has applied."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "little")


def fingerprint(key: int) -> int:
    """The low 32 bits of an item key, as the seen list keeps it."""
    return key & 0xFFFF_FFFF


def uuid7(now_ms: int) -> str:
    """A UUIDv7 (RFC 9562): 48 bits of `now_ms` (Unix time), 74 random bits."""
    number = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | secrets.randbits(80)
    number = number & ~(0xF000 << 64) | 0x7000 << 64  # version 7
    number = number & ~(0xC000 << 48) | 0x8000 << 48  # variant 10
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
