"""What makes a draft fit for any log."""

from __future__ import annotations

from services.log.protocol import RECORD_BYTES_MAX, Draft, LogError, RecordTooLargeError


def draft_bytes(draft: Draft) -> int:
    """Bytes of key, value and headers."""
    size = len(draft.key) + (len(draft.value) if draft.value is not None else 0)
    for name, value in draft.headers:
        size += len(name) + len(value)
    return size


def draft_error(draft: Draft) -> LogError | None:
    """Why no log takes the draft, or None."""
    size = draft_bytes(draft)
    if size > RECORD_BYTES_MAX:
        return RecordTooLargeError(
            f"the record has {size} bytes; the event log takes {RECORD_BYTES_MAX} at most"
        )
    return None


def placing_key(draft: Draft) -> bytes:
    """The key whose hash chooses the partition."""
    return draft.key if draft.partition_key is None else draft.partition_key
