"""How a batch can end other than applied."""

from __future__ import annotations


class BatchDroppedError(Exception):
    """The batch was dropped before its end; go back to the last commit and read it again.

    The fence moved (another profiler owns the partition), the store is another one than before, or the live
    epoch has changed. `kind` names it in the metrics.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class SafetyError(Exception):
    """Going on would skip or double something. The profiler stops, `/readyz` fails with this text.

    `rule` is the number in services/profiler/safety.py. The text says what to do; when it is done, the
    running profiler goes on by itself.
    """

    def __init__(self, rule: int, text: str) -> None:
        super().__init__(text)
        self.rule = rule
