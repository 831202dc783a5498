"""Figures of quality: what the code that answers HTTP would have shown, against what came next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from services.kernel.release import ReleaseError
from services.release.files import Release
from services.trainer.judgement import ndcg
from services.trainer.world import Asked, World, ids_of, recommended

CUT_OFF: Final = 10


class Quality:
    """Ranks of what was wanted, question by question, and what was shown."""

    def __init__(self, world: World, n: int = CUT_OFF, scenario: str = "for_you") -> None:
        self.world = world
        self.n = n
        self._scenario = scenario
        self.gains: list[float] = []
        self.hits: list[float] = []
        self.reciprocal: list[float] = []
        self.subjects: list[int] = []
        self.shown: dict[str, int] = {}

    def ask(self, asked: Asked) -> None:
        """Answer one question and judge the answer."""
        self.take(asked, ids_of(recommended(asked, self.n, self._scenario)))

    def take(self, asked: Asked, listed: Sequence[str]) -> None:
        """Judge a list for a question."""
        wanted = frozenset(asked.wanted)
        places = [place for place, item_id in enumerate(listed) if item_id in wanted]
        self.gains.append(ndcg(places, len(wanted), self.n))
        self.hits.append(1.0 if places else 0.0)
        self.reciprocal.append(1.0 / (places[0] + 1) if places else 0.0)
        self.subjects.append(asked.record.subject)
        for item_id in listed:
            self.shown[item_id] = self.shown.get(item_id, 0) + 1

    def figures(self) -> dict[str, float]:
        """HR, NDCG and MRR at n, how many questions, and which share of the catalogue was ever shown."""
        count = len(self.hits)
        if not count:
            return {"questions": 0.0}
        return {
            "questions": float(count),
            f"hr_at_{self.n}": float(np.mean(self.hits)),
            f"ndcg_at_{self.n}": float(np.mean(self.gains)),
            f"mrr_at_{self.n}": float(np.mean(self.reciprocal)),
            "coverage": len(self.shown) / max(1, len(self.world.catalogue)),
        }


def judge(world: World, n: int = CUT_OFF) -> Quality:
    """An empty record of for_you."""
    return Quality(world, n)


def trained_until_s(release: Release) -> int:
    """The newest event that a release was trained on, Unix s; 0 where it does not say (day 0, own models)."""
    try:
        metrics = msgspec.json.decode(release.file("metrics").read_bytes())
        return int(metrics.get("trained_until_s", 0))
    except (ReleaseError, OSError, ValueError, AttributeError, msgspec.DecodeError):
        return 0
