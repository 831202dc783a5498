"""A reader of the log that KEDA starts and stops, against a walk through every look at the lag."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cost.error import CostError
from services.cost.keda import Keda, simulate_keda
from services.cost.load import Load
from services.cost.queue import Floats

WORK_S = 1e-6
KEDA = Keda(poll_s=5.0, cooldown_s=60.0, commit_s=2.0, platform_s=1.0, start_s=0.5)
COLD_S = 1.5


def load_of(arrivals: Floats, length_s: float = 20_000.0) -> Load:
    return Load(arrivals, np.full(len(arrivals), WORK_S), length_s)


def walked(arrivals: Floats, keda: Keda) -> tuple[int, float, float]:
    """(starts, seconds up, sum of latencies) by looking at the lag look by look."""
    starts, up_s, waited_s, at, look_s = 0, 0.0, 0.0, 0, 0.0
    while at < len(arrivals):
        while arrivals[at] > look_s:
            look_s += keda.poll_s
        began_s = last_s = look_s
        ready_s = began_s + keda.platform_s + keda.start_s
        while look_s - last_s < keda.cooldown_s:
            look_s += keda.poll_s
            committed = np.maximum(arrivals[at:], ready_s) + WORK_S + keda.commit_s
            if ((arrivals[at:] <= look_s) & (committed > look_s)).any():
                last_s = look_s
        gone_s = last_s + keda.cooldown_s
        until = int(np.searchsorted(arrivals, gone_s))
        waited_s += float((np.maximum(arrivals[at:until], ready_s) + WORK_S - arrivals[at:until]).sum())
        starts, up_s, at = starts + 1, up_s + gone_s - began_s, until
    return starts, up_s, waited_s


def test_a_record_waits_for_the_look_and_the_start() -> None:
    outcome = simulate_keda(load_of(np.arange(602.0, 20_000, 600.0)), KEDA)
    assert outcome.cold_starts == outcome.cold_requests == outcome.requests == 33
    # 602 is seen at 605, and applied at 606.5
    assert outcome.all.mean_s == pytest.approx(4.5, abs=1e-3)
    # seen once, at 605: the commit at 608.5 comes before the next look, so the cooldown counts from 605
    assert outcome.instance_s == pytest.approx(33 * 60)


def test_a_look_may_miss_what_a_running_reader_has_committed() -> None:
    # 31 and 61 are committed at 33 and 63, between two looks: nothing keeps the reader beyond 62 + 3
    outcome = simulate_keda(load_of(np.array([2.0, 31.0, 61.0, 66.0])), KEDA)
    assert outcome.cold_starts == 2
    # 34 is committed at 36, and the look at 35 sees it
    assert simulate_keda(load_of(np.array([2.0, 34.0, 61.0, 66.0])), KEDA).cold_starts == 1


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([3.0, 15.0, 40.0, 70.0, 200.0]),
    st.sampled_from([(5.0, 60.0), (30.0, 300.0), (5.0, 5.0)]),  # poll, cooldown
    st.sampled_from([0.1, 2.0, 7.0]),
)
@settings(max_examples=200, deadline=None, print_blob=True)
def test_it_counts_what_a_walk_counts(
    seed: int, gap_s: float, timing: tuple[float, float], commit_s: float
) -> None:
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(gap_s, 60))
    keda = Keda(timing[0], timing[1], commit_s, KEDA.platform_s, KEDA.start_s)
    outcome = simulate_keda(load_of(arrivals, float(arrivals[-1]) + 1_000), keda)
    starts, up_s, waited_s = walked(arrivals, keda)
    assert outcome.cold_starts == starts
    assert outcome.instance_s == pytest.approx(up_s, abs=1e-3)
    assert outcome.all.sum_s == pytest.approx(waited_s, abs=1e-3)
    assert outcome.requests == outcome.all.count == 60


def test_nothing_comes() -> None:
    outcome = simulate_keda(load_of(np.zeros(0)), KEDA)
    assert (outcome.requests, outcome.instance_s, outcome.cold_starts) == (0, 0, 0)


def test_looking_without_a_pause_is_refused() -> None:
    with pytest.raises(CostError, match="polling"):
        Keda(poll_s=0.0)
