"""Builds the index of sessions that `services.ranking.session_neighbours` looks things up in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from services.release.pack import save_array
from services.trainer.sequences import Sequences

SESSION_GAP_S: Final = 30 * 60  # analytics tools end a visit after half an hour, too
SESSION_ITEMS_MAX: Final = 50  # a longer one is cut: it is a taste, and no intent
SESSIONS_MAX: Final = 1_000_000  # the newest; 25 MB
POSTINGS_MAX: Final = 250  # newest sessions of an item: Serenade's best are from 250 to 1,000


def save_session_index(directory: Path, sequences: Sequences, items: int) -> None:
    """Write the four arrays of the index."""
    lines, times_s = sequences.items, sequences.times_s
    count = len(lines)
    subject = np.repeat(np.arange(len(sequences.subjects)), np.diff(sequences.starts))
    fresh = np.ones(count, dtype=np.bool_)
    fresh[1:] = (subject[1:] != subject[:-1]) | (times_s[1:] - times_s[:-1] > SESSION_GAP_S)
    (starts,) = fresh.nonzero()
    lengths = np.diff(np.append(starts, count))
    fresh |= (np.arange(count) - np.repeat(starts, lengths)) % SESSION_ITEMS_MAX == 0
    (starts,) = fresh.nonzero()
    lengths = np.diff(np.append(starts, count))
    # Numbered by their end, the newest last; a session of one item says nothing of what goes with it.
    ends_s = times_s[np.append(starts[1:], count) - 1] if count else times_s
    order = np.argsort(ends_s, kind="stable")
    order = order[lengths[order] > 1][-SESSIONS_MAX:]
    number = np.full(len(starts), -1, dtype=np.int64)
    number[order] = np.arange(len(order))
    of_line = np.repeat(number, lengths)
    kept = of_line >= 0
    # Each item once a session.
    pairs = np.unique(np.stack([of_line[kept], lines[kept].astype(np.int64)], axis=1), axis=0)
    session, item = pairs[:, 0], pairs[:, 1]
    save_array(
        directory, "sessions_starts.npy", np.searchsorted(session, np.arange(len(order) + 1)).astype(np.int64)
    )
    save_array(directory, "sessions_items.npy", item.astype(np.int32))
    newest_first = np.lexsort((-session, item))
    session, item = session[newest_first], item[newest_first]
    first = np.searchsorted(item, np.arange(items + 1))
    few = np.arange(len(item)) - first[item] < POSTINGS_MAX
    session, item = session[few], item[few]
    save_array(directory, "postings_starts.npy", np.searchsorted(item, np.arange(items + 1)).astype(np.int64))
    save_array(directory, "postings_sessions.npy", session.astype(np.int32))
