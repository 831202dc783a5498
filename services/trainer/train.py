"""One training run: events and items in, a checked release directory out.

1. Put events and items on one table of indices; hold out the newest part.
2. Fit the network on what came before it; the held-out part says when to stop.
3. Build a draft release of it, replay the held-out part, and let the ranker learn from what it is asked.
4. Replay the held-out part of other subjects against draft and live release: is the new one good enough?
5. Train on for a little over everything, count the tables over everything, build the release.
6. Compare its graph with the trainer's own numbers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from services.kernel.bank import DEFAULT_GAMMAS
from services.kernel.change import weight_of
from services.kernel.item import Item
from services.kernel.profile import Profile
from services.kernel.release import ReleaseError
from services.ranking.transitions import Tables
from services.release.files import Release, open_release
from services.trainer.checkpoints import Checkpoints
from services.trainer.evaluate import Quality, judge, trained_until_s
from services.trainer.event_table import EventTable
from services.trainer.fit import FitConfig, Fitted, Told, fit
from services.trainer.gate import check_outputs, check_quality
from services.trainer.learn_ranker import EXAMPLES_MAX, JUDGED_SHARE, Examples, is_judged, learn
from services.trainer.network import NetworkShape
from services.trainer.replay import Profiles, ReplayRules, records_of
from services.trainer.sequences import Sequences, sequences_of
from services.trainer.trained_release import Parts, build_trained
from services.trainer.world import WARM_EVENTS_MAX, Asked, World, replay

HOLDOUT_SHARE: Final = 0.1
HOLDOUT_LINES_MAX: Final = 1_000_000  # replayed one by one, 60 µs each; more would say nothing new
JUDGED_MAX: Final = 4000  # questions of the gate: their interval is about ± .01
TARGETS_MIN: Final = 500  # events below which there is nothing to learn that day 0 does not know
# Shape of the last pass over everything: it brings in the newest events, and must not forget the rest.
LAST_RATE_SHARE: Final = 0.2


class TrainError(ReleaseError):
    """Nothing can be trained from this; the message says what is missing."""


class Tell(Protocol):
    """Told how far a stage is."""

    def __call__(self, stage: str, done: float, total: float, note: str = "", /) -> None:
        """`stage` is one of a few words; `total` in the same unit as `done`."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Times are Unix s; `holdout_from_s` None: the newest HOLDOUT_SHARE of the lines."""

    d: int = 64
    hidden: int = 512
    fit: FitConfig = field(default_factory=FitConfig)
    last_epochs: int = 1
    holdout_share: float = HOLDOUT_SHARE
    holdout_from_s: int | None = None
    frozen: bool = False
    gammas: tuple[float, ...] = DEFAULT_GAMMAS


class Material(NamedTuple):
    """What a run works on. Item indices of `table` are places in `items`, which rise by id."""

    table: EventTable
    items: list[Item]
    rules: ReplayRules
    dropped_lines: int


class Trained(NamedTuple):
    """A built release and what it showed."""

    directory: Path
    metrics: dict[str, Any]


def material_of(table: EventTable, items: Sequence[Item] | None, rules: ReplayRules) -> Material:
    """1. of the module. Lines on items that no catalogue knows are dropped; without one, none is."""
    if items is None:
        known = {item_id: Item(item_id=item_id) for item_id in table.item_ids}
    else:
        known = {item.item_id: item for item in items}
    ids = sorted(known)
    place = {item_id: index for index, item_id in enumerate(ids)}
    index_of = np.array([place.get(item_id, -1) for item_id in table.item_ids], dtype=np.int32)
    indices = index_of[table.items] if len(table) else np.zeros(0, np.int32)
    kept = indices >= 0
    found = table.take(kept)
    moved = EventTable(
        subjects=found.subjects,
        items=indices[kept],
        types=found.types,
        values=found.values,
        times_s=found.times_s,
        records=found.records,
        subject_ids=table.subject_ids,
        item_ids=ids,
    )
    return Material(moved, [known[item_id] for item_id in ids], rules, int((~kept).sum()))


