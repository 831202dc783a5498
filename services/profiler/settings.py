"""What the profiler reads from the environment."""

from __future__ import annotations

from services.kernel.settings import (
    EventSettings,
    HttpSettings,
    LogSettings,
    ProfilerLimits,
    ProfileSettings,
    ReleaseSettings,
    StoreSettings,
    TraceSettings,
)


class ProfilerSettings(
    HttpSettings,
    TraceSettings,
    LogSettings,
    StoreSettings,
    EventSettings,
    ProfileSettings,
    ReleaseSettings,
    ProfilerLimits,
):
    """The groups that the profiler needs."""

    @property
    def ttl_ms(self) -> int:
        """After a gap longer than this a subject is forgotten, ms."""
        return self.profile_ttl_days * 86_400_000

    @property
    def expire_ms(self) -> int:
        """When the store collects a profile, ms: TTL + log retention, so that a replayed record finds it."""
        return self.ttl_ms + self.log_retention_h * 3_600_000
