"""Training the network: steps, epochs, early stopping, checkpoints.

1. A step takes a batch and, above SAMPLED_ABOVE items, a sample of rivals for its targets, drawn without
   regard to the batch, each corrected by its chance to be there.
2. Only the rows of the item table that batch and rivals hold are read, differentiated and written, moments
   too: the cost of a step does not depend on the size of the catalogue.
3. After each epoch the held-out examples are ranked; the best parameters are kept; training ends when they
   have not become better for PATIENCE epochs, or when the schedule ends.

Memory: about (12 d + 8) bytes an item, 24 bytes an event line, 40 MB for a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from services.trainer.checkpoints import Checkpoints
from services.trainer.network import (
    NetworkShape,
    Params,
    Rivals,
    first_params,
    loss,
    means_after,
    unit,
    users_of,
)
from services.trainer.sequences import Batch, BatchMaker, Sequences

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]

SAMPLED_ABOVE: Final = 10_000  # items; the full softmax of more costs more than all the rest of a step
RIVALS_DRAWN: Final = 8192  # with repeats; twice as many find no better network and take 1.5 times as long
RIVALS_ROUND: Final = 1024  # rivals and rows come in multiples, since each size compiles once: seconds
SAMPLE_ROUND: Final = 8192
# Half of the draws are even, half go by how often an item is wanted, to this power.
UNIFORM_SHARE: Final = 0.5
FLATTENING: Final = 0.75
WARM_UP_SHARE: Final = 0.05  # of all steps, in which the learning rate rises
LAST_RATE_SHARE: Final = 0.02
VALIDATION_MAX: Final = 20_000  # held-out examples that are ranked after an epoch, at most
RANKED_AT_ONCE: Final = 512
PATIENCE: Final = 3  # epochs without a better score
CUT_OFF: Final = 10  # NDCG@10 decides


@dataclass(frozen=True)
class FitConfig:
    """How to train. `examples` is how many targets a step has, `learning_rate` that of Adam at its peak."""

    epochs: int = 10
    examples: int = 4096
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    dropout: float = 0.2
    seed: int = 1


class Epoch(NamedTuple):
    """What an epoch came to: mean loss of its steps; NDCG@10 and HR@10 of the held-out examples."""

    number: int
    loss: float
    ndcg: float
    hit_rate: float


class Told(NamedTuple):
    """How far training is."""

    step: int
    steps: int
    last: Epoch | None


class Fitted(NamedTuple):
    """The best parameters and how they came to be."""

    params: Params
    epochs: list[Epoch]


class _State(NamedTuple):
    params: Params
    dense: Any  # optimizer state of all but the item table
    sparse: Any  # optimizer state of the item table; its moments are shaped like the table


def fit(
    train: Sequences,
    held_out: Sequences | None,
    shape: NetworkShape,
    config: FitConfig,
    *,
    start: Params | None = None,
    checkpoints: Checkpoints | None = None,
    tell: Callable[[Told], None] = lambda _: None,
) -> Fitted:
    """Train from `start` (fresh parameters where None); deterministic for one seed, machine and data."""
    batches = BatchMaker(train, config.examples, config.seed)
    steps = len(batches)
    trainer = _Trainer(shape, config, steps * config.epochs, _frequencies(train, shape.items))
    state = trainer.begin(start if start is not None else first_params(shape, config.seed))
    best, history, first = state.params, list[Epoch](), 0
    if checkpoints is not None and (found := checkpoints.load(state, best)) is not None:
        state, best, first, rows = found
        history = [Epoch(*row) for row in rows]
    examples = _examples(held_out) if held_out is not None else None
    for number in range(first, config.epochs):
        if _is_over(history):
            break
        losses = []
        for at, batch in enumerate(batches.epoch(number)):
            state, missed = trainer.step(state, batch, number * steps + at)
            losses.append(missed)
            tell(Told(number * steps + at + 1, steps * config.epochs, history[-1] if history else None))
        ndcg, hit_rate = (
            _score(state.params, examples, shape) if examples is not None else (float(number), 0.0)
        )
        history.append(Epoch(number, float(np.mean([float(one) for one in losses])), ndcg, hit_rate))
        if ndcg >= max(epoch.ndcg for epoch in history):
            best = jax.tree.map(jnp.copy, state.params)
        if checkpoints is not None:
            checkpoints.save(state, best, number + 1, [tuple(epoch) for epoch in history])
    return Fitted(best, history)


def _is_over(history: list[Epoch]) -> bool:
    if len(history) <= PATIENCE:
        return False
    before = max(epoch.ndcg for epoch in history[:-PATIENCE])
    return all(epoch.ndcg <= before for epoch in history[-PATIENCE:])


class _Sample(NamedTuple):
    """A batch whose items and targets are places in `ids` i32[c] (rising, padded with the item count), the
    rivals likewise, and each target's place among the rivals.
    """

    batch: Batch
    ids: IntArray
    rivals: Rivals
    rival_of: IntArray


class _Trainer:
    """Compiled steps, one for each shape of batch."""

    def __init__(
        self, shape: NetworkShape, config: FitConfig, steps: int, frequencies: NDArray[np.float64]
    ) -> None:
        self._shape = shape
        self._config = config
        chances = UNIFORM_SHARE / shape.items + (1 - UNIFORM_SHARE) * frequencies
        self._chances = chances
        self._cumulated = np.cumsum(chances)[:-1]  # the last item takes what rounding leaves
        self._sampled = shape.items > SAMPLED_ABOVE
        rate = optax.warmup_cosine_decay_schedule(
            0.0,
            config.learning_rate,
            max(1, int(steps * WARM_UP_SHARE)),
            max(2, steps),
            config.learning_rate * LAST_RATE_SHARE,
        )
        self._optimizer = optax.adamw(rate, weight_decay=config.weight_decay)
        # A random number generator that is fast on CPUs; dropout needs no better one.
        self._key = jax.random.key(config.seed, impl="unsafe_rbg")
        self._step = jax.jit(self._traced, donate_argnums=(0,))

    def begin(self, params: Params) -> _State:
        """The state before the first step."""
        copied = {name: jnp.array(value) for name, value in params.items()}
        rest = {name: value for name, value in copied.items() if name != "items"}
        return _State(copied, self._optimizer.init(rest), self._optimizer.init(copied["items"]))

    def step(self, state: _State, batch: Batch, number: int) -> tuple[_State, Any]:
        """One step; answers the state after it and its loss. The state before it is used up."""
        sample = self._sample(batch, number)
        after: tuple[_State, Any] = self._step(state, sample, jax.random.fold_in(self._key, number))
        return after

    def _sample(self, batch: Batch, number: int) -> _Sample:
        n = self._shape.items
        if not self._sampled:
            every = np.arange(n, dtype=np.int32)
            return _Sample(batch, every, Rivals(every, np.zeros(n, np.float32)), batch.target)
        generator = np.random.default_rng((self._config.seed, number))
        drawn = np.unique(np.searchsorted(self._cumulated, generator.random(RIVALS_DRAWN)))
        # Its size varies a little; what is beyond the round number is left out, all alike.
        size = len(drawn) // RIVALS_ROUND * RIVALS_ROUND
        rivals = np.sort(generator.choice(drawn, size, replace=False))
        chance = -np.expm1(RIVALS_DRAWN * np.log1p(-self._chances[rivals])) * (size / len(drawn))
        own = np.unique(np.concatenate([batch.items.ravel(), batch.target, rivals]))
        ids = np.full(-(-len(own) // SAMPLE_ROUND) * SAMPLE_ROUND, n, dtype=np.int32)
        ids[: len(own)] = own
        place = np.minimum(np.searchsorted(rivals, batch.target), size - 1)
        rival_of = np.where(rivals[place] == batch.target, place, -1).astype(np.int32)
        local = batch._replace(
            items=np.searchsorted(own, batch.items).astype(np.int32),
            target=np.searchsorted(own, batch.target).astype(np.int32),
        )
        among = np.searchsorted(own, rivals).astype(np.int32)
        return _Sample(local, ids, Rivals(among, np.log(chance).astype(np.float32)), rival_of)

    def _traced(self, state: _State, sample: _Sample, key: Any) -> tuple[_State, Any]:
        params = state.params
        rest = {name: value for name, value in params.items() if name != "items"}

        def missed(rows: Any, others: Params) -> Any:
            return loss(
                others,
                rows,
                sample.batch,
                sample.rivals,
                sample.rival_of,
                shape=self._shape,
                dropout=self._config.dropout,
                key=key,
            )

        rows = params["items"].at[sample.ids].get(mode="fill", fill_value=0.0)
        value, (by_rows, by_rest) = jax.value_and_grad(missed, argnums=(0, 1))(rows, rest)
        changes, dense = self._optimizer.update(by_rest, state.dense, rest)
        table, sparse = self._update_rows(params["items"], state.sparse, sample.ids, rows, by_rows)
        return _State({**optax.apply_updates(rest, changes), "items": table}, dense, sparse), value

    def _update_rows(self, table: Any, moments: Any, ids: Any, rows: Any, by_rows: Any) -> tuple[Any, Any]:
        """Adam on the rows `ids` alone; those that are not in the sample keep value and moments."""
        few = jax.tree.map(
            lambda leaf: leaf.at[ids].get(mode="fill", fill_value=0.0) if leaf.ndim == 2 else leaf, moments
        )
        changes, few = self._optimizer.update(by_rows, few, rows)
        write = partial(_write, ids=ids)
        return write(table, optax.apply_updates(rows, changes)), jax.tree.map(write, moments, few)


def _write(whole: Any, few: Any, *, ids: Any) -> Any:
    if whole.ndim != 2:
        return few
    return whole.at[ids].set(few, mode="drop", indices_are_sorted=True)


def _frequencies(train: Sequences, items: int) -> NDArray[np.float64]:
    """How often each item should be drawn: flatter than how often it is wanted, f64[items], sum 1."""
    counts = np.bincount(train.items, minlength=items).astype(np.float64) ** FLATTENING
    chances: NDArray[np.float64] = counts / max(1.0, counts.sum())
    return chances


def _examples(held_out: Sequences) -> list[Batch]:
    """Up to VALIDATION_MAX held-out examples, the same in each epoch."""
    batches: list[Batch] = []
    count = 0.0
    for batch in BatchMaker(held_out, RANKED_AT_ONCE, seed=0).epoch(0):
        batches.append(batch)
        count += float(batch.share.sum())
        if count >= VALIDATION_MAX:
            break
    return batches


def _score(params: Params, examples: list[Batch], shape: NetworkShape) -> tuple[float, float]:
    """(NDCG@10, HR@10) of the held-out examples among all items, by the network alone."""
    items = unit(params["items"])
    gains, hits, count = 0.0, 0.0, 0.0
    for batch in examples:
        gain, hit = _rank_batch(params, items, batch, shape)
        gains, hits, count = gains + float(gain), hits + float(hit), count + float(batch.share.sum())
    return gains / max(count, 1.0), hits / max(count, 1.0)


@partial(jax.jit, static_argnames="shape")
def _rank_batch(params: Params, items: Any, batch: Batch, shape: NetworkShape) -> tuple[Any, Any]:
    means = means_after(items[batch.items], batch.weights, shape.gammas)
    users = users_of(params, means[batch.known - 1, batch.row])
    scores = users @ items.T
    rank = (scores > jnp.take_along_axis(scores, batch.target[:, None], axis=1)).sum(axis=1)
    inside = (rank < CUT_OFF) * batch.share
    return (inside / jnp.log2(rank + 2.0)).sum(), inside.sum()
