"""Everything that is stored about one subject, readable: `GET /users/{user_id}/export`.

What the profile holds is shown as it stands, nothing summed up or left out: whoever asks what is known about
them gets it here. The raw events lie in the log and in archives; `freshet users export` adds them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime
from math import isnan
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from services.kernel.ids import fingerprint
from services.kernel.profile import (
    FORMAT_VERSION,
    SEEN_BOUGHT,
    SEEN_DISLIKED,
    SEEN_FINISHED,
    SEEN_VIEWED,
    Profile,
)
from services.ranking.catalogue import Catalogue
from services.recommender.state import State, now_ms
from services.recommender.user_profile import as_sent, consent_of, interests

_FINGERPRINT_MASK: Final = 0xFFFFFFFF
_DAY_S: Final = 86_400
_REASONS: Final = {
    SEEN_VIEWED: "viewed",
    SEEN_BOUGHT: "bought",
    SEEN_FINISHED: "finished",
    SEEN_DISLIKED: "disliked",
}


async def export_user(state: State, user_id: str, profile: Profile | None) -> dict[str, Any]:
    """All that is stored under a subject's id, JSON-ready. Raises StoreError.

    `profile` is what is stored, a tombstone too; None for a subject nobody has heard of. Times are RFC 3339,
    UTC. `state` is `unknown` or `expired` (nothing else is told: it is no longer used), `deleted` (when, and
    by which record), or `known`. Wants the whole catalogue in memory, or seen marks lack their names.
    """
    at_ms = now_ms()
    head: dict[str, Any] = {"user_id": user_id, "exported_at": moment(at_ms)}
    if profile is None:
        return {**head, "state": "unknown", "events": 0}
    if profile.tombstone:
        return {
            **head,
            "state": "deleted",
            "events": 0,
            "deleted_at": moment(profile.received_at_ms),
            "position": str(profile.position),
        }
    if profile.expired(at_ms, state.ttl_ms):
        return {**head, "state": "expired", "events": 0}
    ring = profile.ring
    names = await _names_of(state, ring["item"].tolist())
    times_s = ring["time"].tolist()
    marks = await _names_of_marks(profile, state.catalogue.catalogue, names)
    return {
        **head,
        "state": "known",
        "consent": consent_of(profile, at_ms, state.ttl_ms),
        "events": profile.events,
        "records": profile.counter,
        "position": str(profile.position) if profile.position else None,
        "first_recent_at": moment(times_s[0] * 1000) if times_s else None,
        "last_recent_at": moment(times_s[-1] * 1000) if times_s else None,
        "last_received_at": moment(profile.received_at_ms),
        "expires_at": moment(profile.received_at_ms + state.ttl_ms),
        "recent": [_event(entry, names, state) for entry in ring.tolist()],
        "seen": _seen(profile, marks),
        "shown": _shown(profile, marks),
        "interests": interests(profile, state.catalogue.catalogue, state.types),
        "bank": _bank(profile, state),
        "event_id_hashes": [f"{number:016x}" for number in profile.duplicates.tolist()],
        "stored": {"bytes": len(profile.encode()), "layout": FORMAT_VERSION},
    }


def disposition_of(user_id: str) -> str:
    """The content-disposition header: a file `freshet-ID.json`, with what no file name has as `_`."""
    name = "".join("_" if character in '/\\"' else character for character in f"freshet-{user_id}.json")
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def moment(time_ms: int) -> str:
    """Unix ms as RFC 3339, UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


async def _names_of(state: State, keys: list[int]) -> dict[int, str]:
    """Item ids by key, from the catalogue, else from the registry of items in no catalogue."""
    catalogue = state.catalogue.catalogue
    rows = {key: row for key in set(keys) if (row := catalogue.row_of_key(key)) >= 0}
    names = {key: catalogue.id_of(row) for key, row in rows.items()}
    return names | await state.names.of(key for key in set(keys) if key not in rows)


def _event(entry: tuple[int, int, float, int], names: dict[int, str], state: State) -> dict[str, Any]:
    key, time_s, value, number = entry
    return {
        "item_id": names.get(key),
        "item_key": f"{key:016x}",
        "event_type": state.types.name(number),
        "timestamp": moment(time_s * 1000),
        "value": as_sent(value),
    }


async def _names_of_marks(
    profile: Profile, catalogue: Catalogue, names: dict[int, str]
) -> dict[int, list[str]]:
    """Item ids by fingerprint. That is half a key, so several items may have it; what is in no catalogue and
    has left the recent events has no name."""
    wanted = np.union1d(profile.seen["fingerprint"], profile.shown["fingerprint"])
    known: dict[int, set[str]] = defaultdict(set)
    for key, name in names.items():
        known[fingerprint(key)].add(name)
    # Milliseconds at a million items: beside the loop that answers everybody else.
    rows = await asyncio.to_thread(_rows_marked, catalogue.keys[: catalogue.row_count], wanted)
    for row in rows.tolist():
        known[fingerprint(int(catalogue.keys[row]))].add(catalogue.id_of(row))
    return {mark: sorted(found) for mark, found in known.items()}


def _seen(profile: Profile, marks: dict[int, list[str]]) -> list[dict[str, Any]]:
    """The marks by which scenarios hide items, oldest first."""
    return [
        {
            "item_ids": marks.get(mark, []),
            "fingerprint": f"{mark:08x}",
            "day": datetime.fromtimestamp(day * _DAY_S, UTC).date().isoformat(),
            "reasons": [text for bit, text in _REASONS.items() if reason & bit],
        }
        for mark, day, reason in profile.seen.tolist()
    ]


def _shown(profile: Profile, marks: dict[int, list[str]]) -> list[dict[str, Any]]:
    """What the subject was shown in the last session and left alone, oldest first."""
    return [
        {
            "item_ids": marks.get(mark, []),
            "fingerprint": f"{mark:08x}",
            "timestamp": moment(time_s * 1000),
            "times": times,
        }
        for mark, time_s, times in profile.shown.tolist()
    ]


def _rows_marked(keys: NDArray[np.uint64], fingerprints: NDArray[np.uint32]) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin((keys & np.uint64(_FINGERPRINT_MASK)).astype(np.uint32), fingerprints))


def _bank(profile: Profile, state: State) -> dict[str, Any]:
    """The decayed sums of item vectors as numbers, one row a rate of decay."""
    serving = state.releases.serving
    named = serving is not None and serving.space.space_id == profile.space_id
    return {
        "space": serving.space.name if serving is not None and named else None,
        "space_id": f"{profile.space_id:016x}",
        "space_epoch": profile.space_epoch,
        "sums": [[_number(value) for value in row] for row in profile.bank],
        "weights": [_number(value) for value in profile.bank_weight],
    }


def _number(value: np.float32) -> float | None:
    return None if isnan(value) else float(str(value))
