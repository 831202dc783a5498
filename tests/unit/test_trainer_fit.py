"""Fitting: the same seed gives the same numbers, also after a crash; a sample of rivals; when to stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.kernel.change import weight_of
from services.kernel.event_type import EventTypes
from services.trainer import fit as fitting
from services.trainer.checkpoints import Checkpoints
from services.trainer.fit import Epoch, FitConfig, Fitted, Told, fit
from services.trainer.network import NetworkShape
from services.trainer.sequences import sequences_of
from tests.unit.trainer_events import CIRCLE, CIRCLES, walks

SHAPE = NetworkShape(CIRCLES * CIRCLE, 8, (0.0, 0.8, 1.0), 8)
CONFIG = FitConfig(epochs=3, examples=256, learning_rate=0.02)
TRAIN = sequences_of(walks(80, seed=1), weight_of(EventTypes()))
HELD_OUT = sequences_of(walks(30, seed=2), weight_of(EventTypes()))


@pytest.fixture(scope="module")
def whole() -> tuple[Fitted, list[Told]]:
    """An undisturbed run, and what it told."""
    steps: list[Told] = []
    return fit(TRAIN, HELD_OUT, SHAPE, CONFIG, tell=steps.append), steps


class KilledError(Exception):
    """As a SIGKILL would."""


def test_a_killed_run_goes_on_at_its_last_epoch_and_ends_as_an_undisturbed_one(
    tmp_path: Path, whole: tuple[Fitted, list[Told]]
) -> None:
    undisturbed, steps = whole
    kill_at = steps[-1].steps * 2 // 3 + 1  # in the last epoch

    def killing(told: Told) -> None:
        if told.step == kill_at:
            raise KilledError

    with pytest.raises(KilledError):
        fit(TRAIN, HELD_OUT, SHAPE, CONFIG, checkpoints=Checkpoints(tmp_path, "run"), tell=killing)
    resumed: list[Told] = []
    again = fit(TRAIN, HELD_OUT, SHAPE, CONFIG, checkpoints=Checkpoints(tmp_path, "run"), tell=resumed.append)
    assert resumed[0].step == steps[-1].steps * 2 // 3 + 1
    assert again.epochs == undisturbed.epochs
    for name, value in undisturbed.params.items():
        np.testing.assert_array_equal(np.asarray(again.params[name]), np.asarray(value))


def test_a_checkpoint_of_another_run_or_half_a_file_is_not_gone_on_from(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "run")
    state = {"a": np.arange(3, dtype=np.float32)}
    checkpoints.save(state, state, 2, [(0, 1.0, 0.5, 0.5)])
    found = checkpoints.load(state, state)
    assert found is not None
    assert found[2:] == (2, [(0, 1.0, 0.5, 0.5)])
    assert Checkpoints(tmp_path, "another").load(state, state) is None
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-40])
    assert checkpoints.load(state, state) is None
    checkpoints.clear()
    assert checkpoints.load(state, state) is None


def test_a_sample_of_rivals_learns_as_much(
    monkeypatch: pytest.MonkeyPatch, whole: tuple[Fitted, list[Told]]
) -> None:
    monkeypatch.setattr(fitting, "SAMPLED_ABOVE", 10)
    monkeypatch.setattr(fitting, "RIVALS_DRAWN", 60)
    monkeypatch.setattr(fitting, "RIVALS_ROUND", 8)
    monkeypatch.setattr(fitting, "SAMPLE_ROUND", 8)
    sampled = fit(TRAIN, HELD_OUT, SHAPE, CONFIG)
    assert sampled.epochs[-1].ndcg > 0.8 * whole[0].epochs[-1].ndcg > 0.12  # chance: .06


def test_it_stops_when_nothing_gets_better() -> None:
    better = [Epoch(number, 1.0, ndcg, 0.0) for number, ndcg in enumerate((0.1, 0.3, 0.2, 0.25))]
    assert not fitting._is_over(better)
    assert fitting._is_over([*better, Epoch(4, 1.0, 0.3, 0.0)])
    assert not fitting._is_over([*better, Epoch(4, 1.0, 0.31, 0.0)])
