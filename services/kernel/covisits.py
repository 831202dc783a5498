"""Forward decay in the log domain, and rows of neighbours that are changed where they lie.

A score is L = log2 Σ w·2^(t/H): adding an event needs no clock and no rescaling, a late one lands right, and
time passing never changes the order of two items. (Cormode et al., Forward Decay, ICDE 2009.)
"""

from __future__ import annotations

import math
import struct
from typing import Final, NamedTuple

import numpy as np

MAX_NEIGHBOURS: Final = 64  # per item: more never reach a list
NEIGHBOUR: Final = np.dtype([("item", "<u8"), ("score", "<f8")])  # a row is packed ones of these
DAY_S: Final = 86_400
TREND_HALF_LIFE_S: Final = DAY_S
POPULAR_HALF_LIFE_S: Final = 30 * DAY_S
COVISIT_HALF_LIFE_S: Final = POPULAR_HALF_LIFE_S  # so that one term serves both
COVISIT_WINDOW_S: Final = 30 * 60
COVISIT_ITEMS: Final = 5  # latest others that an item is paired with
COVISIT_PAIRS_MAX: Final = 20  # a record; an order of forty lines would make 780
BOUGHT_ITEMS: Final = 5  # latest others bought that an item is paired with
BOUGHT_PAIRS_MAX: Final = 60  # a record: an order of 15 lines; the lines after it find their pairs elsewhere
BOUGHT_SEEN_MAX: Final = (
    32  # how far back an item is known to be bought a second time; most orders are smaller
)
_BOUGHT_BIT: Final = 1 << 63

_ENTRY_BYTES: Final = NEIGHBOUR.itemsize
_SCORE: Final = struct.Struct("<d")
_ENTRY: Final = struct.Struct("<8sd")
_read_score: Final = _SCORE.unpack_from
_write_score: Final = _SCORE.pack_into
_log1p: Final = math.log1p
_PER_LN2: Final = 1.0 / math.log(2.0)
_NEGLIGIBLE: Final = -60.0  # 2^-60 is below half a unit in the last place of any sum


class RowBound(NamedTuple):
    """How long a row gets, and what goes when it is full."""

    entries: int
    kept: int  # a full row is cut to its best so many. As many as `entries`: a newcomer must beat the lowest


COVISIT_ROW: Final = RowBound(MAX_NEIGHBOURS, MAX_NEIGHBOURS)
# Cut at once, not one by one, so that what is new has time to be seen again; a count only ever falls short.
BOUGHT_ROW: Final = RowBound(MAX_NEIGHBOURS, 48)
# Finds a country's best 20 items of 7,000 (tests/unit/test_segment_rows.py). Were only the lowest one to go,
# as with COVISIT_ROW, a new item of many views would never enter among old ones that were bought.
SEGMENT_ROW: Final = RowBound(512, 256)
ROW_ENTRIES_MAX: Final = SEGMENT_ROW.entries


def bought_row_key(item: int) -> int:
    """The key of the row that holds what was bought together with an item; of that key, the item's again.

    Eviction derives it too, in store/lua/aggregate_write.lua.
    """
    return item ^ _BOUGHT_BIT


def term(weight: float, time_s: int, half_life_s: int) -> float:
    """log2(w·2^(t/H)) of one event."""
    return math.log2(weight) + time_s / half_life_s


def log_add(left: float, right: float) -> float:
    """log2(2^left + 2^right), either may be -inf."""
    high, low = (left, right) if left >= right else (right, left)
    apart = low - high
    return high + math.log1p(2.0**apart) * _PER_LN2 if apart > _NEGLIGIBLE else high


def add_neighbour(row: bytearray, key: bytes, added: float, bound: RowBound = COVISIT_ROW) -> None:
    """Add a term to the neighbour `key` (8 bytes) of a packed row, in place.

    A full row lets the smallest scores go, of equal ones the smallest keys, and with COVISIT_ROW that may be
    the new one.
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
    elif len(row) < bound.entries * _ENTRY_BYTES:
        row += _ENTRY.pack(key, added)
    elif bound.kept < bound.entries:
        _keep_best(row, bound.kept)
        row += _ENTRY.pack(key, added)
    else:
        _replace_lowest(row, key, added)


def _keep_best(row: bytearray, kept: int) -> None:
    """They stay in their order, so that a row is the same however batches are cut."""
    entries = np.frombuffer(bytes(row), NEIGHBOUR)
    best = np.lexsort((entries["item"], entries["score"]))[-kept:]
    row[:] = entries[np.sort(best)].tobytes()


def _replace_lowest(row: bytearray, key: bytes, added: float) -> None:
    entries = np.frombuffer(bytes(row), NEIGHBOUR)
    scores = entries["score"]
    weakest = float(scores.min())
    if added < weakest:
        return
    lowest = min(np.flatnonzero(scores == weakest).tolist(), key=entries["item"].__getitem__)
    if (added, int.from_bytes(key, "little")) > (weakest, int(entries["item"][lowest])):
        _ENTRY.pack_into(row, lowest * _ENTRY_BYTES, key, added)
