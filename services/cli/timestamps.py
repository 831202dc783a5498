"""Moments on the command line."""

from __future__ import annotations

from services.cli.failure import CommandError
from services.kernel.timestamps import read_timestamp_ms


def moment_s(text: str) -> int:
    """Unix seconds of RFC 3339 text or a number. Raises CommandError."""
    try:
        return read_timestamp_ms(text) // 1000
    except ValueError as error:
        raise CommandError(f"{text[:64]!r} {error}") from None
