"""The settings that ingest reads."""

from __future__ import annotations

from services.kernel.settings import EventSettings, HttpSettings, IngestLimits, LogSettings, TraceSettings


class IngestSettings(HttpSettings, TraceSettings, LogSettings, IngestLimits, EventSettings):
    """All of `FRESHET_…` that concerns ingest; `IngestSettings.from_environment()` reads them."""
