"""The films and serials of the demo, and what viewers did with them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from services.kernel.bank import NO_SPACE
from services.kernel.change import reason_of
from services.kernel.event_type import EventType
from services.kernel.ids import event_hash, item_key
from services.kernel.item import Item, parse_item
from services.kernel.position import Position
from services.kernel.profile import Change, Line, Profile, ProfileRules
from services.local import demo_shop
from services.ranking.state import RankingState
from tests.unit.shop import NOW_S, TYPES, state_of

FILMS = Path(demo_shop.__file__).parent / "demo" / "films.ndjson"
START, PROGRESS = EventType.VIDEO_START, EventType.VIDEO_PROGRESS
COMPLETE, DISLIKE = EventType.VIDEO_COMPLETE, EventType.DISLIKE
RULES = ProfileRules(NO_SPACE, lambda _: None, lambda number, _: TYPES.weight(number), 10**12, 512)
Deed = tuple[Any, ...]  # item id, type, progress where there is one, Unix time where it is another


def raw_films() -> list[dict[str, Any]]:
    """As the file has them."""
    return [json.loads(line) for line in FILMS.read_text().splitlines()]


def films() -> list[Item]:
    """All of them."""
    return [parse_item(film) for film in raw_films()]


def cinema(**changes: dict[str, Any]) -> RankingState:
    """The films without a release; `changes` by item id, "-" written as "_"."""
    named = {name.replace("_", "-"): fields for name, fields in changes.items()}
    return state_of([msgspec.structs.replace(film, **named.get(film.item_id, {})) for film in films()], None)


class _Deed(NamedTuple):
    item_id: str
    number: EventType
    progress: float = math.nan
    time_s: int | None = None


def viewer(*deeds: Deed) -> Profile:
    """A profile after deeds in the order of the log, a minute apart, the last one now."""
    profile = Profile.empty(NO_SPACE)
    for place, (item_id, number, progress, given_s) in enumerate(_Deed(*deed) for deed in deeds):
        time_s = NOW_S - 60 * (len(deeds) - 1 - place) if given_s is None else given_s
        line = Line(item_key(item_id), TYPES.weight(number), progress)
        change = Change(
            *(Position(1, 0, place), event_hash(f"e{place}"), NOW_S * 1000, time_s, int(number)),
            *(reason_of(number, progress), (line,)),
        )
        profile.apply(change, RULES)
    return profile
