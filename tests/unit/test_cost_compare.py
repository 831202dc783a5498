"""Ways to run a service side by side: what they cost, what is advised, and where they stop to pay."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.cost.choices import Billing, Need, month_of, replicas_for
from services.cost.compare import Comparison, Inputs, ServiceResult, break_even, compare
from services.cost.error import CostError
from services.cost.measured import FIGURES, MONTH_S, Figures, Prices
from services.cost.outcome import Outcome
from services.cost.queue import Work
from services.cost.trace import DAY_S, trace_of

ROOT = Path(__file__).resolve().parents[2]
NEED = Need(2.0, 0.5)
PRICES = Prices(cpu_s=3.0, gib_s=2.0, idle_cpu_s=0.5, idle_gib_s=0.25, request=10.0)


def steady(gap_s: float, days: int = 2) -> Inputs:
    """A request every `gap_s` seconds."""
    trace = trace_of(np.arange(0, days * DAY_S, gap_s))
    return Inputs(trace, trace.a_day)


def named(comparison: Comparison, service: str) -> tuple[ServiceResult, dict[str, float]]:
    """A service's result, and what each of its choices saves."""
    result = next(one for one in comparison.services if one.service == service)
    return result, {one.choice.name: one.saved for one in result.verdicts}


def test_months_are_what_the_price_lists_say() -> None:
    outcome = Outcome(length_s=MONTH_S / 2, requests=7, instance_s=100.0, billed_s=30.0, start_s=5.0)
    second = 2 * 3.0 + 0.5 * 2.0
    assert month_of(outcome, Billing.INSTANCE, replace(PRICES, request=0.0), NEED) == 2 * 100 * second
    assert month_of(outcome, Billing.REQUEST, PRICES, NEED) == pytest.approx(2 * (35 * second + 7 * 10))
    idle_s = outcome.length_s - 35
    kept = month_of(outcome, Billing.REQUEST, PRICES, NEED, kept=1)
    assert kept == pytest.approx(2 * (35 * second + 7 * 10 + idle_s * (2 * 0.5 + 0.5 * 0.25)))


@pytest.mark.parametrize(
    ("busiest", "least", "replicas"), [(0, 1, 1), (60, 1, 1), (60, 2, 2), (3_900, 1, 1), (3_901, 1, 2)]
)
def test_replicas_are_sized_for_the_busiest_minute(busiest: int, least: int, replicas: int) -> None:
    assert replicas_for(busiest, Work(0.01, 0.01), 0.65, least) == replicas


def test_a_request_an_hour_pays_to_zero_and_its_caller_waits() -> None:
    comparison = compare(steady(3600.0))
    result, saved = named(comparison, "recommender")
    assert saved["Knative, to zero"] > 0.85
    assert saved["Cloud Run by request, to zero"] > 0.99
    assert saved["Knative, min-scale 1"] == pytest.approx(0)
    # every one of them waits for a start, so within 100 ms only what is always there is left
    assert result.advice((Billing.NODE,)).choice.name == "always on, 1"
    assert result.advice((Billing.REQUEST, Billing.INSTANCE)).choice.name == "Cloud Run by request, min 1"
    patient = compare(replace(steady(3600.0), limit_ms=5_000.0))
    assert named(patient, "recommender")[0].advice((Billing.NODE,)).choice.name == "Knative, to zero"


def test_steady_traffic_saves_nothing_on_a_cluster_and_loses_by_request() -> None:
    comparison = compare(replace(steady(0.09, days=1), services=("recommender",), seed=3))
    _, saved = named(comparison, "recommender")
    assert saved["Knative, to zero"] == pytest.approx(0, abs=1e-3)
    assert saved["Cloud Run by request, to zero"] < -0.3


def test_always_on_costs_the_same_whatever_comes() -> None:
    figures = Figures().instead({"price.node.cpu_s": 1e-5, "price.node.gib_s": 1e-6})
    for gap_s in (3600.0, 10.0):
        result, _ = named(compare(replace(steady(gap_s), figures=figures)), "ingest")
        assert result.verdicts[0].month == pytest.approx(MONTH_S * (1e-5 + 0.5e-6))


def test_break_even_lies_where_a_single_comparison_crosses_it() -> None:
    rng = np.random.default_rng(1)
    trace = trace_of(np.sort(rng.uniform(0, 7 * DAY_S, 7 * 300)))
    inputs = Inputs(trace, trace.a_day, services=("recommender",), requests_max=100_000)
    found = {one.choice: one.requests_a_day for one in break_even(inputs)}
    rate = found["Knative, to zero"]
    assert rate is not None
    below, above = (
        named(compare(replace(inputs, requests_a_day=rate * by)), "recommender")[1] for by in (0.5, 2.0)
    )
    assert below["Knative, to zero"] > 0.1 > above["Knative, to zero"]
    assert found["Knative, min-scale 1"] == 0.0
    assert found["Cloud Run by request, to zero"] is None, "at the rates that are looked at it always pays"


def test_every_service_is_run_from_the_table_of_figures() -> None:
    inputs = steady(3600.0)
    slower = replace(inputs, figures=Figures().instead({"ingest.start_ms": 9_000, "knative.platform_ms": 0}))
    result, _ = named(compare(slower), "ingest")
    to_zero = next(one for one in result.verdicts if one.choice.name == "Knative, to zero")
    assert to_zero.outcome.all.quantile_s(0.5) == pytest.approx(9.0, rel=0.011)


def test_a_figure_with_a_typing_mistake_names_the_near_one() -> None:
    with pytest.raises(CostError, match=r"recommender\.start_ms"):
        Figures().instead({"recomender.start_ms": 1.0})
    with pytest.raises(CostError, match="cannot be"):
        Figures().instead({"ingest.start_ms": float("nan")})


def test_every_figure_names_its_origin() -> None:
    assert all(figure.by for figure in FIGURES.values())
    said = Figures().instead({"keda.platform_ms": 700})
    assert "keda.platform_ms" not in said.unsettled()


@pytest.mark.parametrize(
    ("file", "found", "figure", "factor"),
    [
        ("base/ingest.yaml", r"autoscaling\.knative\.dev/target: \"(\d+)\"", "ingest.target", 1),
        ("base/recommender.yaml", r"autoscaling\.knative\.dev/target: \"(\d+)\"", "recommender.target", 1),
        ("base/ingest.yaml", r"/max-scale: \"(\d+)\"", "ingest.max_scale", 1),
        ("base/recommender.yaml", r"/max-scale: \"(\d+)\"", "recommender.max_scale", 1),
        ("base/ingest.yaml", r"pod-retention-period: (\d+)m", "ingest.retention_s", 60),
        ("base/recommender.yaml", r"pod-retention-period: (\d+)m", "recommender.retention_s", 60),
        ("base/recommender.yaml", r"scale-down-delay: (\d+)s", "recommender.delay_s", 1),
        ("push/profiler.yaml", r"pod-retention-period: (\d+)m", "push.retention_s", 60),
        ("pull/scaling.yaml", r"pollingInterval: (\d+)", "keda.poll_s", 1),
        ("pull/scaling.yaml", r"cooldownPeriod: (\d+)", "keda.cooldown_s", 1),
    ],
)
def test_figures_are_those_of_the_manifests(file: str, found: str, figure: str, factor: int) -> None:
    text = (ROOT / "deploy" / "knative" / file).read_text(encoding="utf-8")
    match = re.search(found, text)
    assert match, f"{file} says nothing of {figure} any more"
    assert FIGURES[figure].value == int(match[1]) * factor
