"""Training the ranker: which of the candidates came next, from the features that serve.

The loss of an example is the softmax cross-entropy over its candidates, the wanted ones sharing the target.
Examples without a wanted candidate teach nothing and are left out; how many there were is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from services.ranking.features import FEATURES
from services.ranking.gather import gather
from services.ranking.question import Question
from services.ranking.state import RankRequest
from services.ranking.transitions import Tables
from services.trainer.world import Asked, World

FloatArray = NDArray[np.float32]
Params = dict[str, Any]

# Rows of features that are kept, 84 bytes each and twice while learning: 0.8 GB. All candidates of an example
# where that is enough, else the wanted ones and an even draw of the others: whatever else chooses them (the
# network's best, say) teaches the ranker to mistrust what chose.
ROWS_MAX: Final = 5_000_000
CANDIDATES_MIN: Final = 100
EXAMPLES_MAX: Final = 24_000
HIDDEN: Final = 32
EPOCHS: Final = 30
BATCH: Final = 256
LEARNING_RATE: Final = 3e-3
WEIGHT_DECAY: Final = 1e-3
JUDGED_SHARE: Final = 0.25  # of the subjects, held out: they choose the epoch
CUT_OFF: Final = 10
SPREAD_MIN: Final = 1e-3  # a feature that never varies must not blow up


class Examples:
    """Collects examples while a replay asks; `expected` is how many there will be, about."""

    def __init__(self, world: World, tables: Tables, expected: int, seed: int) -> None:
        self._world = world
        self._tables = tables
        self._most = max(CANDIDATES_MIN, ROWS_MAX // max(1, expected))
        self._generator = np.random.default_rng(seed)
        self.features: list[FloatArray] = []
        self.wanted: list[NDArray[np.bool_]] = []
        self.judged: list[bool] = []
        self.missed = 0

    def ask(self, asked: Asked) -> None:
        """Take one question in."""
        catalogue = self._world.catalogue
        answer = self._world.answer(asked.profile, asked.now_ms)
        request = RankRequest(asked.now_ms, asked.state.scenarios["for_you"])
        question = Question(asked.state, asked.profile, request, answer, self._tables)
        rows = gather(question, question.scenario.sources).rows
        if question.ranked is None:  # the model knows nothing of this profile
            self.missed += 1
            return
        aims = {catalogue.row_of(item_id) for item_id in asked.wanted}
        wanted = np.array([row in aims for row in rows.tolist()], dtype=np.bool_)
        if not wanted.any():
            self.missed += 1
            return
        kept = self._kept(wanted)
        self.features.append(question.ranked.features(rows)[kept])
        self.wanted.append(wanted[kept])
        self.judged.append(is_judged(asked.record.subject))

    def _kept(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which candidates of an example are learned from."""
        if len(wanted) <= self._most:
            return np.ones(len(wanted), dtype=np.bool_)
        kept = wanted.copy()
        others = np.flatnonzero(~wanted)
        room = max(0, self._most - int(wanted.sum()))
        kept[self._generator.choice(others, min(room, len(others)), replace=False)] = True
        return kept


def is_judged(subject: int) -> bool:
    """Whether a subject's examples are held out; a hash, so that neighbours in a table are mixed."""
    return (subject * 2_654_435_761 % 2**32) / 2**32 < JUDGED_SHARE


class Learned(NamedTuple):
    """The ranker's parameters, and NDCG@10 among the candidates of held-out examples by epoch."""

    params: Params
    ndcg: list[float]


