"""What the recommender reads from the environment."""

from __future__ import annotations

from services.kernel.settings import (
    EventSettings,
    HttpSettings,
    ProfileSettings,
    RecommenderLimits,
    ReleaseSettings,
    StoreSettings,
    TraceSettings,
)


class RecommenderSettings(
    HttpSettings,
    TraceSettings,
    StoreSettings,
    EventSettings,
    ProfileSettings,
    ReleaseSettings,
    RecommenderLimits,
):
    """The groups that the recommender needs."""
