"""How a start fails."""

from __future__ import annotations


class LocalError(Exception):
    """`freshet run` cannot start or go on; the message says what to do."""
