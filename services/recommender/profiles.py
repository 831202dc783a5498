"""Profiles as answers read them: forgotten ones are nobody, two subjects are one, recent items are added."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from services.kernel.bank import NO_SPACE, VectorOf
from services.kernel.change import reason_of
from services.kernel.event_type import UNRECORDED, EventType, EventTypes, UnknownEventTypeError
from services.kernel.ids import event_hash, fingerprint, item_key
from services.kernel.position import Position
from services.kernel.profile import Change, LayoutError, Line, Profile, ProfileRules
from services.kernel.profile_merge import copy_profile, merge_profiles
from services.recommender.follow_release import Serving
from services.recommender.live_epoch import LiveEpoch
from services.recommender.query import QueryError, RecentItem
from services.store.coalescer import Coalescer
from services.store.profiles import ProfileStore

log = logging.getLogger(__name__)

# The log may already hold what a client sends as recent: within this it is the same event.
SAME_EVENT_S = 2


class ProfileReader:
    """Reads profiles of the live epoch; requests in flight share round trips."""

    def __init__(self, store: ProfileStore, live: LiveEpoch) -> None:
        self._store = store
        self._live = live
        self._reads: Coalescer[str, bytes | None] = Coalescer(self._fetch)

    async def _fetch(self, subjects: Sequence[str]) -> Sequence[bytes | None]:
        return await self._store.read(self._live.epoch, subjects)

    async def read(self, subject: str) -> Profile | None:
        """What is stored about a subject, tombstones and forgotten ones included. Raises StoreError."""
        raw = await self._reads.get(subject)
        if raw is None:
            return None
        try:
            return Profile.decode(raw)
        except LayoutError as error:
            log.warning("a profile cannot be read and counts as none: %s", error)
            return None

    async def close(self) -> None:
        """Read no more."""
        await self._reads.close()


def alive(profile: Profile | None, now_ms: int, ttl_ms: int) -> Profile | None:
    """The profile, or None for nobody: unknown, deleted, not heard of for longer than the TTL, or of somebody
    who denied personalisation."""
    if profile is None or profile.tombstone or profile.withheld or profile.expired(now_ms, ttl_ms):
        return None
    return profile


def all_alive(profiles: Sequence[Profile | None], now_ms: int, ttl_ms: int) -> list[Profile]:
    """Those that an answer may use. None of them where one of its subjects denied personalisation: the
    anonymous profile of somebody who says no is theirs as well."""
    if any(one is not None and one.withheld and not one.expired(now_ms, ttl_ms) for one in profiles):
        return []
    return [found for one in profiles if (found := alive(one, now_ms, ttl_ms)) is not None]


def rules_of(
    serving: Serving | None, vector_of: VectorOf, types: EventTypes, ttl_ms: int, seen_capacity: int
) -> ProfileRules:
    """How profiles are read under the release in use; without one, in no space at all."""
    return ProfileRules(
        space=serving.space if serving else NO_SPACE,
        vector_of=vector_of,
        weight_of=lambda number, value: types.weight(number, None if value != value else value),  # noqa: PLR0124
        ttl_ms=ttl_ms,
        seen_capacity=seen_capacity,
    )


def view_of(
    profiles: Sequence[Profile],
    recent: Sequence[RecentItem],
    rules: ProfileRules,
    types: EventTypes,
    now_ms: int,
) -> Profile | None:
    """The one profile that an answer is made of; None for nobody. Stored ones are never changed.

    `recent` is oldest first. Raises QueryError for an event type that does not exist.
    """
    if not profiles and not recent:
        return None
    view = merge_profiles(profiles, rules)
    if not recent:
        return view
    if any(view is profile for profile in profiles):
        view = copy_profile(view)
    for at, item in enumerate(recent):
        change = _change(item, at, types, now_ms, view.position)
        if (change.lines or change.shown) and not _has(view, change):
            view.apply(change, rules)
    return view


def _change(item: RecentItem, at: int, types: EventTypes, now_ms: int, position: Position | None) -> Change:
    try:
        name = types.canonical(item.event_type)
    except UnknownEventTypeError as error:
        raise QueryError(422, "unknown_event_type", f"recent_items[{at}].event_type: {error}") from None
    number = types.number(name)
    key = item_key(item.item_id)
    time_s = (now_ms if item.timestamp_ms is None else min(item.timestamp_ms, now_ms)) // 1000
    recorded = number not in UNRECORDED
    return Change(
        position=position or Position(0, 0, 0),
        event_hash=event_hash(f"recent {at} {now_ms}"),
        received_at_ms=now_ms,
        time_s=time_s,
        type_number=number,
        reason=reason_of(number),
        lines=(Line(key, types.weight(number), float("nan")),) if recorded else (),
        shown=(fingerprint(key),) if number == EventType.IMPRESSION else (),
    )


def _has(profile: Profile, change: Change) -> bool:
    if change.shown:
        shown = profile.shown
        times = shown["time"][shown["fingerprint"] == change.shown[0]].astype("int64")
        return bool((abs(times - change.time_s) <= SAME_EVENT_S).any())
    ring = profile.ring
    same = (ring["item"] == change.lines[0].item) & (ring["type"] == change.type_number)
    return bool((abs(ring["time"][same].astype("int64") - change.time_s) <= SAME_EVENT_S).any())
