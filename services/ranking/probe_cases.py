"""The profiles that a graph is tried on before it is served: nobody, short and full histories, strangers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from services.kernel.bank import RING_CAPACITY
from services.kernel.event_type import EventType, EventTypes
from services.kernel.ids import item_key
from services.kernel.position import Position
from services.kernel.profile import SEEN_BOUGHT, SEEN_VIEWED, Change, Line, Profile, ProfileRules
from services.ranking.inputs import SEEN_MAX, ModelQuestion
from services.release.files import Release

# One event, the first that is a sequence, an odd one, one below and one at what a profile holds.
LENGTHS: Final = (1, 2, 7, RING_CAPACITY - 1, RING_CAPACITY)
STRANGERS: Final = 5
STEP_S: Final = 60
NOW_S: Final = 1_700_000_000
TYPES: Final = (EventType.VIEW, EventType.CLICK, EventType.CART_ADD, EventType.PURCHASE, EventType.VIEW)
_FOREVER_MS: Final = 10**15  # no probe's profile expires while it is made


class Case(NamedTuple):
    """One user to try. `events` is how many the history holds, `known` how many of them are items."""

    text: str
    question: ModelQuestion
    events: int
    known: int


def cases(release: Release) -> list[Case]:
    """The users, by name in the order in which they are tried. Times are fixed: same release, same inputs."""
    count = release.manifest.items
    keys = release.item_keys
    made = [_case(release, "an empty profile", [])]
    for length in LENGTHS:
        # Spread over the whole id table, its first and last item included; every length ends elsewhere.
        places = np.linspace(count - 1, 0, length).astype(np.int64)
        history = [int(keys[place]) for place in np.roll(places, length // 3)]
        events = "event" if length == 1 else "events"
        made.append(_case(release, f"a history of {length} {events}", history, known=length))
    strangers = [item_key(f"\x00probe {number}") for number in range(STRANGERS)]
    made.append(_case(release, f"{STRANGERS} events with unknown items alone", strangers))
    mixed = [int(keys[0]), strangers[0], int(keys[-1]), strangers[1]]
    made.append(_case(release, "a history whose newest item is unknown", mixed, known=2))
    everything = keys[-SEEN_MAX:].tolist()
    made.append(_case(release, "every item seen", everything, known=len(everything), bought=True))
    return made


def _case(release: Release, text: str, keys: Sequence[int], *, known: int = 0, bought: bool = False) -> Case:
    space = release.space.at(0)
    types = EventTypes("", release.event_weights)
    rules = ProfileRules(space, release.vector_of, types.weight, _FOREVER_MS, SEEN_MAX)
    profile = Profile.empty(space)
    for place, key in enumerate(keys):
        number = int(EventType.PURCHASE if bought else TYPES[place % len(TYPES)])
        time_s = NOW_S - STEP_S * (len(keys) - place)
        reason = SEEN_BOUGHT if number == EventType.PURCHASE else SEEN_VIEWED
        line = Line(key, types.weight(number), math.nan)
        position = Position(1, 0, place)
        profile.apply(Change(position, place + 1, time_s * 1000, time_s, number, reason, (line,)), rules)
    context = keys[-1] if keys else 0
    events = min(len(keys), RING_CAPACITY)
    return Case(text, ModelQuestion(profile, NOW_S * 1000, context), events, min(known, events))
