"""Many small values as one reply: eight-byte keys in, packed scores or rows out.

Parsing thousands of replies one by one costs the client far more than packing costs the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.store.scripts import Script

KeyArray = NDArray[np.uint64]
ScoreArray = NDArray[np.float64]

_ABSENT: Final = 2**32 - 1
_ZSET_SCORES: Final = Script("zset_scores")
_ZSET_TOP: Final = Script("zset_top")
_HASH_ROWS: Final = Script("hash_rows")


def pack_key(item_key: int) -> bytes:
    """A member or field: u64 little endian. Raises OverflowError for anything else."""
    return item_key.to_bytes(8, "little")


def pack_keys(item_keys: Iterable[int] | KeyArray) -> bytes:
    """Keys one after the other."""
    if isinstance(item_keys, np.ndarray):
        return item_keys.astype("<u8", copy=False).tobytes()
    return b"".join(key.to_bytes(8, "little") for key in item_keys)


def scores_call(zset: bytes, packed_keys: bytes) -> tuple[Any, ...]:
    """Scores of members; the reply is for `unpack_scores`."""
    return _ZSET_SCORES.call([zset], packed_keys)


def unpack_scores(reply: bytes) -> ScoreArray:
    """f64 (n,), -inf where absent; read-only."""
    return np.frombuffer(reply, dtype="<f8")


def top_call(zset: bytes, count: int) -> tuple[Any, ...]:
    """The highest members; the reply is for `unpack_top`."""
    return _ZSET_TOP.call([zset], count)


def unpack_top(reply: Sequence[bytes]) -> tuple[KeyArray, ScoreArray]:
    """Keys and scores (n,), highest first; read-only."""
    return np.frombuffer(reply[0], dtype="<u8"), np.frombuffer(reply[1], dtype="<f8")


def rows_call(hash_key: bytes, packed_keys: bytes) -> tuple[Any, ...]:
    """Values of fields; the reply is for `unpack_rows`."""
    return _HASH_ROWS.call([hash_key], packed_keys)


def unpack_rows(reply: Sequence[bytes]) -> list[bytes | None]:
    """The values in the order asked, None where absent."""
    rows: list[bytes | None] = []
    at = 0
    for length in np.frombuffer(reply[0], dtype="<u4").tolist():
        if length == _ABSENT:
            rows.append(None)
        else:
            rows.append(reply[1][at : at + length])
            at += length
    return rows
