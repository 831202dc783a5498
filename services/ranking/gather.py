"""The candidates of one list: what the scenario's sources find, as far as the rules let it in."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.profile import Profile
from services.ranking.evidence import RECENT_ITEMS
from services.ranking.matching import matching
from services.ranking.question import Question
from services.ranking.scenario import Scenario, SourceUse
from services.ranking.sources import SOURCES, Found, Source
from services.ranking.state import RankRequest, Reason

RowArray = NDArray[np.int64]

# The last items, and some more, since some kinds of events are skipped on the way to them.
LATEST_ITEMS: Final = RECENT_ITEMS + 4
# Under a filter, what matches it is looked for directly where the sources found fewer than this times n.
ENOUGH: Final = 4


class Part(NamedTuple):
    """What one source found."""

    use: SourceUse
    source: Source
    found: Found


class Pool:
    """All candidates, and who found them."""

    def __init__(self, question: Question, parts: list[Part]) -> None:
        self._question = question
        self.parts = parts

    @cached_property
    def led(self) -> list[Part]:
        """`parts` as lists show them: at the place of an episode that may not come stands the one of its
        series that may.
        """
        return [part._replace(found=_led(self._question, part.found)) for part in self.parts]

    @cached_property
    def rows(self) -> RowArray:
        """i64[n], rising, each once, allowed. Candidates of the request stand in place of what was found;
        under a filter that leaves little of it, what matches is added.
        """
        question, rules = self._question, self._question.rules
        if rules.candidates is not None:
            rows = np.array(sorted(rules.candidates), dtype=np.int64)
            return rows[rules.allowed(rows)]
        mark = np.zeros(question.catalogue.row_count + 1, dtype=np.bool_)
        for part in self.parts:
            mark[part.found.rows] = True
        (rows,) = mark[:-1].nonzero()  # row -1, no item of the catalogue, fell on the last place
        rows = rules.with_entries(rows)
        rows = rows[rules.allowed(rows)]
        if rules.mask is not None and len(rows) < ENOUGH * question.request.n:
            mark[:] = False
            mark[rows] = mark[matching(question, question.blend.user)] = True
            (rows,) = mark.nonzero()
        return rows

    def names_of(self, key: int) -> list[str]:
        """The sources that found an item, or another episode of a series that begins with it."""
        row = self._question.catalogue.row_of_key(key)
        return [part.use.name for part in self.parts if self._has_found(part.found, row, key)]

    def _has_found(self, found: Found, row: int, key: int) -> bool:
        if found.keys is not None:
            return bool((found.keys == key).any())
        return bool(((found.rows == row) | (self._question.rules.entries_of(found.rows) == row)).any())

    def reason_of(self, row: int) -> Reason:
        """Why the first source that found a row thinks that it stands there."""
        for part in self.led:
            (places,) = (part.found.rows == row).nonzero()
            if len(places):
                return part.found.reason_of(int(places[0]))
        return self._question.say.plain("catalogue")


def _led(question: Question, found: Found) -> Found:
    """What leads from an episode to another is said of it, unless the source found that one as well."""
    if found.keys is not None:
        return found
    rows = question.rules.entries_of(found.rows)
    if rows is found.rows:
        return found
    rows = np.where(rows >= 0, rows, found.rows)
    if (rows == found.rows).all():
        return found
    order = rows.argsort(kind="stable")
    ordered = rows[order]
    first = np.sort(order[np.concatenate(([True], ordered[1:] != ordered[:-1]))])

    def reason_of(place: int) -> Reason:
        (own,) = (found.rows == rows[first[place]]).nonzero()
        if len(own):
            return found.reason_of(int(own[0]))
        return question.say.about("same_series", int(found.rows[first[place]]))

    return Found(rows[first], reason_of, score=None if found.score is None else found.score[first])


def gather(question: Question, uses: Iterable[SourceUse]) -> Pool:
    """Ask the sources; a trained ranker gets half of each limit."""
    half = 2 if question.ranked is not None else 1
    parts = []
    for use in uses:
        source = SOURCES[use.name]
        limit = None if use.limit is None else max(1, use.limit // half)
        parts.append(Part(use, source, source.find(question, limit)))
    return Pool(question, parts)


def stages_of(request: RankRequest) -> list[Scenario]:
    """The scenario that is asked for, and those that go on where its list is short."""
    stages = [request.scenario]
    while (name := stages[-1].then) is not None and (stage := request.scenarios.get(name)) is not None:
        if stage in stages:
            break
        stages.append(stage)
    return stages


def sources_of(request: RankRequest) -> set[str]:
    """The names of all sources that a list may be made from."""
    uses = [use for stage in stages_of(request) for use in stage.sources]
    return {use.name for use in (*uses, *request.scenario.fill)}


def rows_read(profile: Profile | None, request: RankRequest) -> set[int]:
    """Keys of the rows of aggregates that the sources will look up: whoever ranks has them at hand before."""
    latest: list[int] = []
    if profile is not None:
        latest = list(dict.fromkeys(profile.ring["item"][::-1].tolist()))[:LATEST_ITEMS]
    return {key for name in sources_of(request) for key in SOURCES[name].reads(latest, request)}
