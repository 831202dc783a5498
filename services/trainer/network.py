"""The retrieval network: decayed averages of item vectors → MLP → a user in the items' space.

    m_k = S_k / max(W_k, tiny)             S, W as the profiler keeps them, of unit item vectors
    x   = LN(concat_k(m_k) · √d)
    u   = LN(MLP(x) + V x)
    score(user, item) = τ · cos(u, e_item)

Input and output vectors are the same (tied) and of length 1; τ is learned. Everything is a pure function of a
plain dict of arrays, so that the exported graph needs no part of this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Params = dict[str, Any]  # name → f32 array
Array = Any

TINY: Final = 1e-12  # as in the graph: an empty bank gives zeros, never NaN
LN_EPSILON: Final = 1e-5
PIECE: Final = 256  # users whose logits are worked on at once: a few MB at 4,000 items
FIRST_TEMPERATURE: Final = 12.0  # near where runs end; the first epochs are faster for it


class NetworkShape(NamedTuple):
    """What parameters there are. `hidden` is the width of the MLP's two hidden layers."""

    items: int
    d: int
    gammas: tuple[float, ...]
    hidden: int

    @property
    def inputs(self) -> int:
        """Width of x."""
        return self.d * len(self.gammas)


def first_params(shape: NetworkShape, seed: int) -> Params:
    """Fresh parameters."""
    generator = np.random.default_rng(seed)

    def normal(rows: int, columns: int, scale: float) -> Array:
        return (generator.standard_normal((rows, columns)) * scale).astype(np.float32)

    params = {
        "items": normal(shape.items, shape.d, 1 / np.sqrt(shape.d)),
        "in_gain": np.ones(shape.inputs, np.float32),
        "in_bias": np.zeros(shape.inputs, np.float32),
        "w1": normal(shape.inputs, shape.hidden, np.sqrt(2 / shape.inputs)),
        "b1": np.zeros(shape.hidden, np.float32),
        "w2": normal(shape.hidden, shape.hidden, np.sqrt(2 / shape.hidden)),
        "b2": np.zeros(shape.hidden, np.float32),
        "w3": normal(shape.hidden, shape.d, 0.5 * np.sqrt(1 / shape.hidden)),
        "skip": normal(shape.inputs, shape.d, np.sqrt(1 / shape.inputs)),
        "b3": np.zeros(shape.d, np.float32),
        "out_gain": np.ones(shape.d, np.float32),
        "out_bias": np.zeros(shape.d, np.float32),
        "log_temperature": np.log(np.float32(FIRST_TEMPERATURE)),
    }
    return {name: jnp.asarray(value) for name, value in params.items()}


def unit(rows: Array) -> Array:
    """Rows made as long as 1."""
    return rows / jnp.maximum(jnp.linalg.norm(rows, axis=-1, keepdims=True), TINY)


