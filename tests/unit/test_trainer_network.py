"""The network: the recurrence of the profiles, and gradients that are written out by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from services.kernel.bank import DEFAULT_GAMMAS, Space, add_newest, bank_rows, bank_weights, empty_bank
from services.trainer.network import (
    Aims,
    NetworkShape,
    Rivals,
    cross_entropy,
    first_params,
    means_after,
    product,
    unit,
    users_of,
)

ROWS = 512  # the loss works on pieces of 256


def test_the_scan_is_what_a_profile_keeps() -> None:
    generator = np.random.default_rng(3)
    vectors = np.asarray(unit(jnp.asarray(generator.standard_normal((2, 40, 8)), jnp.float32)))
    weights = generator.choice([0.0, 1.0, 3.0, -4.0], (2, 40)).astype(np.float32)
    means = np.asarray(means_after(jnp.asarray(vectors), jnp.asarray(weights), DEFAULT_GAMMAS))
    space = Space("s", 1, 1, 8)
    for row in range(2):
        flat = empty_bank(space)
        for place in range(40):
            add_newest(flat, space, vectors[row, place], float(weights[row, place]))
            heavy = np.maximum(bank_weights(flat, space.k, 8), 1e-12)
            np.testing.assert_allclose(
                means[place, row], bank_rows(flat, space.k, 8) / heavy[:, None], rtol=2e-4, atol=2e-5
            )


@pytest.mark.parametrize("sampled", [False, True])
def test_the_gradient_of_the_loss_is_the_derived_one(sampled: bool) -> None:
    generator = np.random.default_rng(5)
    users = jnp.asarray(8 * unit(jnp.asarray(generator.standard_normal((ROWS, 16)), jnp.float32)))
    items = unit(jnp.asarray(generator.standard_normal((50, 16)), jnp.float32))
    rivals, log_chance = np.arange(50), np.zeros(50, np.float32)
    if sampled:
        rivals = np.sort(generator.choice(50, 20, replace=False))
        log_chance = np.log(generator.uniform(0.05, 1.0, 20)).astype(np.float32)
    target = generator.integers(0, 50, ROWS)
    share = (generator.random(ROWS) < 0.9).astype(np.float32)
    place = np.minimum(np.searchsorted(rivals, target), len(rivals) - 1)
    aims = Aims(target, np.where(rivals[place] == target, place, -1), share)

    def plain(users: jax.Array, items: jax.Array) -> jax.Array:
        logits = users @ items[rivals].T - log_chance
        logits = jnp.where(rivals[None, :] == target[:, None], -jnp.inf, logits)
        here = (users * items[target]).sum(axis=1)
        whole = jax.nn.logsumexp(jnp.concatenate([here[:, None], logits], axis=1), axis=1)
        missed: jax.Array = ((whole - here) * share).sum() / share.sum()
        return missed

    def ours(users: jax.Array, items: jax.Array) -> jax.Array:
        found: jax.Array = cross_entropy(users, items, Rivals(rivals, log_chance), aims)
        return found

    assert float(ours(users, items)) == pytest.approx(float(plain(users, items)), abs=5e-3)
    found = jax.grad(ours, argnums=(0, 1))(users, items)
    for mine, derived in zip(found, jax.grad(plain, argnums=(0, 1))(users, items), strict=True):
        scale = float(jnp.abs(derived).max())
        np.testing.assert_allclose(np.asarray(mine), np.asarray(derived), atol=0.03 * scale)


def test_the_gradient_of_a_product_is_the_derived_one() -> None:
    generator = np.random.default_rng(7)
    x, w = (jnp.asarray(generator.standard_normal(size), jnp.float32) for size in ((6, 5), (5, 4)))
    found = jax.grad(lambda x, w: (product(x, w) ** 2).sum(), argnums=(0, 1))(x, w)
    derived = jax.grad(lambda x, w: ((x @ w) ** 2).sum(), argnums=(0, 1))(x, w)
    for mine, expected in zip(found, derived, strict=True):
        np.testing.assert_allclose(np.asarray(mine), np.asarray(expected), rtol=0.05, atol=0.2)


def test_dropout_only_happens_with_a_key_and_users_are_unit_vectors() -> None:
    params = first_params(NetworkShape(9, 8, DEFAULT_GAMMAS, 16), seed=1)
    means = jnp.asarray(np.random.default_rng(2).standard_normal((4, 6, 8)), jnp.float32)
    plain = users_of(params, means, 0.5)
    assert np.array_equal(plain, users_of(params, means, 0.5))
    assert not np.allclose(plain, users_of(params, means, 0.5, jax.random.key(1)))
    np.testing.assert_allclose(np.linalg.norm(np.asarray(plain), axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(plain, users_of(params, means, multiply=jnp.matmul), atol=0.03)
