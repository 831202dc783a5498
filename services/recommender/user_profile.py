"""What is known about a user, readable: `GET /users/{user_id}/profile`."""

from __future__ import annotations

from collections import defaultdict
from math import isnan
from typing import Any

import numpy as np

from services.kernel.event_type import EventTypes
from services.kernel.profile import Profile
from services.ranking.catalogue import Catalogue
from services.recommender.state import State, now_ms

RECENT_MAX = 128  # a whole ring
INTERESTS_MAX = 20
DECAY = 0.92  # an event counts half after eight more, so interests follow the last sessions
SEPARATOR = " > "


async def describe_user(
    state: State, user_id: str, profile: Profile | None, consent: str | None = None
) -> dict[str, Any]:
    """The answer for a user; for one that nobody knows, the same with nothing in it. Raises StoreError.

    `profile` None is an unknown, forgotten or deleted user, or one who denied personalisation (`consent` is
    "withheld"). Timestamps are Unix seconds; `recent` is newest first; `interests` are categories with
    weights that add up to 1 at most.
    """
    if profile is None:
        return {
            "user_id": user_id,
            "events": 0,
            "position": None,
            "recent": [],
            "interests": [],
            "consent": consent,
            "expires_in_s": None,
        }
    if state.catalogue.first is not None:
        await state.catalogue.first.want(profile.ring["item"].tolist())
    catalogue = state.catalogue.catalogue
    entries = profile.ring[::-1].tolist()
    ids: dict[int, str] = {}
    missing: list[int] = []
    for key in {entry[0] for entry in entries}:
        row = catalogue.row_of_key(key)
        if row >= 0:
            ids[key] = catalogue.item(row).item_id
        else:
            missing.append(key)
    ids.update(await state.names.of(missing))
    recent = [
        {
            "item_id": ids[key],
            "event_type": state.types.name(number),
            "timestamp": time_s,
            "value": as_sent(value),
        }
        for key, time_s, value, number in entries[:RECENT_MAX]
        if key in ids
    ]
    left_ms = profile.received_at_ms + state.ttl_ms - now_ms()
    return {
        "user_id": user_id,
        "events": profile.events,
        "position": str(profile.position) if profile.position else None,
        "recent": recent,
        "interests": interests(profile, catalogue, state.types),
        "consent": consent,
        "expires_in_s": max(0, left_ms // 1000),
    }


def consent_of(profile: Profile | None, now_ms: int, ttl_ms: int) -> str | None:
    """ "withheld" while the subject denies personalisation; None where nothing was said, or it is allowed."""
    withheld = profile is not None and profile.withheld and not profile.expired(now_ms, ttl_ms)
    return "withheld" if withheld else None


def interests(profile: Profile, catalogue: Catalogue, types: EventTypes) -> list[dict[str, Any]]:
    """Categories (as `A > B`) by weight, heaviest first.

    An event of weight w with r newer ones in the ring gives w·DECAY^r, shared by its item's categories;
    what is disliked takes away. Weights are shares of all that is positive.
    """
    weights: dict[str, float] = defaultdict(float)
    decay = 1.0
    for key, _time_s, value, number in profile.ring[::-1].tolist():
        weight = types.weight(number, None if value != value else value) * decay  # noqa: PLR0124
        decay *= DECAY
        row = catalogue.row_of_key(key) if weight else -1
        categories = catalogue.item(row).categories if row >= 0 else []
        for path in categories:
            weights[SEPARATOR.join(path)] += weight / len(categories)
    liked = {category: weight for category, weight in weights.items() if weight > 0}
    total = sum(liked.values())
    best = sorted(liked.items(), key=lambda entry: (-entry[1], entry[0]))[:INTERESTS_MAX]
    return [{"category": category, "weight": round(weight / total, 4)} for category, weight in best]


def as_sent(value: float) -> float | None:
    """The shortest number that the ring's f32 stands for: 2.69, not 2.690000057220459. NaN is no value."""
    return None if isnan(value) else float(str(np.float32(value)))
