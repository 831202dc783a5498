"""Held-out events through the code that serves: a release, other releases and baselines side by side.

1. Choose the questions: events from a moment on, of subjects with a history, about items of the catalogue.
2. Replay the events once for each vector space; whoever shares its profiles is asked in that pass.
3. Hold each list against the event that came next; `report` makes figures and intervals of that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.item import Item, decode_item
from services.kernel.profile import Change
from services.kernel.release import ReleaseError
from services.ranking.state import MAX_N
from services.release.files import Release, open_release
from services.trainer.baselines import Baselines, Method, Served
from services.trainer.bootstrap import SEED
from services.trainer.choosing import Chosen, Cursor, choose, wanted_lines
from services.trainer.day0 import build_day0
from services.trainer.event_table import EventTable
from services.trainer.judgement import FloatArray, Judged, Questions, percentiles
from services.trainer.refresh import AgedProfiles, Refreshed
from services.trainer.replay import Profiles, Record, ReplayRules
from services.trainer.world import WARM_EVENTS_MAX, Asked, World, replay

QUESTIONS_MAX: Final = 20_000  # by default; an interval of HR is then about ± .007 at most
DAY0: Final = "day 0"
_TOLD_EVERY: Final = 1000  # lines between two words about the progress: each costs as much as a line

Tell = Callable[[str, float], None]


class EvaluateError(ReleaseError):
    """Nothing can be asked; the message says what is missing."""


@dataclass(frozen=True)
class EvaluateConfig:
    """What is asked. `from_s` Unix s, None: the newest `holdout_share` of the lines; `questions_max` 0: all.

    `frozen`: aggregates stop where the questions begin. `refresh` maps names to seconds, 0 for live.
    `seen`: the release learned from the answers, so that a baseline of its own tables would recite them.
    `only`: record numbers besides which nothing is asked.
    """

    ks: tuple[int, ...] = (10, 20)
    from_s: int | None = None
    holdout_share: float = 0.1
    questions_max: int = QUESTIONS_MAX
    frozen: bool = False
    seen: bool = False
    baselines: bool = True
    refresh: Mapping[str, int] = field(default_factory=dict)
    only: frozenset[int] | None = None
    seed: int = SEED


class Entrant(NamedTuple):
    """A method that was asked: its name, the release whose profiles it read, how it did.

    Of one that answers from aged profiles also how often they are brought up to date, and (bool[n]) which
    questions found an empty one.
    """

    name: str
    release: str
    judged: Judged
    refresh_s: int | None = None
    aged: Refreshed | None = None


@dataclass(frozen=True)
class Evaluation:
    """What was asked and how everyone did; `entrants[0]` is the release's for_you. Times are Unix s."""

    config: EvaluateConfig
    kind: str
    chosen: Chosen
    questions: Questions
    entrants: list[Entrant]
    catalogue_items: int
    lines: int
    first_s: int
    until_s: int

    @property
    def served(self) -> Entrant:
        """The release's for_you."""
        return self.entrants[0]


