"""A whole run on a small catalogue: what it learns, what it ships, and what it refuses to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.kernel.bank import DEFAULT_GAMMAS
from services.kernel.event_type import EventTypes
from services.kernel.release import ReleaseError
from services.ranking.model import OnnxModel
from services.ranking.probe import require_sound
from services.release.files import Release, open_release
from services.trainer.day0 import build_day0
from services.trainer.evaluate import trained_until_s
from services.trainer.fit import FitConfig
from services.trainer.gate import GateError, check_outputs, check_quality
from services.trainer.network import NetworkShape, first_params
from services.trainer.replay import Profiles, ReplayRules, records_of
from services.trainer.train import (
    Material,
    TrainConfig,
    Trained,
    TrainError,
    material_of,
    train,
)
from tests.unit.trainer_events import START_S, circle_items, table_of, walks

RULES = ReplayRules(EventTypes())
CONFIG = TrainConfig(d=16, hidden=32, fit=FitConfig(epochs=6, examples=512, learning_rate=0.01))


@pytest.fixture(scope="module")
def material() -> Material:
    return material_of(walks(400, seed=1), circle_items(), RULES)


@pytest.fixture(scope="module")
def day0(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return open_release(build_day0(circle_items(), tmp_path_factory.mktemp("day0"), d=16))


@pytest.fixture(scope="module")
def trained(material: Material, day0: Release, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(material, CONFIG, tmp_path_factory.mktemp("trained"), 1, live=day0)


def test_it_learns_what_is_there_and_beats_day_0(trained: Trained) -> None:
    held_out, live = trained.metrics["held_out"], trained.metrics["live"]
    assert held_out["questions"] == live["questions"] > 200
    assert held_out["mrr_at_10"] > 0.6  # four times of five the next item is the next of its circle
    assert held_out["ndcg_at_10"] > live["ndcg_at_10"] + 0.05


def test_the_release_is_whole_and_sound(trained: Trained, material: Material) -> None:
    release = open_release(trained.directory)
    assert release.manifest.kind == "trained"
    assert set(release.manifest.graphs) == {"model", "ranker"}
    require_sound(OnnxModel(release, warm=False))
    assert trained_until_s(release) == material.table.times_s[-1]
    np.testing.assert_allclose(np.linalg.norm(release.item_vectors, axis=1), 1.0, rtol=1e-5)


def test_a_new_item_gets_a_vector_near_those_that_share_its_metadata(trained: Trained) -> None:
    release = open_release(trained.directory)
    assert release.encoder is not None
    new = circle_items()[0]
    vector = release.encoder.vector(new)
    assert vector is not None
    near = np.argsort(-(release.item_vectors @ vector))[:6]
    assert (near < 12).mean() > 0.6  # of its own circle


def test_a_graph_that_differs_from_the_trainer_is_refused(trained: Trained, material: Material) -> None:
    release = open_release(trained.directory)
    other = first_params(NetworkShape(len(material.items), 16, DEFAULT_GAMMAS, 32), seed=9)
    profiles = Profiles(material.table, release, RULES)
    for record in records_of(material.table):
        profiles.apply(record, profiles.change_of(record))
    held = [found for subject in range(50) if (found := profiles.get(subject)) is not None]
    with pytest.raises(GateError, match="differs from the trainer"):
        check_outputs(OnnxModel(release), {name: np.asarray(value) for name, value in other.items()}, held)


def test_a_release_that_ranks_worse_is_refused() -> None:
    generator = np.random.default_rng(1)
    live = generator.random(1000)
    with pytest.raises(GateError, match="ranks worse than the live one"):
        check_quality(live * 0.94, live, seed=1)
    with pytest.raises(GateError, match="ranks worse than the live one"):
        check_quality(live - 0.01, live, seed=1)  # a little, and surely
    check_quality(live + generator.normal(-0.001, 0.3, 1000), live, seed=1)  # a little, perhaps
    with pytest.raises(GateError, match="50 is the least"):
        check_quality(live[:49], live[:49], seed=1)
    found = check_quality(live * 1.01, live, seed=1)
    assert found["low"] > 0
    assert found["questions"] == 1000


def test_too_little_to_learn_from_says_what_is_missing(tmp_path: Path) -> None:
    few = material_of(table_of([(0, 1, START_S), (0, 2, START_S + 9)], 3), None, RULES)
    with pytest.raises(TrainError, match="500 is the least to learn from"):
        train(few, CONFIG, tmp_path, 1)
    nothing = material_of(walks(3, seed=1), [], RULES)
    assert nothing.dropped_lines == 48
    with pytest.raises(ReleaseError, match="nothing can be learned"):
        train(nothing, CONFIG, tmp_path, 1)
