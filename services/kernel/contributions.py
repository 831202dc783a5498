"""What one event adds to the aggregates: which items, and together with which others."""

from __future__ import annotations

from typing import NamedTuple

from services.kernel.bank import WeightOf
from services.kernel.covisits import COVISIT_ITEMS, COVISIT_PAIRS_MAX, COVISIT_WINDOW_S
from services.kernel.profile import Change, Profile


class Contribution(NamedTuple):
    """One applied line of positive weight, and the items it was seen together with."""

    item: int
    weight: float
    time_s: int
    partners: tuple[int, ...]


def contributions_of(
    profile: Profile, change: Change, weight_of: WeightOf, ttl_ms: int
) -> list[Contribution]:
    """What a change adds, from the profile as it stands right before the change is applied.

    Each line of positive weight is paired with the up to 5 latest distinct other items of positive weight
    within 30 minutes of its time, lines before it in the same order first; at most 20 pairs a record.
    Weights are the deployment's, not the release's: aggregates are a function of the log alone.
    """
    forgotten = bool(profile.counter) and profile.expired(change.received_at_ms, ttl_ms)
    near = (
        []
        if forgotten
        else profile.latest_items(change.time_s, COVISIT_WINDOW_S, weight_of, COVISIT_ITEMS + 1)
    )
    made: list[Contribution] = []
    room = COVISIT_PAIRS_MAX
    for line in change.lines:
        weight = weight_of(change.type_number, line.value)
        if weight <= 0:
            continue
        partners = tuple([item for item in near if item != line.item][: min(COVISIT_ITEMS, room)])
        room -= len(partners)
        made.append(Contribution(line.item, weight, change.time_s, partners))
        if len(change.lines) > 1:
            near = [line.item, *(item for item in near if item != line.item)][: COVISIT_ITEMS + 1]
    return made
