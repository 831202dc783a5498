"""Counts what comes after what, for the tables that `services.ranking.transitions` reads.

For lines i < j of one subject, j - i ≤ WINDOW: `near` counts pairs with j - i = 1, `wide` adds
WIDE_DECAY^(j - i - 1). A row's shares are its counts over their sum plus PRIOR.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.ranking.transitions import BACKWARD, FORWARD, ROW_MAX
from services.release.pack import save_array
from services.trainer.sequences import Sequences

WINDOW: Final = 10
WIDE_DECAY: Final = 0.8
# Counts that a row is taken to have had already: one pair that was seen once is no certainty.
PRIOR: Final = 2.0
# Lines that are counted, the newest: older ones say little of what follows what today. Takes 0.5 GB.
LINES_MAX: Final = 4_000_000


def save_transitions(directory: Path, sequences: Sequences, items: int) -> None:
    """Write both tables of a release."""
    before, after, near, wide = pairs_of(sequences, items)
    _save(directory, FORWARD, (before, after), (near, wide), items)
    _save(directory, BACKWARD, (after, before), (near, wide), items)


def pairs_of(sequences: Sequences, items: int) -> tuple[NDArray[Any], ...]:
    """(before i64[p], after i64[p], near f32[p], wide f32[p]) of all distinct pairs."""
    start = max(0, len(sequences.items) - LINES_MAX)
    lines = sequences.items[start:].astype(np.int64)
    counts = sequences.weights[start:] > 0
    subject = np.repeat(np.arange(len(sequences.subjects)), np.diff(sequences.starts))[start:]
    keys = np.zeros(0, dtype=np.int64)
    sums = np.zeros((0, 2))
    for lag in range(1, WINDOW + 1):
        together = (subject[lag:] == subject[:-lag]) & counts[lag:] & counts[:-lag]
        together &= lines[lag:] != lines[:-lag]
        found, times = np.unique((lines[:-lag] * items + lines[lag:])[together], return_counts=True)
        added = np.stack([times * float(lag == 1), times * WIDE_DECAY ** (lag - 1)], axis=1)
        keys, sums = _merged(keys, sums, found, added)
    before, after = np.divmod(keys, items)
    return before, after, sums[:, 0].astype(np.float32), sums[:, 1].astype(np.float32)


def _merged(
    keys: NDArray[np.int64], sums: NDArray[np.float64], found: NDArray[np.int64], added: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    both, place = np.unique(np.concatenate([keys, found]), return_inverse=True)
    total = np.zeros((len(both), 2))
    total[place[: len(keys)]] = sums
    total[place[len(keys) :]] += added
    return both, total


def _save(
    directory: Path,
    role: str,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    counts: tuple[NDArray[np.float32], NDArray[np.float32]],
    items: int,
) -> None:
    (source, other), (near, wide) = pairs, counts
    near_sums, wide_sums = (np.bincount(source, each, minlength=items) for each in counts)
    order = np.lexsort((other, -wide, source))
    source, other = source[order], other[order]
    starts = np.searchsorted(source, np.arange(items + 1))
    kept = np.arange(len(source)) - starts[source] < ROW_MAX
    source, other, order = source[kept], other[kept], order[kept]
    shares = np.stack(
        [near[order] / (near_sums[source] + PRIOR), wide[order] / (wide_sums[source] + PRIOR)], axis=1
    )
    save_array(
        directory, f"{role}_starts.npy", np.searchsorted(source, np.arange(items + 1)).astype(np.int64)
    )
    save_array(directory, f"{role}_items.npy", other.astype(np.int32))
    save_array(directory, f"{role}_shares.npy", shares.astype(np.float32))
