"""What is counted of answers."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from services.http.start import Start
from services.kernel.metrics import (
    RECOMMEND_FALLBACKS,
    RECOMMEND_PROFILE_AGE,
    RECOMMEND_STAGE,
    RECOMMENDATIONS,
    Metrics,
)


class Tally:
    """Counters of the hot path, their children looked up once."""

    def __init__(self, metrics: Metrics, start: Start) -> None:
        self._start = start
        self._lists = metrics.counter(RECOMMENDATIONS)
        self._fallbacks = metrics.counter(RECOMMEND_FALLBACKS)
        self._stages = metrics.histogram(RECOMMEND_STAGE)
        self._age = metrics.histogram(RECOMMEND_PROFILE_AGE)
        self._list_children: dict[tuple[str, str], Counter] = {}
        self._stage_children: dict[str, Histogram] = {}

    def answered(self, scenario: str, strategy: str) -> None:
        """One list went out."""
        child = self._list_children.get((scenario, strategy))
        if child is None:
            child = self._list_children[scenario, strategy] = self._lists.labels(scenario, strategy)
        child.inc()
        self._start.worked()

    def fell(self, step: str, cause: str) -> None:
        """A step failed or was late. Both words come from small closed sets."""
        self._fallbacks.labels(step, cause).inc()

    def stages(self, stages_ms: dict[str, float], profile_age_ms: int | None) -> None:
        """How long the stages of one answer took."""
        for stage, ms in stages_ms.items():
            child = self._stage_children.get(stage)
            if child is None:
                child = self._stage_children[stage] = self._stages.labels(stage)
            child.observe(ms / 1000)
        if profile_age_ms is not None:
            self._age.observe(profile_age_ms / 1000)
