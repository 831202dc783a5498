"""Records that can never be applied go to the dead topic, with the reason and the place they came from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from services.kernel.metrics import PROFILER_DEAD, Metrics
from services.log.protocol import Draft, LogUnavailableError, Producer, Record, RecordTooLargeError, Topic

_TIMEOUT_MS: Final = 5000  # as long as a client waits for the log
_REASON_MAX: Final = 1000  # characters; enough to say what is wrong
_TOLD_MAX: Final = 200  # characters of a reason in the log
_CUT_BYTES: Final = 500_000  # what is kept of a record that with its new headers is too large

_log = logging.getLogger(__name__)


class DeadLetter(NamedTuple):
    """A record and why it can never be applied."""

    topic: Topic
    record: Record
    reason: str


class DeadLetters:
    """The way to the dead topic. A crash may bring a letter there twice, never lose it."""

    def __init__(self, producer: Producer, metrics: Metrics) -> None:
        self._producer = producer
        self._dead = metrics.counter(PROFILER_DEAD)
        for topic in (Topic.EVENTS, Topic.ITEMS):  # 0 is told before the first one
            self._dead.labels(topic.value)

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Append all. Raises LogUnavailableError while the log does not take them (call again to retry)."""
        if not letters:
            return
        drafts = [_draft(letter, letter.record.value) for letter in letters]
        outcomes = await self._producer.append(Topic.DEAD, drafts, _TIMEOUT_MS)
        large = [
            letter
            for letter, outcome in zip(letters, outcomes, strict=True)
            if isinstance(outcome.error, RecordTooLargeError)
        ]
        if large:
            cut = [_draft(letter, (letter.record.value or b"")[:_CUT_BYTES], cut=True) for letter in large]
            outcomes += await self._producer.append(Topic.DEAD, cut, _TIMEOUT_MS)
        for outcome in outcomes:
            if outcome.error is not None and not isinstance(outcome.error, RecordTooLargeError):
                raise LogUnavailableError(f"the dead topic does not take a record: {outcome.error}")
        for letter in letters:
            self._dead.labels(letter.topic.value).inc()
        _log.warning(
            "%d of %s went to the dead topic, as they can never be applied; the first, %s: %s",
            len(letters),
            letters[0].topic.value,
            letters[0].record.position,
            letters[0].reason[:_TOLD_MAX],
        )


def _draft(letter: DeadLetter, value: bytes | None, *, cut: bool = False) -> Draft:
    record = letter.record
    headers = [
        *((name, held) for name, held in record.headers if not name.startswith("freshet_dead_")),
        ("freshet_dead_reason", letter.reason[:_REASON_MAX].encode("utf-8", "replace")),
        ("freshet_dead_topic", letter.topic.value.encode()),
        ("freshet_dead_position", str(record.position).encode()),
    ]
    if record.value is None:
        headers.append(("freshet_dead_tombstone", b"1"))
    if cut:
        headers.append(("freshet_dead_cut", b"1"))
    return Draft(record.key, value if value is not None else b"", tuple(headers))
