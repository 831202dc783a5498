"""Profiles as one answer reads them: two subjects seen as one, in the vector space of the release in use.

Nothing here is ever written back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.kernel.bank import RING_CAPACITY, RING_DTYPE, bank_rows, bank_weights, rebuild_flat_bank
from services.kernel.profile import SEEN_DTYPE, Profile, ProfileRules


def merge_profiles(profiles: Sequence[Profile], rules: ProfileRules) -> Profile:
    """One profile of all `profiles` in the space of `rules`; the only one itself if it stands there already.

    Rings are merged by time and the bank is rebuilt from the result. The sum that never decays (γ = 1) is
    exact where all stand in the space: it is the sum of theirs. Position and counter are the newest's.
    """
    if len(profiles) == 1 and profiles[0].in_space(rules.space):
        return profiles[0]
    merged = Profile.empty(rules.space)
    if not profiles:
        return merged
    newest = max(profiles, key=lambda profile: profile.received_at_ms)
    merged.position, merged.counter = newest.position, newest.counter
    merged.received_at_ms = newest.received_at_ms
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
    merged._seen = _merge_seen(profiles, rules.seen_capacity)
    return merged


def copy_profile(profile: Profile) -> Profile:
    """A profile that can be changed without a trace in the other."""
    return Profile.decode(profile.encode())


def _merge_seen(profiles: Sequence[Profile], capacity: int) -> bytes:
    """The last day and all reasons of each item, oldest day first."""
    entries: dict[int, tuple[int, int]] = {}
    for profile in profiles:
        for mark, day, reason in profile.seen.tolist():
            known_day, known_reason = entries.get(mark, (0, 0))
            entries[mark] = (max(day, known_day), reason | known_reason)
    ordered = sorted((day, mark, reason) for mark, (day, reason) in entries.items())[-capacity:]
    return np.array([(mark, day, reason) for day, mark, reason in ordered], dtype=SEEN_DTYPE).tobytes()
