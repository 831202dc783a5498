"""From `FRESHET_TRACES` to a tracer. Loads OpenTelemetry's SDK when it is asked for, and not before."""

from __future__ import annotations

import os
from typing import Final

from services.kernel.settings import SettingsError, TraceSettings
from services.kernel.tracing import Tracer

_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OURS: Final = "http/protobuf"


def open_tracer(settings: TraceSettings, service: str) -> Tracer | None:
    """The tracer of a process that is `service`; None where traces are off.

    OpenTelemetry's own variables say where spans go, which are kept, and by which name. Raises SettingsError
    where the extra is not installed, or a variable asks for what is not there.
    """
    if settings.traces == "off" or _is_disabled():
        return None
    for name in _PROTOCOLS:
        asked = os.environ.get(name, "").strip()
        if asked and asked != _OURS:
            raise SettingsError(
                f"{name}={asked}: Freshet sends traces by {_OURS} only; leave it out, and let "
                "OTEL_EXPORTER_OTLP_ENDPOINT name the collector's HTTP port (4318, as a rule)"
            )
    try:
        from services.tracing.otel import OtelTracer

        return OtelTracer.from_environment(service, settings.namespace)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"FRESHET_TRACES={settings.traces} needs packages that are not installed (there is no "
            f"{error.name}): in a clone, pip install -e '.[otel]'; of an image, --build-arg EXTRAS=otel"
        ) from None


def _is_disabled() -> bool:
    """The standard's own ways to say no."""
    return (
        os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    )
