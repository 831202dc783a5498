"""Forward decay in the log domain, and rows of neighbours that are changed where they lie.

A score is L = log2 Σ w·2^(t/H): adding an event needs no clock and no rescaling, a late one lands right, and
time passing never changes the order of two items. (Cormode et al., Forward Decay, ICDE 2009.)
"""

from __future__ import annotations

import math
import struct
from typing import Final

import numpy as np

MAX_NEIGHBOURS: Final = 64  # per item: more never reach a list
NEIGHBOUR: Final = np.dtype([("item", "<u8"), ("score", "<f8")])  # a row is ≤ MAX_NEIGHBOURS of these
DAY_S: Final = 86_400
TREND_HALF_LIFE_S: Final = DAY_S
POPULAR_HALF_LIFE_S: Final = 30 * DAY_S
COVISIT_HALF_LIFE_S: Final = POPULAR_HALF_LIFE_S  # so that one term serves both
COVISIT_WINDOW_S: Final = 30 * 60
COVISIT_ITEMS: Final = 5  # latest others that an item is paired with
COVISIT_PAIRS_MAX: Final = 20  # a record; an order of forty lines would make 780

_ENTRY_BYTES: Final = NEIGHBOUR.itemsize
_ROW_MAX_BYTES: Final = MAX_NEIGHBOURS * _ENTRY_BYTES
_SCORE: Final = struct.Struct("<d")
_ENTRY: Final = struct.Struct("<8sd")
_read_score: Final = _SCORE.unpack_from
_write_score: Final = _SCORE.pack_into
_log1p: Final = math.log1p
_PER_LN2: Final = 1.0 / math.log(2.0)
_NEGLIGIBLE: Final = -60.0  # 2^-60 is below half a unit in the last place of any sum


def term(weight: float, time_s: int, half_life_s: int) -> float:
    """log2(w·2^(t/H)) of one event."""
    return math.log2(weight) + time_s / half_life_s


def log_add(left: float, right: float) -> float:
    """log2(2^left + 2^right), either may be -inf."""
    high, low = (left, right) if left >= right else (right, left)
    apart = low - high
    return high + math.log1p(2.0**apart) * _PER_LN2 if apart > _NEGLIGIBLE else high


def add_neighbour(row: bytearray, key: bytes, added: float) -> None:
    """Add a term to the neighbour `key` (8 bytes) of a packed row, in place.

    A full row lets the smallest score go, of equal ones the smallest key; that may be the new one.
    """
    at = row.find(key)
    while at >= 0 and at % _ENTRY_BYTES:
        at = row.find(key, at + 1)
    if at >= 0:
        # log_add, written out: this runs ten times an event
        (low,) = _read_score(row, at + 8)
        high, low = (low, added) if low >= added else (added, low)
        if low - high > _NEGLIGIBLE:
            high += _log1p(2.0 ** (low - high)) * _PER_LN2
        _write_score(row, at + 8, high)
    elif len(row) < _ROW_MAX_BYTES:
        row += _ENTRY.pack(key, added)
    else:
        entries = np.frombuffer(bytes(row), NEIGHBOUR)
        scores = entries["score"]
        weakest = float(scores.min())
        if added < weakest:
            return
        lowest = min(np.flatnonzero(scores == weakest).tolist(), key=entries["item"].__getitem__)
        if (added, int.from_bytes(key, "little")) > (weakest, int(entries["item"][lowest])):
            _ENTRY.pack_into(row, lowest * _ENTRY_BYTES, key, added)