def means_after(vectors: Array, weights: Array, gammas: tuple[float, ...]) -> Array:
    """m_k after each line: f32[T, B, K, d] of unit `vectors` f32[B, T, d] and `weights` f32[B, T].

    A scan: the recurrence that serves (`services.kernel.bank.add_newest`), no T × T matrix.
    """
    gamma = jnp.asarray(gammas, jnp.float32)
    added = jnp.swapaxes(vectors * weights[..., None], 0, 1)
    heavy = jnp.swapaxes(jnp.abs(weights), 0, 1)
    rows, d = vectors.shape[0], vectors.shape[2]

    def step(carry: tuple[Array, Array], line: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        sums, total = carry
        sums = sums * gamma[:, None] + line[0][:, None, :]
        total = total * gamma + line[1][:, None]
        return (sums, total), sums / jnp.maximum(total, TINY)[..., None]

    empty = jnp.zeros((rows, len(gammas), d)), jnp.zeros((rows, len(gammas)))
    _, means = jax.lax.scan(step, empty, (added, heavy))
    return means


def layer_norm(x: Array, gain: Array, bias: Array) -> Array:
    """`x` f32[n, m] normalised over its last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + LN_EPSILON) * gain + bias


@jax.custom_vjp
def product(x: Array, w: Array) -> Array:
    """x f32[n, m] · w f32[m, k] with bf16 factors and f32 sums.

    Several times faster where the processor multiplies bf16 (AMX, GPUs), and no slower elsewhere.
    """
    return _bf16_product(x, w, 0)


def _bf16_product(x: Array, w: Array, axis: int) -> Array:
    """x · w (`axis` 0) or x · wᵀ (`axis` 1), without a transposed copy."""
    return jax.lax.dot_general(
        x.astype(jnp.bfloat16),
        w.astype(jnp.bfloat16),
        (((1,), (axis,)), ((), ())),
        preferred_element_type=jnp.float32,
    )


def _product_forward(x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
    return _bf16_product(x, w, 0), (x, w)


def _product_backward(factors: tuple[Array, Array], upstream: Array) -> tuple[Array, Array]:
    x, w = factors
    return _bf16_product(upstream, w, 1), x.T @ upstream  # bf16 gains nothing here: transposing costs more


product.defvjp(_product_forward, _product_backward)


def dropped(x: Array, share: float, key: Array) -> Array:
    """`x` with about `share` of its numbers set to 0 and the others raised; 8 random bits each are enough."""
    words = jax.random.bits(key, (x.shape[0], -(-x.shape[1] // 4)), jnp.uint32)
    bits = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(x.shape[0], -1)[:, : x.shape[1]]
    return jnp.where(bits >= round(256 * share), x * (1 / (1 - share)), 0.0)


def users_of(
    params: Params,
    means: Array,
    dropout: float = 0.0,
    key: Array | None = None,
    multiply: Callable[[Array, Array], Array] = product,
) -> Array:
    """Unit user vectors f32[n, d] of `means` f32[n, K, d]. With a `key`, parts are dropped (training).

    `multiply` `jnp.matmul`: in f32, as the exported graph does.
    """

    def drop(x: Array, at: int) -> Array:
        return x if key is None or not dropout else dropped(x, dropout, jax.random.fold_in(key, at))

    d = means.shape[-1]
    x = means.reshape(means.shape[0], -1) * np.sqrt(d)
    x = drop(layer_norm(x, params["in_gain"], params["in_bias"]), 1)
    hidden = drop(jax.nn.silu(multiply(x, params["w1"]) + params["b1"]), 2)
    hidden = jax.nn.silu(multiply(hidden, params["w2"]) + params["b2"])
    out = multiply(hidden, params["w3"]) + multiply(x, params["skip"]) + params["b3"]
    return unit(layer_norm(out, params["out_gain"], params["out_bias"]))


class Rivals(NamedTuple):
    """The items that a target competes with: all of them, or a sample.

    `items` i32[c] are rows of the table, `log_chance` f32[c] the log of each one's chance to be drawn (0 for
    all items). The draw must not depend on the batch: an item that is there because it stands in somebody's
    history would be taken for a rare guest, and pushed away from just those who know it.
    """

    items: Array
    log_chance: Array


class Aims(NamedTuple):
    """What is to be predicted: `target` i32[n] rows of the table, `rival` i32[n] the target's place among the
    rivals or -1, `share` f32[n] how much the example counts.
    """

    target: Array
    rival: Array
    share: Array


@jax.custom_vjp
def cross_entropy(users: Array, items: Array, rivals: Rivals, aims: Aims) -> Array:
    """Mean of -log softmax of `users` f32[n, d] over the target and its rivals among `items` f32[c, d], unit.

    A sampled rival counts for as many as it stands for: the logQ correction (Bengio and Senécal, 2008).
    """
    return _cross_entropy(users, items, rivals, aims)[0]


def _cross_entropy(
    users: Array, items: Array, rivals: Rivals, aims: Aims
) -> tuple[Array, tuple[Array, Array]]:
    """The loss and its gradients by users and items, piece by piece: logits never leave the caches.

    Forward and backward at once cost three products and one exponential; n × c numbers are never stored.
    """
    pieces = users.shape[0] // PIECE
    columns = items[rivals.items]
    # No logit is larger: items have length 1. A bound known before saves a pass over all of them.
    highest = jnp.linalg.norm(users, axis=-1) + jnp.max(-rivals.log_chance)

    def piece(
        by: tuple[Array, Array], part: tuple[Array, ...]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        rows, place, rival, weight, bound = part
        aimed = items[place]
        here = jnp.exp((rows * aimed).sum(axis=-1) - bound)
        raised = jnp.exp(_bf16_product(rows, columns, 1) - rivals.log_chance - bound[:, None])
        twice = jnp.take_along_axis(raised, jnp.maximum(rival, 0)[:, None], axis=-1)[:, 0] * (rival >= 0)
        total = jnp.maximum(raised.sum(axis=-1) - twice, 0.0) + here
        missed = ((jnp.log(total) - jnp.log(here)) * weight).sum()
        share_of = weight / total
        # What the target's own column has too much, and the target itself.
        excess = (twice * share_of)[:, None]
        pull = (here * share_of - weight)[:, None]
        by_rows = _bf16_product(raised, columns, 0) * share_of[:, None] + (pull - excess) * aimed
        by_columns = by[0] + _bf16_product(raised.T, rows * share_of[:, None], 0)
        by_aimed = by[1].at[place].add((pull - excess) * rows)
        return (by_columns, by_aimed), (missed, by_rows)

    whole = jnp.maximum(aims.share.sum(), 1.0)
    parts = (users, aims.target, aims.rival, aims.share / whole, highest)
    split = tuple(x.reshape(pieces, PIECE, *x.shape[1:]) for x in parts)
    start = jnp.zeros_like(columns), jnp.zeros_like(items)
    (by_columns, by_items), (missed, by_users) = jax.lax.scan(piece, start, split)
    by_items = by_items.at[rivals.items].add(by_columns)
    return missed.sum(), (by_users.reshape(users.shape), by_items)


def _backward(gradients: tuple[Array, Array], upstream: Array) -> tuple[Array | None, ...]:
    return upstream * gradients[0], upstream * gradients[1], None, None


cross_entropy.defvjp(_cross_entropy, _backward)


def loss(
    params: Params,
    table: Array,
    batch: Any,
    rivals: Rivals,
    rival_of: Array,
    *,
    shape: NetworkShape,
    dropout: float,
    key: Array | None,
) -> Array:
    """Mean cross-entropy of a batch whose items and targets are rows of `table` f32[c, d], raw.

    `rival_of` i32[n]: the place of each target among the rivals, -1 for none.
    """
    items = unit(table)
    means = means_after(items[batch.items], batch.weights, shape.gammas)
    chosen = means[batch.known - 1, batch.row]
    users = users_of(params, chosen, dropout, key)
    temperature = jnp.exp(params["log_temperature"])
    return cross_entropy(users * temperature, items, rivals, Aims(batch.target, rival_of, batch.share))
