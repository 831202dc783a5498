"""Instances that come and go: what can be counted by hand, and what holds for every trace."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.cost.error import CostError
from services.cost.fleet import run_fleet
from services.cost.load import Load, Scaling
from services.cost.outcome import Outcome
from services.cost.queue import Floats
from services.cost.simulate import always_on, simulate

WORK_S = 0.01
DAY_S = 86_400.0
TO_ZERO = Scaling(idle_s=90.0, platform_s=1.0, start_s=0.5)


def load_of(arrivals: Floats, work_s: float = WORK_S, length_s: float = DAY_S) -> Load:
    return Load(arrivals, np.full(len(arrivals), work_s), length_s)


@st.composite
def bursts(draw: st.DrawFn) -> Load:
    """Bursts of requests with gaps around the idle time between them, and work up to overload."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.choice([20.0, 80.0, 95.0, 400.0], draw(st.integers(1, 8))))
    sizes = rng.integers(1, 60, len(starts))
    spread = draw(st.sampled_from([0.1, 5.0, 60.0]))
    arrivals = np.sort(
        np.concatenate([s + rng.uniform(0, spread, n) for s, n in zip(starts, sizes, strict=True)])
    )
    work = rng.exponential(draw(st.sampled_from([0.001, 0.2, 4.0])), len(arrivals)) + 1e-6
    holds = arrivals + rng.uniform(0, 120, len(arrivals)) if draw(st.booleans()) else None
    return Load(arrivals, work, 20_000.0, holds)


def test_a_request_every_ten_minutes_is_a_cold_start_each() -> None:
    outcome = simulate(load_of(np.arange(0, DAY_S, 600.0)), TO_ZERO, 1)
    assert (outcome.cold_starts, outcome.cold_requests, outcome.requests) == (144, 144, 144)
    # the start, the work, and the idle time until it goes
    assert outcome.instance_s == pytest.approx(144 * (1.5 + WORK_S + 90))
    assert outcome.start_s == pytest.approx(144 * 0.5)
    assert outcome.billed_s == pytest.approx(144 * 0.1)
    assert outcome.all.quantile_s(0.5) == pytest.approx(1.5 + WORK_S, rel=0.011)
    assert outcome.warm.count == 0


def test_a_request_a_minute_keeps_the_instance() -> None:
    outcome = simulate(load_of(np.arange(0, DAY_S, 60.0)), TO_ZERO, 1)
    assert (outcome.cold_starts, outcome.cold_requests) == (1, 1)
    assert outcome.instance_s == pytest.approx(DAY_S)
    assert outcome.warm.quantile_s(0.99) == pytest.approx(WORK_S, rel=0.011)


def test_those_who_come_during_a_start_wait_for_the_rest_of_it() -> None:
    outcome = simulate(load_of(np.array([0.0, 0.5, 1.4, 1.6])), TO_ZERO, 1)
    # ready at 1.5: done at 1.51, 1.52, 1.53, and 1.61
    assert outcome.cold_requests == 3
    assert outcome.all.sum_s == pytest.approx(1.51 + 1.02 + 0.13 + 0.01)


@pytest.mark.parametrize(("gap_s", "cold_starts"), [(91.5, 1), (91.52, 2)])
def test_idle_time_counts_from_the_last_answer(gap_s: float, cold_starts: int) -> None:
    # the first answer is at 1.51, so the instance is there until 91.51
    assert simulate(load_of(np.array([0.0, gap_s])), TO_ZERO, 1).cold_starts == cold_starts


def test_a_long_answer_fills_a_gap_that_would_have_been_one() -> None:
    load = Load(np.array([0.0, 100.0, 300.0]), np.array([50.0, 60.0, 1.0]), DAY_S)
    # 51.5 + 90 > 100, and 160 + 90 < 300
    assert simulate(load, TO_ZERO, 1).cold_starts == 2


def test_an_open_stream_keeps_the_instance_and_is_billed() -> None:
    arrivals = np.array([0.0, 1000.0])
    without = simulate(load_of(arrivals), TO_ZERO, 1)
    load = replace(load_of(arrivals), holds=np.array([950.0, 0.0]))
    held = simulate(load, TO_ZERO, 1)
    assert (without.cold_starts, held.cold_starts) == (2, 1)
    assert held.billed_s == pytest.approx(950 - 1.5 + 0.1, abs=0.11)
    assert held.all.sum_s < without.all.sum_s


def test_min_scale_one_never_starts_and_is_always_there() -> None:
    outcome = simulate(load_of(np.arange(0, DAY_S, 600.0)), replace(TO_ZERO, min_scale=1), 1)
    assert (outcome.cold_starts, outcome.cold_requests) == (0, 0)
    assert outcome.instance_s == pytest.approx(DAY_S)


def test_nothing_comes() -> None:
    nothing = load_of(np.zeros(0))
    outcome = simulate(nothing, TO_ZERO, 1)
    assert (outcome.requests, outcome.instance_s, outcome.cold_starts, outcome.cold_share) == (0, 0, 0, 0)
    assert outcome.all.quantile_s(0.99) == 0
    assert simulate(nothing, replace(TO_ZERO, min_scale=1), 1).instance_s == DAY_S
    assert always_on(nothing, 3, TO_ZERO, 1).instance_s == 3 * DAY_S


