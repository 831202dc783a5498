"""What `freshet run` reads from the environment: everything."""

from __future__ import annotations

from typing import Self

from services.ingest.settings import IngestSettings
from services.kernel.settings import ArchiveSettings, LocalSettings
from services.local.data_dir import DataDir
from services.profiler.settings import ProfilerSettings
from services.recommender.settings import RecommenderSettings

# There is one process: only its own predecessor, killed a moment ago, can hold the partitions.
_EMBEDDED_SESSION_MS = 2000


class RunSettings(IngestSettings, ProfilerSettings, RecommenderSettings, ArchiveSettings, LocalSettings):
    """All groups."""

    @property
    def needs_embedded(self) -> bool:
        """Log or store are not named, so the embedded Valkey takes their place."""
        return not {"log_url", "store_url"} <= self.model_fields_set

    def placed(self, data_dir: DataDir, embedded_url: str | None) -> Self:
        """The same, with the embedded Valkey and the data directory where nothing else is named."""
        update: dict[str, str | int] = {}
        if embedded_url is not None:
            if not {"log_url", "log_session_ms"} & self.model_fields_set:
                update["log_session_ms"] = _EMBEDDED_SESSION_MS
            update |= {
                name: embedded_url for name in ("log_url", "store_url") if name not in self.model_fields_set
            }
        if "release_url" not in self.model_fields_set:
            update["release_url"] = str(data_dir.releases)
        return self.model_copy(update=update)
