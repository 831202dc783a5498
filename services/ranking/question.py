"""One list in the making: what sources and rankers look at."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.kernel.ids import item_key
from services.kernel.profile import Profile
from services.ranking.blend import Blend
from services.ranking.demand import Demand, demand_of
from services.ranking.evidence import Evidence, evidence_of
from services.ranking.filter_masks import Masked, Variables
from services.ranking.filters import Filter
from services.ranking.model import ModelAnswer
from services.ranking.ranked import Ranked
from services.ranking.reasons import Say
from services.ranking.rules import Rules
from services.ranking.scenario import TRAINED_RANKERS, Scenario
from services.ranking.state import RankingState, RankRequest
from services.ranking.transitions import Tables

Mask = NDArray[np.bool_]


class Question:
    """Parts are made when they are first asked for, and shared by all that ask."""

    def __init__(
        self,
        state: RankingState,
        profile: Profile | None,
        request: RankRequest,
        answer: ModelAnswer | None,
        tables: Tables | None = None,
    ) -> None:
        """`tables` are those of the release's ranker; the trainer has them before there is a ranker."""
        self.state = state
        self.catalogue = state.catalogue
        self.profile = profile
        self.request = request
        if answer is not None and (state.model is None or state.model.release is not state.catalogue.release):
            answer = None  # indices of another release: a swap came between model and ranking
        self.answer = answer
        wanted = request.scenario.filter
        self.masked: Masked | None = self.mask_of(wanted) if wanted is not None else None
        self.rules = Rules(state.catalogue, profile, request, self.masked)
        self.say = Say(state.catalogue, request.texts)
        self._tables = tables

    @cached_property
    def evidence(self) -> Evidence:
        """What the profile says."""
        return evidence_of(self.profile, self.catalogue, self.request.now_ms)

    @cached_property
    def about(self) -> tuple[int, int]:
        """(row, key) of the item that the list is about: the one asked for, else the subject's last one."""
        item_id = self.request.item_id
        if item_id is not None:
            return self.catalogue.row_of(item_id), item_key(item_id)
        return next(((item.row, item.key) for item in self.evidence.recent if item.row >= 0), (-1, 0))

    def mask_of(self, wanted: Filter) -> Masked:
        """What a filter lets in, by row, with this question's variables."""
        return self.catalogue.columns.mask(wanted, self._variables(wanted))

    @property
    def asked(self) -> Filter | None:
        """The scenario's filter with this question's values in place of variables."""
        return None if self.masked is None else self.masked.filter

    def _variables(self, wanted: Filter) -> Variables:
        row = self.about[0] if wanted.needs() else -1
        item = self.catalogue.item(row) if row >= 0 else None
        return Variables(self.request.context, item)

    @property
    def scenario(self) -> Scenario:
        """The scenario that was asked for; its rules hold for all that its list is filled from."""
        return self.request.scenario

    @cached_property
    def demand(self) -> Demand:
        """What everybody wants."""
        return demand_of(self.state)

    @cached_property
    def blend(self) -> Blend:
        """The user's vector and the terms of the blend."""
        return Blend(self.state, self.evidence, self.answer, self.scenario.ranker.weights)

    @property
    def ranked(self) -> Ranked | None:
        """`features`, where the scenario wants its list ordered by a trained ranker."""
        return self.features if self.scenario.ranker.name in TRAINED_RANKERS else None

    @cached_property
    def features(self) -> Ranked | None:
        """What a trained ranker looks at; None where the release has none, or the model says nothing."""
        tables = self._tables
        if tables is None and self.state.model is not None and self.state.model.ranker is not None:
            tables = self.state.model.ranker.tables
        if tables is None or self.answer is None or not self.blend.by_model:
            return None
        return Ranked(self.state, self.evidence, self.answer, tables, self.blend.neighbours)