def train(
    material: Material,
    config: TrainConfig,
    out_dir: Path,
    now_ms: int,
    *,
    live: Release | None = None,
    checkpoint_dir: Path | None = None,
    tell: Tell = lambda _stage, _done, _total, _note="": None,
) -> Trained:
    """Run all steps. Raises TrainError, GateError (nothing is published), ReleaseError."""
    run = _Run(material, config, tell)
    fitted = run.fit(checkpoint_dir)
    with tempfile.TemporaryDirectory(prefix="freshet-train-") as scratch:
        draft = open_release(
            run.build(Path(scratch), fitted, run.early, ranker=None, metrics={}, now_ms=now_ms), verify=False
        )
        examples = run.examples(draft)
        learned = learn(examples, config.fit.seed, lambda done, total: tell("ranker", done, total))
        ranker = learned.params
        complete = run.build(Path(scratch), fitted, run.early, ranker=ranker, metrics={}, now_ms=now_ms)
        judged = run.judge(open_release(complete, verify=False), live)
    last = run.train_on(fitted)
    metrics = run.metrics(fitted, examples, judged)
    directory = run.build(out_dir, last, run.everything, ranker=ranker, metrics=metrics, now_ms=now_ms)
    run.check(directory, last)
    return Trained(directory, metrics)


class _Judged(NamedTuple):
    new: Quality
    live: Quality | None
    comparison: dict[str, float] | None


