"""What one event adds to the aggregates: which items, together with which others, in which segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from services.kernel.bank import WeightOf
from services.kernel.covisits import (
    BOUGHT_ITEMS,
    BOUGHT_PAIRS_MAX,
    BOUGHT_ROW,
    BOUGHT_SEEN_MAX,
    COVISIT_ITEMS,
    COVISIT_PAIRS_MAX,
    COVISIT_WINDOW_S,
    POPULAR_HALF_LIFE_S,
    SEGMENT_ROW,
    add_neighbour,
    bought_row_key,
)
from services.kernel.event_type import EventType
from services.kernel.profile import Change, Profile

_PURCHASE: Final = int(EventType.PURCHASE)


class Contribution(NamedTuple):
    """One applied line of positive weight: its item, what that was seen and bought together with, and the
    row keys of the segments it counts in."""

    item: int
    weight: float
    time_s: int
    partners: tuple[int, ...]
    bought: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()


def contributions_of(
    profile: Profile, change: Change, weight_of: WeightOf, ttl_ms: int
) -> list[Contribution]:
    """What a change adds, from the profile as it stands right before the change is applied.

    Each line of positive weight is paired with the up to 5 latest distinct other items of positive weight
    within 30 minutes of its time, lines before it in the same order first; at most 20 pairs a record. A line
    of a purchase is paired with the latest others bought as well, see `_Basket`.
    Weights are the deployment's, not the release's: aggregates are a function of the log alone.
    Nothing comes of a subject who denies personalisation: counts of pairs can give away who made them. A film
    counts once a watching, not with each heartbeat of its player.
    """
    if profile.withholds(change, ttl_ms):
        return []
    forgotten = bool(profile.counter) and profile.expired(change.received_at_ms, ttl_ms)
    near = (
        []
        if forgotten
        else profile.latest_items(change.time_s, COVISIT_WINDOW_S, weight_of, COVISIT_ITEMS + 1)
    )
    basket = None
    if change.type_number == _PURCHASE:
        basket = _Basket([] if forgotten else _bought_before(profile, change.time_s))
    made: list[Contribution] = []
    room = COVISIT_PAIRS_MAX
    for line in change.lines:
        weight = weight_of(change.type_number, line.value)
        if weight <= 0 or (not forgotten and profile.is_heartbeat(change, line.item)):
            continue
        partners = tuple([item for item in near if item != line.item][: min(COVISIT_ITEMS, room)])
        room -= len(partners)
        bought = basket.add(line.item) if basket is not None else ()
        made.append(Contribution(line.item, weight, change.time_s, partners, bought, change.segments))
        if len(change.lines) > 1:
            near = [line.item, *(item for item in near if item != line.item)][: COVISIT_ITEMS + 1]
    return made


def row_keys(one: Contribution) -> Sequence[int]:
    """The rows that a contribution changes."""
    item, _, _, partners, bought, segments = one
    keys: tuple[int, ...] = (item, *partners) if partners else ()
    if bought:
        keys += (bought_row_key(item), *map(bought_row_key, bought))
    return keys + segments if segments else keys


def add_to_rows(one: Contribution, long_term: float, rows: Mapping[int, bytearray]) -> None:
    """Add a contribution to its packed rows, in place. `long_term` is its `term` of POPULAR_HALF_LIFE_S.

    `rows` holds all of `row_keys`, empty ones too.
    """
    item, _, time_s, partners, bought, segments = one
    key = item.to_bytes(8, "little")
    if partners:
        row = rows[item]
        for partner in partners:
            add_neighbour(row, partner.to_bytes(8, "little"), long_term)
            add_neighbour(rows[partner], key, long_term)
    if bought:
        once = time_s / POPULAR_HALF_LIFE_S  # `term` of weight 1: these rows count how often
        row = rows[bought_row_key(item)]
        for partner in bought:
            add_neighbour(row, partner.to_bytes(8, "little"), once, BOUGHT_ROW)
            add_neighbour(rows[bought_row_key(partner)], key, once, BOUGHT_ROW)
    for segment in segments:
        add_neighbour(rows[segment], key, long_term, SEGMENT_ROW)


class _Basket:
    """What a subject has bought within the window, newest first.

    An item bought a second time within the window pairs with nothing: it was paired the first time, or those
    that came later were paired with it. So one visit to the shop counts each pair once, whether its lines
    came as one event or as many.
    """

    def __init__(self, bought: list[int]) -> None:
        self._bought = bought
        self._room = BOUGHT_PAIRS_MAX

    def add(self, item: int) -> tuple[int, ...]:
        """Buy an item; the items that it is bought together with."""
        partners: tuple[int, ...] = ()
        if item in self._bought:
            self._bought.remove(item)
        else:
            partners = tuple(self._bought[: min(BOUGHT_ITEMS, self._room)])
            self._room -= len(partners)
        self._bought.insert(0, item)
        return partners


def _bought_before(profile: Profile, time_s: int) -> list[int]:
    return profile.latest_items(time_s, COVISIT_WINDOW_S, _is_purchase, BOUGHT_SEEN_MAX)


def _is_purchase(type_number: int, _value: float) -> float:
    return float(type_number == _PURCHASE)