def moment_of(time_s: int) -> str:
    """RFC 3339 of Unix seconds."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def items_of(release: Release) -> list[Item]:
    """The catalogue that a release was made from; bare ids where it carries no more."""
    if "catalogue" in release.manifest.artefacts:
        with release.file("catalogue").open("rb") as file:
            return [decode_item(line) for line in file if line.strip()]
    return [Item(item_id=item_id) for item_id in release.item_ids]


def evaluate(
    table: EventTable,
    items: Sequence[Item],
    release: Release,
    rules: ReplayRules,
    config: EvaluateConfig,
    *,
    compare: Sequence[Release] = (),
    tell: Tell = lambda _what, _share: None,
) -> Evaluation:
    """Run all steps. `tell` is given what is being replayed and how much of everything is done, 0 to 1.

    Memory: beside the table, 20 bytes a question, and 10 for each method and k. Raises EvaluateError when
    there is nothing to ask, ReleaseError for a release that cannot be loaded.
    """
    if not config.ks or not all(0 < k <= MAX_N for k in config.ks):
        raise EvaluateError(f"k lies between 1 and {MAX_N}, the longest list that is served: {config.ks}")
    if not 0 < config.holdout_share < 1:
        raise EvaluateError(f"the held-out share lies between 0 and 1: {config.holdout_share}")
    run = _Run(table, items, release, rules, config)
    with tempfile.TemporaryDirectory(prefix="freshet-evaluate-") as scratch:
        others = [(one.name, one) for one in compare if one.name != release.name]
        if config.baselines:
            day0 = open_release(build_day0(items, Path(scratch)), verify=False)
            if day0.name not in {release.name, *(name for name, _ in others)}:
                others.append((DAY0, day0))
        return run.evaluation(others, tell)


class _Run:
    """One evaluation: what its passes share."""

    def __init__(
        self,
        table: EventTable,
        items: Sequence[Item],
        release: Release,
        rules: ReplayRules,
        config: EvaluateConfig,
    ) -> None:
        """1. of the module."""
        if not len(table):
            raise EvaluateError("there are no events to replay")
        self._config, self._rules, self._items = config, rules, items
        self._world = self._world_of(release)
        catalogue = self._world.catalogue
        rows = np.array([catalogue.row_of(item_id) for item_id in table.item_ids], dtype=np.int64)
        from_s = config.from_s
        if from_s is None:
            from_s = int(table.times_s[int(len(table) * (1 - config.holdout_share))])
        begin = max(0, int(np.searchsorted(table.times_s, from_s)) - WARM_EVENTS_MAX)
        self._table = table.take(slice(begin, None))
        self._chosen = choose(
            self._table,
            rows >= 0,
            rules.types,
            from_s=from_s,
            questions_max=config.questions_max,
            seed=config.seed,
            only=config.only,
        )
        if not len(self._chosen.records):
            raise EvaluateError(self._nothing(from_s))
        popularity = self._popularity(table.before(from_s), rows)
        self._questions = Questions(len(self._chosen.records), popularity)

    def _world_of(self, release: Release) -> World:
        return World.of(release, self._items, self._rules.types.custom)

    def _popularity(self, early: EventTable, rows: NDArray[np.int64]) -> FloatArray:
        """Percentile of each catalogue row before the first question."""
        of_lines = rows[early.items[wanted_lines(early, self._rules.types)]]
        counts = np.bincount(of_lines[of_lines >= 0], minlength=self._world.catalogue.row_count)
        return percentiles(counts)

    def _nothing(self, from_s: int) -> str:
        table, chosen = self._table, self._chosen
        lines = int((table.times_s >= from_s).sum())
        if not lines:
            return (
                f"no event is as new as {moment_of(from_s)}; the newest is of "
                f"{moment_of(int(table.times_s[-1]))}: give an earlier --from, or a --holdout-share"
            )
        if chosen.unknown:
            return (
                f"none of the items of {chosen.unknown:,} held-out events is in the catalogue: give the "
                "items of these events (--items), or check that both use the same ids"
            )
        return (
            f"{lines:,} held-out event lines, and none is a positive event of somebody who did something "
            f"before ({chosen.new:,} are somebody's first): hold out less, or evaluate on a longer history"
        )

    def evaluation(self, others: Sequence[tuple[str, Release]], tell: Tell) -> Evaluation:
        """2. and 3. of the module."""
        groups: dict[object, list[tuple[str, World]]] = {_space_of(self._world): [("for_you", self._world)]}
        for name, release in others:
            world = self._world_of(release)
            groups.setdefault(_space_of(world), []).append((name, world))
        entrants: list[Entrant] = []
        for number, group in enumerate(groups.values()):
            leader = group[0][1]
            asking = _Pass(self._questions, self._config.ks, leader, first=number == 0)
            served = [asking.enter(name, Served(world), world) for name, world in group]
            entrants += served
            aged = []
            if number == 0:
                entrants += self._baselines(asking, leader)
                aged = self._aged(asking, leader, served[0])
                entrants += aged
            self._replay(leader, asking, _part(tell, group[0][0], number, len(groups)))
        if not self._questions.count:
            raise EvaluateError(
                f"each of {len(self._chosen.records):,} held-out events comes longer than the profiles' TTL "
                f"({self._rules.profile_ttl_days} days) after what its subject did before: nobody is known"
            )
        table = self._table
        return Evaluation(
            self._config,
            self._world.release.manifest.kind,
            self._chosen,
            self._questions,
            entrants,
            len(self._world.catalogue),
            len(table),
            int(table.times_s[0]),
            int(table.times_s[-1]),
        )

    def _baselines(self, asking: _Pass, world: World) -> list[Entrant]:
        if not self._config.baselines:
            return []
        methods = Baselines(world, tables=not self._config.seen).methods
        return [asking.enter(name, method, world) for name, method in methods.items()]

    def _aged(self, asking: _Pass, world: World, served: Entrant) -> list[Entrant]:
        found = []
        for name, refresh_s in self._config.refresh.items():
            if not refresh_s:  # live: what is served
                found.append(served._replace(name=name, refresh_s=0))
                continue
            own = Profiles(self._table, world.release, self._rules, world.vector_of)
            aged = AgedProfiles(own, refresh_s)
            asking.heard_by.append(aged.hear)
            method = Refreshed(asking.served, aged, self._questions.capacity)
            found.append(asking.enter(name, method, world)._replace(refresh_s=refresh_s, aged=method))
        return found

    def _replay(self, world: World, asking: _Pass, tell: Callable[[float], None]) -> None:
        told = 0

        def progress(done: int, total: int) -> None:
            nonlocal told
            if done - told >= _TOLD_EVERY or done == total:
                told = done
                tell(done / total)

        replay(
            world,
            self._table,
            self._chosen.from_s,
            self._rules,
            asking.ask,
            frozen=self._config.frozen,
            chosen=Cursor(self._chosen.records),
            hear=asking.hear,
            tell=progress,
        )


class _Pass:
    """One replay: the methods that are asked in it."""

    def __init__(self, questions: Questions, ks: tuple[int, ...], world: World, *, first: bool) -> None:
        self._questions, self._ks, self._first = questions, ks, first
        self._row_of = world.catalogue.row_of
        self._methods: list[tuple[Method, Judged]] = []
        self._count = 0
        self.heard_by: list[Callable[[Record, Change], None]] = []

    def enter(self, name: str, method: Method, world: World) -> Entrant:
        """Ask a method as well."""
        judged = Judged(name, self._questions, self._ks)
        self._methods.append((method, judged))
        return Entrant(name, world.release.name, judged)

    @property
    def served(self) -> Served:
        """What the release whose profiles these are answers."""
        method = self._methods[0][0]
        assert isinstance(method, Served)  # the first that `_Run` enters
        return method

    def ask(self, asked: Asked) -> None:
        """Ask everyone. Rows mean the same in every catalogue of an evaluation: they are loaded by id."""
        rows = {row for item_id in asked.wanted if (row := self._row_of(item_id)) >= 0}
        wanted = np.array(sorted(rows), dtype=np.int64)
        if self._first:
            self._questions.add(asked.record.subject, wanted)
        for method, judged in self._methods:
            judged.take(self._count, method(asked, self._ks), wanted)
        self._count += 1

    def hear(self, record: Record, change: Change) -> None:
        """Hand an event on to the profiles of other ages."""
        for hears in self.heard_by:
            hears(record, change)


def _part(tell: Tell, what: str, number: int, passes: int) -> Callable[[float], None]:
    """Tells how much of one pass is done, as a share of all of them."""
    return lambda done: tell(what, (number + done) / passes)


def _space_of(world: World) -> object:
    """What profiles depend on: the same for two releases, one replay serves both."""
    release = world.release
    return release.space.name, tuple(sorted(release.event_weights.items()))