class _Run:
    """One run: what is shared between its steps."""

    def __init__(self, material: Material, config: TrainConfig, tell: Tell) -> None:
        self._material = material
        self._config = config
        self._tell = tell
        table = material.table
        self._weight_of = weight_of(material.rules.types)
        if not len(table):
            raise TrainError("no event of the archive names an item of the catalogue: nothing can be learned")
        if config.holdout_from_s is not None:
            self.holdout_s = config.holdout_from_s
        else:
            newest = min(int(len(table) * config.holdout_share) + 1, HOLDOUT_LINES_MAX)
            self.holdout_s = int(table.times_s[-newest])
        self.early = sequences_of(table.before(self.holdout_s), self._weight_of)
        self.held_out = sequences_of(table, self._weight_of, from_s=self.holdout_s)
        self.everything = sequences_of(table, self._weight_of)
        targets = int((self.early.counts & (self.early.known > 0)).sum())
        if targets < TARGETS_MIN:
            raise TrainError(
                f"{targets} events before the held-out part follow another event of the same subject, and "
                f"{TARGETS_MIN} is the least to learn from; the day-0 release serves better until then"
            )
        self.shape = NetworkShape(len(material.items), config.d, config.gammas, config.hidden)

    def fit(self, checkpoint_dir: Path | None) -> Fitted:
        """2. of the module."""
        checkpoints = None
        if checkpoint_dir is not None:
            checkpoints = Checkpoints(checkpoint_dir, self._identity())

        def told(progress: Told) -> None:
            last = progress.last
            note = f"epoch {last.number + 1}: held-out NDCG@10 {last.ndcg:.4f}" if last else ""
            self._tell("network", progress.step, progress.steps, note)

        fitted = fit(
            self.early, self.held_out, self.shape, self._config.fit, checkpoints=checkpoints, tell=told
        )
        if checkpoints is not None:
            checkpoints.clear()
        return fitted

    def _identity(self) -> str:
        table = self._material.table
        return repr((self._config, self.shape, len(table), int(table.items.sum()), int(table.times_s.sum())))

    def build(
        self,
        out_dir: Path,
        fitted: Fitted,
        sequences: Sequences,
        *,
        ranker: Mapping[str, NDArray[Any]] | None,
        metrics: Mapping[str, Any],
        now_ms: int,
    ) -> Path:
        """A release of these parts."""
        params = {name: np.asarray(value) for name, value in fitted.params.items()}
        weights = self._material.rules.types.weights()
        parts = Parts(self._material.items, params, self._config.gammas, sequences, weights, ranker, metrics)
        return build_trained(parts, out_dir, now_ms)

    def examples(self, draft: Release) -> Examples:
        """3. of the module."""
        world = World.of(draft, self._material.items)
        expected = min(self._questions(), EXAMPLES_MAX)
        examples = Examples(world, Tables.open(draft), expected, self._config.fit.seed)
        share = min(1.0, EXAMPLES_MAX / max(1, self._questions()))
        generator = np.random.default_rng(self._config.fit.seed)
        self._replay("examples", world, examples.ask, lambda _: generator.random() < share)
        if not examples.features or all(examples.judged) or not any(examples.judged):
            raise TrainError(
                f"the held-out part has {len(examples.features)} events whose item is a candidate, too few "
                "to learn a ranking from; hold out more, or wait for more events"
            )
        return examples

    def _questions(self) -> int:
        return int((self.held_out.counts & (self.held_out.known > 0)).sum())

    def _replay(
        self, stage: str, world: World, ask: Callable[[Asked], None], chosen: Callable[[Any], bool]
    ) -> None:
        table = self._material.table
        begin = max(0, int(np.searchsorted(table.times_s, self.holdout_s)) - WARM_EVENTS_MAX)
        replay(
            world,
            table.take(slice(begin, None)),
            self.holdout_s,
            self._material.rules,
            ask,
            frozen=self._config.frozen,
            chosen=chosen,
            tell=lambda done, total: self._tell(stage, done, total),
        )

    def judge(self, draft: Release, live: Release | None) -> _Judged:
        """4. of the module. Raises GateError.

        What the live release was trained on is no question for it: only what came after counts.
        """
        share = min(1.0, JUDGED_MAX / max(1.0, self._questions() * JUDGED_SHARE))
        seed = self._config.fit.seed
        since_s = max(self.holdout_s, trained_until_s(live) + 1 if live is not None else 0)

        def quality(release: Release) -> Quality:
            generator = np.random.default_rng(seed)  # the same questions for both
            found = judge(World.of(release, self._material.items))
            self._replay(
                "gate",
                found.world,
                found.ask,
                lambda record: (
                    record.time_s >= since_s and is_judged(record.subject) and generator.random() < share
                ),
            )
            return found

        new = quality(draft)
        before = quality(live) if live is not None else None
        comparison = None
        if before is not None:
            comparison = check_quality(np.array(new.gains), np.array(before.gains), seed)
        return _Judged(new, before, comparison)

    def train_on(self, fitted: Fitted) -> Fitted:
        """5. of the module."""
        config = self._config
        if not config.last_epochs:
            return fitted
        rate = config.fit.learning_rate * LAST_RATE_SHARE
        last = FitConfig(
            epochs=config.last_epochs,
            examples=config.fit.examples,
            learning_rate=rate,
            weight_decay=config.fit.weight_decay,
            dropout=config.fit.dropout,
            seed=config.fit.seed + 1,
        )

        def told(progress: Told) -> None:
            self._tell("newest", progress.step, progress.steps)

        return fit(self.everything, None, self.shape, last, start=fitted.params, tell=told)

    def metrics(self, fitted: Fitted, examples: Examples, judged: _Judged) -> dict[str, Any]:
        """`metrics.json`: what was trained on what, and what it showed."""
        table = self._material.table
        return {
            "trained_until_s": int(table.times_s[-1]),
            "held_out_from_s": self.holdout_s,
            "lines": len(table),
            "dropped_lines": self._material.dropped_lines,
            "items": len(self._material.items),
            "subjects": len(self.everything.subjects),
            "epochs": [epoch._asdict() for epoch in fitted.epochs],
            "ranker_examples": len(examples.features),
            "ranker_missed": examples.missed,
            "held_out": judged.new.figures(),
            "live": judged.live.figures() if judged.live is not None else None,
            "comparison": judged.comparison,
        }

    def check(self, directory: Path, fitted: Fitted) -> dict[str, float]:
        """6. of the module. Raises GateError."""
        world = World.of(open_release(directory), self._material.items)
        params = {name: np.asarray(value) for name, value in fitted.params.items()}
        # Untrained items stand in the release with what their metadata says, or with nothing.
        params["items"] = world.release.item_vectors
        return check_outputs(world.model, params, self._profiles(world))

    def _profiles(self, world: World) -> list[Profile]:
        table = self._material.table
        subjects = np.unique(table.subjects)
        generator = np.random.default_rng(self._config.fit.seed)
        chosen = generator.choice(subjects, min(1000, len(subjects)), replace=False)
        few = table.take(np.isin(table.subjects, chosen))
        profiles = Profiles(few, world.release, self._material.rules)
        for record in records_of(few):
            profiles.apply(record, profiles.change_of(record))
        found = (profiles.get(subject) for subject in chosen.tolist())
        return [profile for profile in found if profile is not None]
