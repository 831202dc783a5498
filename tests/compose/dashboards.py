"""Every panel of the dashboards asks the Prometheus of a Freshet under load, and has something to show."""

from __future__ import annotations

import itertools
import json
import math
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

from tests.compose.stack import WAIT_S, Stack, check, note
from tests.unit.monitoring import BOARDS, Expression, drawn, panels

# They show what did not happen here: the panels say so.
QUIET: Final = {
    "Alerts firing",
    "Deadline misses",
    "Falls, by step and cause",
    "Probes that were not ready",
    "Requests failed",
    "Scenario file: loads, and instances it is not in use at",
}
_PAUSE_S: Final = 0.5
_CALLS_A_ROUND: Final = 20
_SEGMENT_CALL: Final = {
    "type": "track",
    "userId": "asker_segment",
    "event": "Product Viewed",
    "properties": {"product_id": "p_1"},
}


def panels_answer(stack: Stack) -> None:
    """Load, until each expression answers with a number, but for panels whose description says what it means
    that they have no data. Raises StepError.
    """
    told = {panel["title"]: panel["description"] for name in BOARDS for panel in panels(name)}
    silent = [title for title in QUIET if "No data: " not in told[title]]
    check(not silent, f"{silent} do not say what it means that they have no data")
    missing, began_s, numbers = list(drawn()), time.monotonic(), itertools.count()
    total = len(missing)
    while loud := [asked for asked in missing if asked.place not in QUIET]:
        for number in itertools.islice(numbers, _CALLS_A_ROUND):
            _ask(stack, number)
        time.sleep(_PAUSE_S)
        missing = [asked for asked in missing if not _numbers(stack, asked)]
        named = sorted({f"{asked.shown}: {asked.place}: {asked.text}" for asked in loud})
        check(time.monotonic() - began_s < WAIT_S, f"no data for {named}", "prometheus")
    note(f"          {total - len(missing)} of {total} expressions of the dashboards have data after")
    note(f"          {time.monotonic() - began_s:.0f} s of load; quiet: {sorted({a.place for a in missing})}")


def nothing_fires(stack: Stack) -> None:
    """A Freshet that is well calls nobody."""
    firing = [found["metric"]["alertname"] for found in query(stack, 'ALERTS{alertstate="firing"}')]
    check(not firing, f"alerts fire although nothing is wrong: {firing}", "prometheus")


def query(stack: Stack, text: str) -> list[dict[str, Any]]:
    """What Prometheus answers to an expression now: series with their values. Raises StepError."""
    address = f"http://localhost:{stack.ports['PROMETHEUS_PORT']}/api/v1/query?"
    with urllib.request.urlopen(address + urllib.parse.urlencode({"query": text}), timeout=10) as answer:
        told = json.load(answer)
    check(told["status"] == "success", f"{text}: {told}", "prometheus")
    found: list[dict[str, Any]] = told["data"]["result"]
    return found


def _numbers(stack: Stack, asked: Expression) -> bool:
    """Whether something would be drawn: a quantile of nothing is no number."""
    return any(math.isfinite(float(one["value"][1])) for one in query(stack, asked.text))


def _ask(stack: Stack, number: int) -> None:
    """What clients do, right and wrong."""
    user = f"asker_{number % 7}"
    for method, path, body, status in _calls(user, number):
        got, told = stack.call(method, path, body)
        check(got == status, f"{method} {path}: {got} {told}", "gateway", "ingest", "recommender")


def _calls(user: str, number: int) -> Iterator[tuple[str, str, Any, int]]:
    view = {"user_id": user, "event_type": "view", "item_id": f"p_{number % 50}"}
    yield "POST", "/events", view, 202
    yield "GET", f"/recommend/{user}?n=5", None, 200
    yield "GET", f"/recommend/{user}?n=5&scenario=continue_watching", None, 200
    yield "GET", f"/recommend/{user}?n=-5", None, 422
    yield "POST", "/recommend", {"user_id": user, "rows": [{"scenario": "trending"}]}, 200
    yield "POST", "/events", {"user_id": user, "event_type": "view"}, 422
    yield "POST", "/v1/track", _SEGMENT_CALL, 200
    yield "PUT", f"/items/compose_{number % 5}", {"title": f"Made up {number}"}, 202
