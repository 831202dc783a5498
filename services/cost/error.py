"""What is said where an input makes no sense."""

from __future__ import annotations


class CostError(ValueError):
    """An input cannot be simulated; the text says what to change."""
