"""Named points between the steps of the write, where a test may let the process die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Fault = Callable[[str], None]

# Design, section 4: the number before the dot is the step.
FAULT_POINTS: Final = (
    "1.read",
    "2.applied",
    "2.dead_letters",
    "3.before_aggregates",
    "3.after_aggregates",
    "4.before_profiles",
    "4.half_of_profiles",
    "4.after_profiles",
    "5.published",
    "6.before_commit",
    "6.after_commit",
)


def no_fault(_point: str) -> None:
    """What production passes."""
