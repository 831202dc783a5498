"""A trace at other rates: counts, shape, parts and seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cost.error import CostError
from services.cost.queue import Floats
from services.cost.trace import DAY_S, WEEK_S, Part, Trace, Visits, arrivals_of, plan_parts, trace_of

WEEKS = 6


def shop(a_day: float = 400.0, seed: int = 2) -> Trace:
    """Six weeks of a shop that is open from 8 to 20 h, with twice as much on days 5 and 6 of a week."""
    rng = np.random.default_rng(seed)
    times: list[Floats] = []
    for day in range(7 * WEEKS):
        count = rng.poisson(a_day * (2 if day % 7 > 4 else 1))
        times.append(day * DAY_S + rng.uniform(8 * 3600, 20 * 3600, count))
    return Trace(*_parts(np.sort(np.concatenate(times))))


def _parts(times: Floats) -> tuple[Floats, float, tuple[Floats, ...]]:
    day = (times // DAY_S).astype(int)
    return times, WEEKS * WEEK_S, tuple(times[day % 7 == one] % DAY_S for one in range(7))


@given(st.floats(0.01, 30.0), st.integers(0, 1000))
@settings(max_examples=25, deadline=None, print_blob=True)
def test_any_rate_keeps_nights_and_weekends(factor: float, seed: int) -> None:
    trace = shop()
    times, _ = arrivals_of(trace, Part(0.0, trace.length_s), Visits(), trace.a_day * factor, seed=seed)
    expected = len(trace.times) * factor
    assert len(times) == pytest.approx(expected, abs=6 * np.sqrt(expected) + 1)
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times[-1] < trace.length_s
    hours = (times % DAY_S) / 3600
    assert ((hours > 7.4) & (hours < 20.6)).all(), "half an hour of jitter, and nights stay empty"
    weekend = np.mean((times // DAY_S) % 7 > 4)
    assert weekend == pytest.approx(4 / 9, abs=4 * 0.5 / np.sqrt(expected) + 0.03)


def test_a_larger_shop_is_not_closed_in_the_hours_in_which_a_small_one_sold_nothing() -> None:
    trace = shop(a_day=6.0)
    times, _ = arrivals_of(trace, Part(0.0, trace.length_s), Visits(), 20_000.0, seed=1)
    hour = np.bincount((times // 3600).astype(int), minlength=24 * 7 * WEEKS).reshape(-1, 24)
    assert (hour[:, 9:19] > 0).all()
    assert hour[:, :7].sum() == hour[:, 22:].sum() == 0


def test_the_trace_itself_is_not_changed_at_its_own_rate() -> None:
    trace = shop()
    times, holds = arrivals_of(trace, Part(0.0, trace.length_s), Visits(), trace.a_day, seed=1)
    np.testing.assert_array_equal(times, trace.times)
    assert holds is None


def test_a_visit_ends_with_its_row_and_none_of_its_requests_is_lost() -> None:
    trace = shop()
    visits = Visits(10, spacing_s=30.0, stream_s=20.0)
    times, holds = arrivals_of(trace, Part(0.0, trace.length_s), visits, trace.a_day, seed=1)
    assert len(times) == 10 * len(trace.times)
    assert np.isin(trace.times, times).all()
    assert holds is not None
    opened = holds > 0
    assert np.count_nonzero(opened) == len(trace.times)
    length_s = holds[opened] - times[opened] - 20.0
    assert float(length_s.mean()) == pytest.approx(9 * 30.0, rel=0.03)
    assert float(length_s.min()) > 0


def test_the_seed_decides() -> None:
    trace, part = shop(), Part(0.0, WEEK_S)
    one, again, other = (arrivals_of(trace, part, Visits(3), 3_000.0, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert len(one) != len(other) or (one != other).any()


@pytest.mark.parametrize(
    ("a_day", "most", "said", "length_s"),
    [
        (1_000, 100_000, "all 42 days", WEEKS * WEEK_S),
        (1_000, 20_000, "2 of 6 weeks", WEEK_S),
        (1_000, 3_500, "3 of 42 days", DAY_S),
    ],
)
def test_parts_fit_what_can_be_simulated(a_day: float, most: int, said: str, length_s: float) -> None:
    plan = plan_parts(shop(), a_day, most, seed=1)
    assert plan.said == said
    assert {part.length_s for part in plan.parts} == {length_s}
    assert len({part.from_s for part in plan.parts}) == len(plan.parts)
    assert sum(part.length_s for part in plan.parts) * a_day / DAY_S <= most


def test_what_does_not_fit_says_what_to_do() -> None:
    with pytest.raises(CostError, match="--scale"):
        plan_parts(shop(), 10_000, 9_999, seed=1)


@pytest.mark.parametrize("times", [[], [1.0], [0.0, 3600.0]])
def test_too_short_a_trace_is_refused(times: list[float]) -> None:
    with pytest.raises(CostError, match="at least"):
        trace_of(np.array(times))


def test_a_trace_may_be_in_any_order() -> None:
    trace = trace_of(np.array([1_700_200_000.0, 1_700_000_000.0, 1_700_100_000.0]))
    np.testing.assert_array_equal(trace.times, [0.0, 100_000.0, 200_000.0])
    assert trace.length_s == pytest.approx(300_000)
    assert trace.a_day == pytest.approx(3 * 86_400 / 300_000)
