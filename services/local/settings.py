"""What `freshet run` reads from the environment: everything."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic_settings import SettingsConfigDict

from services.ingest.settings import IngestSettings
from services.kernel.settings import PREFIX, LocalSettings
from services.local.data_dir import DataDir
from services.profiler.settings import ProfilerSettings
from services.recommender.settings import RecommenderSettings


class RunSettings(  # type: ignore[misc]  # the plugin sees a different model_construct in each base
    IngestSettings, ProfilerSettings, RecommenderSettings, LocalSettings
):
    """All groups."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    @property
    def needs_embedded(self) -> bool:
        """Log or store are not named, so the embedded Valkey takes their place."""
        return not {"log_url", "store_url"} <= self.model_fields_set

    def placed(self, data_dir: DataDir, embedded_url: str | None) -> Self:
        """The same, with the embedded Valkey and the data directory where nothing else is named."""
        update: dict[str, str | Path] = {}
        if embedded_url is not None:
            update |= {
                name: embedded_url for name in ("log_url", "store_url") if name not in self.model_fields_set
            }
        if "release_url" not in self.model_fields_set:
            update["release_url"] = str(data_dir.releases)
        return self.model_copy(update=update)