def learn(examples: Examples, seed: int, tell: Callable[[int, int], None]) -> Learned:
    """Train on the examples whose subjects are not held out. Deterministic for one seed and machine."""
    width = max(len(one) for one in examples.features)
    judged = np.array(examples.judged)
    features = np.zeros((len(judged), width, len(FEATURES)), dtype=np.float32)
    wanted = np.zeros((len(judged), width), dtype=np.float32)
    there = np.zeros((len(judged), width), dtype=np.bool_)
    for place, (rows, aims) in enumerate(zip(examples.features, examples.wanted, strict=True)):
        features[place, : len(rows)], wanted[place, : len(rows)] = rows, aims
        there[place, : len(rows)] = True
    wanted /= wanted.sum(axis=1, keepdims=True)
    train, held = np.flatnonzero(~judged), np.flatnonzero(judged)
    params = _first(features[train][there[train]], seed)
    steps = max(1, len(train) // BATCH)
    rate = optax.cosine_decay_schedule(LEARNING_RATE, EPOCHS * steps)
    optimizer = optax.adamw(rate, weight_decay=WEIGHT_DECAY)
    fixed = {name: params.pop(name) for name in ("mean", "spread")}

    def loss(learned: Params, x: Any, aim: Any, real: Any) -> Any:
        logits = jnp.where(real, scores_of({**learned, **fixed}, x), -1e9)
        return -(aim * jax.nn.log_softmax(logits, axis=-1)).sum(axis=-1).mean()

    @jax.jit
    def step(learned: Params, state: Any, x: Any, aim: Any, real: Any) -> tuple[Params, Any]:
        gradient = jax.grad(loss)(learned, x, aim, real)
        change, state = optimizer.update(gradient, state, learned)
        return optax.apply_updates(learned, change), state

    state, best, scores = optimizer.init(params), params, list[float]()
    generator = np.random.default_rng(seed)
    for epoch in range(EPOCHS):
        order = generator.permutation(train)
        for at in range(steps):
            chosen = order[at * BATCH : (at + 1) * BATCH]
            params, state = step(params, state, features[chosen], wanted[chosen], there[chosen])
        scores.append(_ndcg({**params, **fixed}, features[held], wanted[held], there[held]))
        if scores[-1] >= max(scores):
            best = params
        tell(epoch + 1, EPOCHS)
    return Learned({**best, **fixed}, scores)


def scores_of(params: Params, features: Any) -> Any:
    """f32[…] of `features` f32[…, F]: what `ranker.onnx` computes."""
    x = (features - params["mean"]) / params["spread"]
    hidden = jax.nn.silu(x @ params["w1"] + params["b1"])
    hidden = jax.nn.silu(hidden @ params["w2"] + params["b2"])
    return (hidden @ params["w3"] + x @ params["linear"])[..., 0]


def _first(rows: FloatArray, seed: int) -> Params:
    generator = np.random.default_rng(seed)
    width = rows.shape[1]

    def normal(size: tuple[int, int]) -> Any:
        return jnp.asarray(generator.standard_normal(size) * np.sqrt(1 / size[0]), jnp.float32)

    return {
        "mean": jnp.asarray(rows.mean(axis=0)),
        "spread": jnp.asarray(np.maximum(rows.std(axis=0), SPREAD_MIN)),
        "w1": normal((width, HIDDEN)),
        "b1": jnp.zeros(HIDDEN),
        "w2": normal((HIDDEN, HIDDEN)),
        "b2": jnp.zeros(HIDDEN),
        "w3": 0.1 * normal((HIDDEN, 1)),
        "linear": 0.1 * normal((width, 1)),
    }


def _ndcg(params: Params, features: FloatArray, wanted: FloatArray, there: NDArray[np.bool_]) -> float:
    gains = []
    for start in range(0, len(features), BATCH):
        part = slice(start, start + BATCH)
        scores = np.where(there[part], np.asarray(scores_of(params, features[part])), -np.inf)
        order = np.argsort(-scores, axis=1)[:, :CUT_OFF]
        hits = np.take_along_axis(wanted[part] > 0, order, axis=1)
        ideal = np.minimum((wanted[part] > 0).sum(axis=1), CUT_OFF)
        discounts = 1 / np.log2(np.arange(2, CUT_OFF + 2))
        gains.append((hits * discounts[: hits.shape[1]]).sum(axis=1) / np.cumsum(discounts)[ideal - 1])
    return float(np.concatenate(gains).mean()) if gains else 0.0
