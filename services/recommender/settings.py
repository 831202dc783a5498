"""What the recommender reads from the environment."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from services.kernel.settings import (
    PREFIX,
    EventSettings,
    HttpSettings,
    ProfileSettings,
    RecommenderLimits,
    ReleaseSettings,
    StoreSettings,
)


class RecommenderSettings(
    HttpSettings, StoreSettings, EventSettings, ProfileSettings, ReleaseSettings, RecommenderLimits
):
    """The groups that the recommender needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")