def test_a_flood_starts_more_instances_and_they_go_again() -> None:
    rng = np.random.default_rng(4)
    flood = np.sort(rng.uniform(0, 300, 60_000))  # 200/s of 10 ms: two instances' worth
    quiet = np.arange(400, 4_000, 30.0)
    load = load_of(np.concatenate((flood, quiet)), length_s=5_000.0)
    scaling = replace(TO_ZERO, target=2.0, max_scale=6)
    outcome = simulate(load, scaling, 1)
    assert outcome.requests == len(load)
    assert 3 <= outcome.most_instances <= 6
    assert outcome.cold_starts >= outcome.most_instances
    # later one is enough: six would have been there for most of 5,000 s
    assert outcome.instance_s < 2.2 * 5_000
    alone = simulate(load, replace(scaling, max_scale=1), 1)
    assert alone.most_instances == 1
    assert alone.all.quantile_s(0.5) > 10 * outcome.all.quantile_s(0.5)


@given(bursts(), st.integers(1, 4), st.sampled_from([0, 1, 2]), st.sampled_from([1.4, 28.0]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
def test_what_holds_for_every_trace(load: Load, most: int, least: int, target: float) -> None:
    scaling = replace(TO_ZERO, min_scale=min(least, most), max_scale=most, target=target)
    outcome = simulate(load, scaling, 1)
    # every arrival is served once, and none before its work is done
    assert outcome.requests == outcome.all.count == len(load)
    assert outcome.warm.count == len(load) - outcome.cold_requests
    assert outcome.work_s == pytest.approx(float(load.work.sum()))
    assert outcome.all.sum_s >= outcome.work_s - 1e-6
    # instances are there while they work, within the time that is looked at
    done_in_time = float(load.arrivals[-1] + load.work.sum() + 100) < load.length_s
    if done_in_time:
        assert outcome.instance_s >= outcome.work_s - 1e-6
    assert scaling.min_scale * load.length_s - 1e-6 <= outcome.instance_s <= most * load.length_s + 1e-6
    assert outcome.most_instances <= most
    assert (outcome.cold_starts > 0) == (outcome.cold_requests > 0) or scaling.max_scale > 1
    if scaling.min_scale == 0:
        assert outcome.cold_requests >= 1


@given(bursts())
@example(load_of(np.array([0.0, 100.0, 300.0])))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
def test_both_ways_to_compute_agree_where_one_instance_is_all(load: Load) -> None:
    """At once, and tick by tick: the same starts, latencies, time up and time billed."""
    scaling = replace(TO_ZERO, max_scale=1)
    fast, slow = simulate(load, scaling, 1), Outcome(length_s=load.length_s)
    period_s = (float(load.arrivals[0]), load.length_s)
    run_fleet(load, scaling, period_s, rng=np.random.default_rng(1), outcome=slow)
    assert (fast.cold_starts, fast.cold_requests) == (slow.cold_starts, slow.cold_requests)
    for name in ("instance_s", "billed_s", "work_s", "start_s"):
        assert getattr(fast, name) == pytest.approx(getattr(slow, name), abs=1e-6), name
    assert fast.all.sum_s == pytest.approx(slow.all.sum_s)


@given(bursts(), st.sampled_from([0, 1]), st.sampled_from([0.5, 1.4, 5.0]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
def test_the_fast_way_is_taken_only_where_no_second_instance_would_start(
    load: Load, least: int, target: float
) -> None:
    scaling = replace(TO_ZERO, min_scale=least, max_scale=4, target=target)
    outcome, tick_by_tick = simulate(load, scaling, 1), Outcome(length_s=load.length_s)
    period_s = (0.0 if least else float(load.arrivals[0]), load.length_s)
    run_fleet(load, scaling, period_s, rng=np.random.default_rng(1), outcome=tick_by_tick)
    assert (tick_by_tick.most_instances > 1) <= (outcome.most_instances > 1)
    if outcome.most_instances == 1:
        assert outcome.all.sum_s == pytest.approx(tick_by_tick.all.sum_s)
        assert outcome.instance_s == pytest.approx(tick_by_tick.instance_s)


@given(bursts())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
def test_idling_longer_never_starts_more_often(load: Load) -> None:
    one = replace(TO_ZERO, max_scale=1)
    starts = [simulate(load, replace(one, idle_s=idle_s), 1).cold_starts for idle_s in (10.0, 90.0, 900.0)]
    assert starts == sorted(starts, reverse=True)


def test_the_same_seed_gives_the_same_outcome() -> None:
    load = load_of(np.sort(np.random.default_rng(4).uniform(0, 300, 60_000)), length_s=1_000.0)
    scaling = replace(TO_ZERO, target=2.0)
    assert_same(simulate(load, scaling, 5), simulate(load, scaling, 5))


def assert_same(one: Outcome, other: Outcome) -> None:
    assert (one.instance_s, one.billed_s, one.cold_starts) == (
        other.instance_s,
        other.billed_s,
        other.cold_starts,
    )
    np.testing.assert_array_equal(one.all.counts, other.all.counts)


@pytest.mark.parametrize(
    "wrong", [{"min_scale": 2, "max_scale": 1}, {"idle_s": -1.0}, {"target": 0.0}, {"panic_s": 61.0}]
)
def test_scaling_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CostError):
        Scaling(**wrong)  # type: ignore[arg-type]


def test_outcomes_of_parts_add_up() -> None:
    whole = simulate(load_of(np.arange(0, DAY_S, 600.0)), TO_ZERO, 1)
    half = simulate(load_of(np.arange(0, DAY_S / 2, 600.0), length_s=DAY_S / 2), TO_ZERO, 1)
    both = Outcome()
    both.merge(half)
    both.merge(half)
    assert (both.length_s, both.requests, both.cold_starts) == (DAY_S, 144, 144)
    assert both.instance_s == pytest.approx(whole.instance_s)
    assert math.isclose(both.a_day(both.cold_starts), 144)
