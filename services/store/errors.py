"""What the store raises, and nothing else: no exception of the client library leaves this room."""

from __future__ import annotations


class StoreError(Exception):
    """The store could not do it."""


class StoreUnavailableError(StoreError):
    """Trouble that may pass: down, restarting, failing over, full, slow. Nothing is known to be written;
    every write of this room may be sent again. HTTP edges answer 503 with Retry-After `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreMisconfiguredError(StoreError):
    """Somebody has to act first: wrong URL, credentials, rights, server version or eviction policy."""
