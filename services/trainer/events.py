"""Events from an archive or from files of other systems, as columns."""

from __future__ import annotations

from services.trainer.event_table import EventTable, Reading

__all__ = ["EventTable", "Reading"]
