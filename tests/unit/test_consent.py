"""Personalisation denied and allowed: what an event says, and what it leaves of a profile."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from services.kernel.bank import FloatArray, Space
from services.kernel.change import change_of, weight_of
from services.kernel.consent import personalization
from services.kernel.contributions import contributions_of
from services.kernel.event import Event
from services.kernel.event_type import EventTypes
from services.kernel.position import Position
from services.kernel.profile import Profile, ProfileRules
from services.kernel.profile_merge import merge_profiles
from services.recommender.profiles import alive, all_alive, view_of
from services.recommender.query import RecentItem

SPACE = Space("space", 3, 1, 8)
TYPES = EventTypes()
TTL_MS = 90 * 86_400_000
NOW_MS = 1_800_000_000_000
TCF = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"


def vector_of(item: int) -> FloatArray | None:
    return np.random.default_rng(item % 1000).standard_normal(8).astype(np.float32)


RULES = ProfileRules(SPACE, vector_of, weight_of(TYPES), TTL_MS, 512)


@pytest.mark.parametrize(
    ("consent", "says"),
    [
        (True, True),
        (False, False),
        *((word, True) for word in ("granted", "Yes", "ACCEPTED", "opt-in", "true", " allow ")),
        *((word, False) for word in ("denied", "no", "Withdrawn", "opt_out", "false", "rejected")),
        *((word, None) for word in (None, TCF, "", "perhaps", "1YNN")),
        ({"personalization": False}, False),
        ({"personalisation": "granted"}, True),
        ({"Personalization": 0}, False),
        ({"personalization": 1}, True),
        ({"personalization": 2}, None),
        ({"personalization": None, "ad_personalization": "denied"}, False),
        ({"personalization": True, "personalisation": False}, False),
        ({"personalization": True, "analytics_storage": "denied"}, True),
        ({"personalization_storage": "denied", "ad_personalization": "granted"}, False),
        ({"ad_storage": "granted", "ad_personalization": "granted", "analytics_storage": "denied"}, False),
        ({"adPersonalization": "granted", "analyticsStorage": "granted"}, True),
        ({"ad_storage": "denied", "ads": False}, None),
        ({"personalization": {"deep": False}}, None),
        ({"personalization": [False]}, None),
        ({}, None),
    ],
)
def test_what_a_consent_says(consent: Any, says: bool | None) -> None:
    assert personalization(consent) is says


class Log:
    """Events of one subject, applied as a profiler does."""

    def __init__(self) -> None:
        self.profile = Profile.empty(SPACE)
        self.counted: list[int] = []
        self.at_ms = NOW_MS

    def send(self, item: str, consent: Any = None, *, event_type: str = "view", after_ms: int = 1000) -> bool:
        self.at_ms += after_ms
        number = self.profile.counter
        event = Event(
            event_id=f"e{number}",
            event_type=event_type,
            timestamp=self.at_ms,
            received_at=self.at_ms,
            user_id="u",
            item_id=item,
            consent=consent,
        )
        change = change_of(event, Position(1, 2, number), TYPES)
        made = contributions_of(self.profile, change, RULES.weight_of, TTL_MS)
        applied = self.profile.apply(change, RULES)
        self.counted += [number] * len(made)
        self.profile = Profile.decode(self.profile.encode())
        return applied


def test_given_withdrawn_and_given_again() -> None:
    log = Log()
    log.send("a", True)
    log.send("b")
    log.send("c", TCF)
    log.send("d", event_type="impression")
    assert (log.profile.events, len(log.profile.ring), len(log.profile.shown)) == (4, 3, 1)

    assert log.send("d", {"personalization": False})
    log.send("e")
    log.send("f", TCF, event_type="purchase")
    log.send("g", event_type="impression")
    profile = log.profile
    assert profile.withheld
    assert (profile.events, profile.counter, profile.position) == (0, 8, Position(1, 2, 7))
    assert [len(section) for section in (profile.ring, profile.seen, profile.shown)] == [0, 0, 0]
    assert len(profile.duplicates) == 8
    assert len(profile.encode()) == 64 + 8 * 8, "header and duplicates, no more"
    assert log.counted == [0, 1, 2], "not the one that denies, either"

    log.send("h", "granted")
    log.send("i")
    assert not log.profile.withheld
    assert log.counted == [0, 1, 2, 8, 9]
    fresh = Log()
    fresh.at_ms = log.at_ms - 2000
    fresh.send("h")
    fresh.send("i")
    for name in ("events", "received_at_ms", "space_id", "space_epoch", "k", "d"):
        assert getattr(log.profile, name) == getattr(fresh.profile, name)
    for name in ("bank", "bank_weight", "ring", "seen", "shown"):
        assert getattr(log.profile, name).tobytes() == getattr(fresh.profile, name).tobytes()


def test_a_denial_that_comes_twice_does_not_undo_what_was_allowed_since() -> None:
    log = Log()
    log.send("a", False)
    denied = change_of(
        Event(
            event_id="e0", event_type="view", timestamp=1, received_at=log.at_ms, user_id="u", consent=False
        ),
        Position(1, 2, 99),
        TYPES,
    )
    log.send("b", True)
    assert not log.profile.apply(denied, RULES)
    assert not log.profile.withheld
    assert len(log.profile.ring) == 1


def test_the_first_event_may_deny() -> None:
    log = Log()
    log.send("a", "denied")
    assert log.profile.withheld
    assert log.profile.space_epoch == SPACE.epoch
    assert log.counted == []


def test_a_refusal_lasts_as_long_as_its_subject_is_heard_of_and_no_longer() -> None:
    log = Log()
    log.send("a", False)
    for _ in range(4):
        log.send("b", after_ms=TTL_MS // 2)
    assert log.profile.encode()[1] == 2
    log.send("c", after_ms=TTL_MS + 1)
    assert log.profile.encode()[1] == 0
    assert len(log.profile.ring) == 1
    assert log.counted == [5], "forgotten, the aggregates agree"


def test_deletion_ends_a_refusal_like_all_else() -> None:
    log = Log()
    log.send("a", False)
    log.profile.delete(Position(1, 2, 50), log.at_ms)
    assert log.profile.encode()[1] == 1
    assert len(log.profile.encode()) == 64
    log.send("b")
    assert (log.profile.tombstone, log.profile.withheld, len(log.profile.ring)) == (False, False, 1)


def test_who_denied_is_nobody_and_what_they_send_along_counts_for_that_answer() -> None:
    denied, anonymous = Log(), Log()
    denied.send("a", False)
    anonymous.send("b")
    now_ms = denied.at_ms
    assert alive(denied.profile, now_ms, TTL_MS) is None
    assert all_alive([anonymous.profile, None], now_ms, TTL_MS) == [anonymous.profile]
    for pair in ([denied.profile, anonymous.profile], [anonymous.profile, denied.profile]):
        assert all_alive(pair, now_ms, TTL_MS) == []
        merged = merge_profiles(pair, RULES)
        assert merged.withheld
        assert (merged.events, len(merged.ring)) == (0, 0)
    later_ms = denied.at_ms + TTL_MS + 1
    assert all_alive([denied.profile, anonymous.profile], later_ms, 2 * TTL_MS) == []
    assert all_alive([denied.profile], later_ms, TTL_MS) == []
    view = view_of(all_alive([denied.profile], now_ms, TTL_MS), [RecentItem("c")], RULES, TYPES, now_ms)
    assert view is not None
    assert len(view.ring) == 1
    assert math.isclose(float(view.bank_weight[-1]), 1.0)
    assert len(denied.profile.ring) == 0


def test_impressions_sent_along_are_shown_once() -> None:
    log = Log()
    log.send("a", event_type="impression")
    recent = [RecentItem(item, "impression", log.at_ms) for item in ("a", "b")]
    view = view_of([log.profile], recent, RULES, TYPES, log.at_ms)
    assert view is not None
    assert view.shown["count"].tolist() == [1, 1]
    assert len(log.profile.shown) == 1
