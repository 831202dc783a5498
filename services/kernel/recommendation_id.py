"""The name of one answer: it carries its own time, scenario, release and arm.

An event that names the `recommendation_id` which led to it needs no look-up to be attributed.
Layout, before base64url without padding: u8 version (1) · 6 bytes time, ms, big endian · 4 random bytes ·
UTF-8 text `scenario NUL release NUL arm`.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import NamedTuple

VERSION = 1
HEAD_BYTES = 11
# An id travels in events, where ids have at most 256 bytes.
MAX_TEXT_BYTES = 170


class RecommendationId(NamedTuple):
    """What a recommendation id says. `release` is empty when no release took part."""

    time_ms: int
    scenario: str
    release: str
    arm: str


def encode_recommendation_id(time_ms: int, scenario: str, release: str, arm: str) -> str:
    """A new, unique id. Raises ValueError when the names are longer than an id can carry."""
    text = "\0".join((scenario, release, arm)).encode()
    if len(text) > MAX_TEXT_BYTES:
        raise ValueError(f"scenario, release and arm take {len(text)} bytes; {MAX_TEXT_BYTES} is the most")
    head = bytes((VERSION,)) + time_ms.to_bytes(6, "big") + secrets.token_bytes(4)
    return base64.urlsafe_b64encode(head + text).rstrip(b"=").decode()


def decode_recommendation_id(text: str) -> RecommendationId:
    """What an id says. Raises ValueError for anything that `encode_recommendation_id` did not write."""
    try:
        raw = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        parts = raw[HEAD_BYTES:].decode().split("\0")
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("not a recommendation id") from error
    if len(raw) < HEAD_BYTES or raw[0] != VERSION or len(parts) != 3:
        raise ValueError("not a recommendation id of this version")
    return RecommendationId(int.from_bytes(raw[1:7], "big"), *parts)
