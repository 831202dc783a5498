"""Profiles as one answer reads them: two subjects seen as one, in the vector space of the release in use.

Nothing here is ever written back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.kernel.bank import RING_CAPACITY, RING_DTYPE, bank_rows, bank_weights, rebuild_flat_bank
from services.kernel.change import reason_of
from services.kernel.ids import fingerprint
from services.kernel.profile import SEEN_DISLIKED, Profile, ProfileRules
from services.kernel.seen import merge_seen
from services.kernel.shown import merge_shown


def merge_profiles(profiles: Sequence[Profile], rules: ProfileRules) -> Profile:
    """One profile of all `profiles` in the space of `rules`; the only one itself if it stands there already.

    Rings are merged by time and the bank is rebuilt from the result. The sum that never decays (γ = 1) is
    exact where all stand in the space: it is the sum of theirs. Position and counter are the newest's. Where
    one of them denied personalisation nothing of any is used: the answer is for somebody who said no.
    """
    if len(profiles) == 1 and profiles[0].in_space(rules.space):
        return profiles[0]
    merged = Profile.empty(rules.space)
    if not profiles:
        return merged
    newest = max(profiles, key=lambda profile: profile.received_at_ms)
    merged.position, merged.counter = newest.position, newest.counter
    merged.received_at_ms = newest.received_at_ms
    merged.withheld = any(profile.withheld for profile in profiles)
    if merged.withheld:
        return merged
    merged.events = sum(profile.events for profile in profiles)
    ring = np.concatenate([profile.ring for profile in profiles])
    ring = ring[np.argsort(ring["time"], kind="stable")][-RING_CAPACITY:]
    flat = rebuild_flat_bank(ring, rules.vector_of, rules.weight_of, rules.space)
    if all(profile.in_space(rules.space) for profile in profiles):
        k, d = rules.space.k, rules.space.d
        for at in (at for at, gamma in enumerate(rules.space.gammas) if gamma == 1.0):
            bank_rows(flat, k, d)[at] = np.sum([profile.bank[at] for profile in profiles], axis=0)
            bank_weights(flat, k, d)[at] = sum(float(profile.bank_weight[at]) for profile in profiles)
    merged._flat = flat
    merged._ring = ring.astype(RING_DTYPE).tobytes()
    merged._seen = merge_seen([profile._seen for profile in profiles], rules.seen_capacity)
    merged._shown = merge_shown([profile._shown for profile in profiles], _touched(ring))
    return merged


def copy_profile(profile: Profile) -> Profile:
    """A profile that can be changed without a trace in the other."""
    return Profile.decode(profile.encode())


def _touched(ring: NDArray[Any]) -> dict[int, int]:
    """When something was last done with each item of a ring, by fingerprint; turning away does not count."""
    return {
        fingerprint(item): time_s
        for item, time_s, _value, number in ring.tolist()
        if reason_of(number) & ~SEEN_DISLIKED
    }
