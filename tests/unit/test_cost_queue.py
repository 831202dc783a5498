"""One instance as a queue: the waiting times that theory gives, and what is billed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cost.error import CostError
from services.cost.load import Load, Scaling
from services.cost.outcome import Latencies
from services.cost.queue import Floats, Work, billed_s, completions
from services.cost.simulate import always_on, simulate

TIMES = st.lists(st.floats(0, 1000), min_size=1, max_size=60).map(lambda times: np.sort(np.array(times)))


def poisson(rate: float, length_s: float, seed: int) -> Floats:
    """Arrivals of a Poisson process, s."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0, length_s, rng.poisson(rate * length_s)))


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_constant_work_waits_as_pollaczek_and_khinchine_say(busy: float) -> None:
    """M/D/1: W = ρ·S / (2·(1 − ρ))."""
    work_s, length_s = 0.002, 8_000.0
    arrivals = poisson(busy / work_s, length_s, seed=7)
    load = Load(arrivals, np.full(len(arrivals), work_s), length_s)
    waited_s = always_on(load, 1, Scaling(), 1).all.mean_s - work_s
    assert waited_s == pytest.approx(busy * work_s / (2 * (1 - busy)), rel=0.03)


def test_random_work_waits_as_pollaczek_and_khinchine_say() -> None:
    """M/G/1: W = λ·E[S²] / (2·(1 − ρ)), here log-normal with E[S²] = mean²·exp(σ²)."""
    work, length_s = Work(0.002, 0.006), 8_000.0
    rate = 0.6 / work.mean_s
    arrivals = poisson(rate, length_s, seed=11)
    drawn = work.draw(np.random.default_rng(12), len(arrivals))
    waited_s = always_on(Load(arrivals, drawn, length_s), 1, Scaling(), 1).all.mean_s - float(drawn.mean())
    second_moment = work.mean_s**2 * np.exp(work.sigma**2)
    assert waited_s == pytest.approx(rate * second_moment / (2 * 0.4), rel=0.05)


def test_two_replicas_halve_the_load_of_each() -> None:
    work_s, length_s = 0.002, 8_000.0
    arrivals = poisson(0.9 / work_s, length_s, seed=3)
    load = Load(arrivals, np.full(len(arrivals), work_s), length_s)
    outcome = always_on(load, 2, Scaling(), 1)
    assert outcome.all.mean_s - work_s == pytest.approx(0.45 * work_s / (2 * 0.55), rel=0.04)
    assert outcome.instance_s == 2 * length_s


@given(TIMES, st.floats(0.001, 30))
def test_completions_are_lindleys_recursion(arrivals: Floats, longest_s: float) -> None:
    work = np.linspace(0, longest_s, len(arrivals))
    expected, done = [], -np.inf
    for arrival, mine in zip(arrivals, work, strict=True):
        done = max(arrival, done) + mine
        expected.append(done)
    np.testing.assert_allclose(completions(arrivals, work), expected, atol=1e-9)


def test_work_has_the_quantiles_it_is_given() -> None:
    drawn = Work(0.0015, 0.0023).draw(np.random.default_rng(5), 400_000)
    assert float(np.quantile(drawn, 0.5)) == pytest.approx(0.0015, rel=0.01)
    assert float(np.quantile(drawn, 0.99)) == pytest.approx(0.0023, rel=0.01)
    assert float(drawn.mean()) == pytest.approx(Work(0.0015, 0.0023).mean_s, rel=0.01)


@pytest.mark.parametrize(("p50_s", "p99_s"), [(0.0, 1.0), (0.2, 0.1), (-1.0, 1.0)])
def test_work_that_makes_no_sense_is_refused(p50_s: float, p99_s: float) -> None:
    with pytest.raises(CostError, match="p50"):
        Work(p50_s, p99_s)


def test_time_is_billed_once_and_in_whole_quanta() -> None:
    begin = np.array([0.0, 0.05, 1.0, 2.0, 2.05])
    end = np.array([0.002, 0.06, 1.25, 2.02, 2.16])
    # 0 to 0.15 is 2 quanta, 1 to 1.25 is 3, 2 to 2.16 is 2
    assert billed_s(begin, end, 0.1) == pytest.approx(0.7)


@given(TIMES, st.floats(0.0, 2.0))
def test_no_more_is_billed_than_a_quantum_a_request_and_no_less_than_its_use(
    begin: Floats, longest_s: float
) -> None:
    end = begin + longest_s
    billed = billed_s(begin, end, 0.1)
    assert billed >= longest_s - 1e-6
    assert billed <= len(begin) * (longest_s + 0.2) + 1e-6
    assert billed <= float(end[-1] - begin[0]) + 0.2 * len(begin) + 1e-6
    assert billed / 0.1 == pytest.approx(round(billed / 0.1), abs=1e-6)


@given(st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=200), st.sampled_from([0.5, 0.99, 0.999]))
def test_quantiles_of_a_histogram_are_right_to_one_percent(values: list[float], share: float) -> None:
    latencies = Latencies()
    latencies.add(np.array(values))
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert latencies.quantile_s(share) == pytest.approx(exact, rel=0.011)


def test_what_an_answer_waits_for_keeps_nobody_else_waiting() -> None:
    load = Load(np.zeros(3), np.full(3, 0.01), 86_400.0, wait_ratio=9.0)
    outcome = simulate(load, Scaling(min_scale=1), 1)
    assert outcome.all.mean_s == pytest.approx((0.01 + 0.02 + 0.03) / 3 + 0.09)
