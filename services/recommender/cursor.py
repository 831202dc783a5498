"""The next page: a cursor carries what former pages showed, so that none of it comes again.

It holds no place in an order: between two pages the order may change, with the profile or with the demand.
Layout, before base64url without padding: u8 version (1) · u64 item keys, rising.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import numpy as np

from services.ranking.state import Ranking

VERSION: Final = 1
# 7.5 KB of text: request lines of 8 KB pass everywhere. 35 pages of 20; nobody pages further.
SHOWN_MAX: Final = 700


class CursorError(ValueError):
    """Not a cursor of ours."""


def next_cursor(shown: frozenset[int], ranking: Ranking, n: int) -> str | None:
    """What asks for the page after this one; None where this one was short, or the pages are many."""
    if len(ranking.items) < n:
        return None
    now = shown | {item.key for item in ranking.items}
    if len(now) > SHOWN_MAX:
        return None
    raw = bytes((VERSION,)) + np.array(sorted(now), dtype="<u8").tobytes()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_cursor(text: str) -> frozenset[int]:
    """What former pages showed. Raises CursorError."""
    try:
        raw = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise CursorError(text) from None
    if not raw or raw[0] != VERSION or len(raw) % 8 != 1 or len(raw) > 1 + 8 * SHOWN_MAX:
        raise CursorError(text)
    return frozenset(np.frombuffer(raw, "<u8", offset=1).tolist())
