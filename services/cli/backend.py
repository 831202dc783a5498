"""What the commands that look behind the HTTP edge work on: the log, the store and the releases.

`freshet run` keeps its own in the data directory; the commands find them there when no setting says otherwise.
"""

from __future__ import annotations


def is_expected(error: Exception) -> bool:
    """A failure of a part that its message explains; everything else is a fault of ours."""
    from services.local.failure import LocalError
    from services.log.protocol import LogError
    from services.store.errors import StoreError

    return isinstance(error, (LocalError, LogError, StoreError))
