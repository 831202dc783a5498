"""What orders candidates: a file each, and their names. docs/EXTENDING.md shows how one is added."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from services.ranking.rankers.auto import Auto
from services.ranking.rankers.blended import Blended
from services.ranking.rankers.in_order import InOrder
from services.ranking.rankers.mix import Mix
from services.ranking.rankers.protocol import Ranker, Scored
from services.ranking.rankers.trained import Trained

__all__ = ["RANKERS", "Ranker", "Scored"]

RANKERS: Final[Mapping[str, Ranker]] = MappingProxyType(
    {
        "auto": Auto(),
        "trained": Trained(),
        "blend": Blended(),
        "mix": Mix(),
        "in_order": InOrder(),
    }
)
