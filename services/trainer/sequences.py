"""From an event table to the batches that the network learns from.

A sequence is what one subject did, line by line. The state before a record is made of the lines of the
records before it; its lines are the targets, each one example. So an order of many items is predicted as a
whole, from what was known before it, as it is when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.bank import WeightOf
from services.trainer.events import EventTable
from services.trainer.heartbeats import heartbeats_of

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]

# Lines of a sequence that are looked at together. γ = .98 has forgotten all but half a percent after 256.
WINDOW_MAX: Final = 512
# A longer sequence is cut into windows that overlap by half: each target has at least this much before it.
STRIDE: Final = WINDOW_MAX // 2
# Each length of rows compiles once, a few seconds; rows are padded to the next one.
LENGTHS: Final = (8, 16, 32, 64, 128, 256, 512)
# A row is at least half full, mostly; so a batch has twice the places that its examples need.
ROOM: Final = 2


class Sequences(NamedTuple):
    """Lines by subject, in time order inside each.

    `items` i32[n] (index in the id table), `weights` f32[n] (of the event, 0 adds nothing to the bank),
    `starts` i64[s + 1] (where each subject begins), `known` i32[n] (how many lines of the subject stand
    before the line's record), `counts` bool[n] (whether the line is a target), `times_s` i64[n], `subjects`
    i32[s].
    """

    items: IntArray
    weights: FloatArray
    starts: NDArray[np.int64]
    known: IntArray
    counts: NDArray[np.bool_]
    times_s: NDArray[np.int64]
    subjects: IntArray


class Batch(NamedTuple):
    """One step's worth; shapes are fixed by (rows, length, examples).

    `items` i32[B, T] and `weights` f32[B, T], padding at the end (weight 0, item 0). Example m: the state of
    row `row[m]` after `known[m]` ≥ 1 lines, whose next is `target[m]`; `share` f32[M], 0 for padding.
    """

    items: IntArray
    weights: FloatArray
    row: IntArray
    known: IntArray
    target: IntArray
    share: FloatArray


def sequences_of(table: EventTable, weight_of: WeightOf, *, from_s: int | None = None) -> Sequences:
    """Group a table by subject. `from_s`: only lines at or after it are targets (the rest is history).

    Heartbeats of a player are left out: they leave the bank of a profile alone.
    """
    (lines,) = np.nonzero(~heartbeats_of(table))
    order = lines[np.argsort(table.subjects[lines], kind="stable")]  # the table is in time order
    subjects, records = table.subjects[order], table.records[order]
    n = len(order)
    fresh = np.ones(n, dtype=np.bool_)
    fresh[1:] = subjects[1:] != subjects[:-1]
    (starts,) = fresh.nonzero()
    lengths = np.diff(np.append(starts, n))
    new_record = fresh.copy()
    new_record[1:] |= records[1:] != records[:-1]
    first_of_record = np.maximum.accumulate(np.where(new_record, np.arange(n), 0))
    known = first_of_record - np.repeat(starts, lengths)
    weights = _weights(table, weight_of)[order]
    counts = weights > 0
    if from_s is not None:
        counts &= table.times_s[order] >= from_s
    return Sequences(
        table.items[order],
        weights,
        np.append(starts, n).astype(np.int64),
        known.astype(np.int32),
        counts,
        table.times_s[order],
        subjects[starts],
    )


def _weights(table: EventTable, weight_of: WeightOf) -> FloatArray:
    """The weight of each line; one call for each distinct (type, value) of rated types, few otherwise."""
    pairs = np.stack([table.types.astype(np.float64), np.nan_to_num(table.values, nan=-1.0)], axis=1)
    distinct, which = np.unique(pairs, axis=0, return_inverse=True)
    values = [weight_of(int(kind), float("nan") if value < 0 else float(value)) for kind, value in distinct]
    found: FloatArray = np.array(values, dtype=np.float32)[which.reshape(-1)]
    return found


class Windows(NamedTuple):
    """Pieces of sequences: lines [begin, end), targets from line `first_target` of the piece on."""

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    first_target: NDArray[np.int64]


def windows_of(sequences: Sequences) -> Windows:
    """Cut long sequences; those that hold no target, or nothing before it, are left out."""
    found: list[tuple[int, int, int]] = []
    targets = np.concatenate([[0], np.cumsum(sequences.counts & (sequences.known > 0))])
    for start, stop in zip(sequences.starts[:-1].tolist(), sequences.starts[1:].tolist(), strict=True):
        begin, first = start, start
        while True:
            end = min(begin + WINDOW_MAX, stop)
            if targets[end] > targets[first]:
                found.append((begin, end, first - begin))
            if end == stop:
                break
            begin, first = end - STRIDE, end
    return Windows(*np.array(found, dtype=np.int64).reshape(-1, 3).T)


class BatchMaker:
    """Makes the batches of an epoch, in an order that the seed and the epoch decide."""

    def __init__(self, sequences: Sequences, examples: int, seed: int) -> None:
        """`examples` is how many targets a step has at most (the M of a batch)."""
        self._sequences = sequences
        self._windows = windows_of(sequences)
        self._examples = examples
        self._seed = seed

    def __len__(self) -> int:
        """Steps of an epoch, as near as the cutting lets one know."""
        return sum(1 for _ in self._plan(0))

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch `number`."""
        for length, chosen in self._plan(number):
            yield self._batch(length, chosen)

    def _plan(self, number: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(row length, windows) of each batch: windows of like length together, batches shuffled."""
        generator = np.random.default_rng((self._seed, number))
        windows, sequences = self._windows, self._sequences
        sizes = windows.end - windows.begin
        which = np.searchsorted(LENGTHS, sizes)
        usable = np.concatenate([[0], np.cumsum(sequences.counts & (sequences.known > 0))])
        targets = usable[windows.end] - usable[windows.begin + windows.first_target]
        made: list[tuple[int, NDArray[np.int64]]] = []
        for place, length in enumerate(LENGTHS):
            members = generator.permutation(np.flatnonzero(which == place))
            rows = self.rows(length)
            start = 0
            while start < len(members):
                filled = np.cumsum(targets[members[start : start + rows]])
                took = max(1, int(np.searchsorted(filled, self._examples, side="right")))
                made.append((length, members[start : start + took]))
                start += took
        for at in generator.permutation(len(made)).tolist():
            yield made[at]

    def rows(self, length: int) -> int:
        """B of the batches with rows of this length."""
        return max(1, ROOM * self._examples // length)

    def _batch(self, length: int, chosen: NDArray[np.int64]) -> Batch:
        sequences, windows = self._sequences, self._windows
        rows, most = self.rows(length), self._examples
        items = np.zeros((rows, length), dtype=np.int32)
        weights = np.zeros((rows, length), dtype=np.float32)
        parts: list[tuple[IntArray, IntArray, IntArray]] = []
        for place, window in enumerate(chosen.tolist()):
            begin, end = int(windows.begin[window]), int(windows.end[window])
            items[place, : end - begin] = sequences.items[begin:end]
            weights[place, : end - begin] = sequences.weights[begin:end]
            first = begin + int(windows.first_target[window])
            start = sequences.starts[np.searchsorted(sequences.starts, begin, side="right") - 1]
            known = sequences.known[first:end] - np.int32(begin - start)
            (used,) = (sequences.counts[first:end] & (known > 0)).nonzero()
            place_of = np.full(len(used), place, dtype=np.int32)
            parts.append((place_of, known[used], sequences.items[first:end][used]))
        row, known, target = (np.concatenate(column)[:most] for column in zip(*parts, strict=True))
        share = np.zeros(most, dtype=np.float32)
        share[: len(row)] = 1.0
        padded = [_padded(array, most) for array in (row, np.maximum(known, 1), target)]
        return Batch(items, weights, padded[0], padded[1], padded[2], share)


def _padded(array: NDArray[Any], length: int) -> IntArray:
    full = np.zeros(length, dtype=np.int32)
    full[: len(array)] = array
    return full
