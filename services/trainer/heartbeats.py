"""Which lines of a table are heartbeats of a player, as profiles tell them (`kernel/ring.py`)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.event_type import EventType
from services.kernel.ring import SESSION_GAP_S
from services.trainer.event_table import EventTable

_PROGRESS: Final = int(EventType.VIDEO_PROGRESS)


def heartbeats_of(table: EventTable) -> NDArray[np.bool_]:
    """bool[n]: lines that weigh nothing, since they follow a video_progress of the same subject and item
    within SESSION_GAP_S. A profile that sees 128 other events in between counts one more."""
    found = np.zeros(len(table), dtype=np.bool_)
    (lines,) = np.nonzero(table.types == _PROGRESS)
    subjects, items = table.subjects[lines], table.items[lines]
    order = np.lexsort((items, subjects))  # stable: in time order inside
    subjects, items, times_s = subjects[order], items[order], table.times_s[lines][order]
    follows = (np.diff(subjects) == 0) & (np.diff(items) == 0) & (np.diff(times_s) <= SESSION_GAP_S)
    found[lines[order][1:][follows]] = True
    return found
