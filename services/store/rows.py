"""Scores and rows of many items by eight-byte key, as plain commands.

A script that packs its reply into one string holds the server three to ten times as long as the command does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.store.node import Arguments

KeyArray = NDArray[np.uint64]
ScoreArray = NDArray[np.float64]

# One command of so many scores holds the server for some 0.1 ms, at any depth of any set.
PAGE_ITEMS: Final = 500
# So many members looked up all over a large set take 0.1 to 0.3 ms.
SCORES_A_CALL: Final = 250
# Rows have up to 1 KiB; so many hold it for about 0.2 ms.
ROWS_A_CALL: Final = 200
_WIRE: Final = np.dtype([("head", "S4"), ("key", "<u8"), ("tail", "S2")])  # a member as it is sent
# Scores are text with up to 17 digits. Python's own float() takes eight times as long to read them exactly.
_FLOATS: Final = msgspec.json.Decoder(list[float])


def pack_key(item_key: int) -> bytes:
    """A member or field: u64 little endian. Raises OverflowError for anything else."""
    return item_key.to_bytes(8, "little")


def pack_keys(item_keys: Sequence[int] | KeyArray, a_call: int) -> list[Arguments]:
    """Members or fields for as many commands (ZMSCORE, HMGET) as it takes with `a_call` in each."""
    wire = np.empty(len(item_keys), dtype=_WIRE)
    wire["head"], wire["key"], wire["tail"] = b"$8\r\n", np.asarray(item_keys, dtype=np.uint64), b"\r\n"
    parts = [wire[first : first + a_call] for first in range(0, len(wire), a_call)]
    return [Arguments(len(part), part.tobytes()) for part in parts]


def page_call(zset: bytes, first: int) -> tuple[Any, ...]:
    """Members from place `first` on, highest score first, PAGE_ITEMS of them; for `unpack_page`."""
    return ("ZRANGE", zset, first, first + PAGE_ITEMS - 1, "REV", "WITHSCORES")


def unpack_page(reply: Sequence[bytes]) -> tuple[KeyArray, ScoreArray]:
    """Keys and scores (n,), highest first; the keys are read-only."""
    return np.frombuffer(b"".join(reply[0::2]), dtype="<u8"), _floats(reply[1::2])


def unpack_scores(replies: Iterable[Sequence[bytes | None]]) -> ScoreArray:
    """From the replies to ZMSCORE, one after the other: f64 (n,), -inf where absent."""
    texts = [text for reply in replies for text in reply]
    found = [text for text in texts if text is not None]
    if len(found) == len(texts):
        return _floats(found)
    scores = np.full(len(texts), -np.inf)
    scores[[text is not None for text in texts]] = _floats(found)
    return scores


def _floats(texts: Sequence[bytes]) -> ScoreArray:
    return np.array(_FLOATS.decode(b"[" + b",".join(texts) + b"]"), dtype=np.float64)
