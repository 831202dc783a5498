"""What `freshet doctor` looks at, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from services.local.settings import RunSettings
from services.log.protocol import EventLog
from services.store.connection import Connection
from services.store.meta import Meta

Level = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct):
    """One line of the report. `mend` says what to do unless all is well; `details` are for programs."""

    level: Level
    part: str
    text: str
    mend: str = ""
    details: dict[str, Any] = {}


@dataclass
class Patient:
    """What is looked at."""

    settings: RunSettings
    log: EventLog
    connection: Connection
    meta: Meta | None = None
