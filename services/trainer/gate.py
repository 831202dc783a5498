"""The release gate: what a trained release must show before anybody is served from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from services.kernel.profile import Profile
from services.kernel.release import ReleaseError
from services.ranking.inputs import ModelQuestion
from services.ranking.model import OnnxModel
from services.trainer.network import users_of

USERS: Final = 1000
# Both compute in f32, in another order of sums; scores are about 20 at most.
SCORE_TOLERANCE: Final = 2e-3
# Of the trainer's own best 100, how many the graph must find: an 8-bit copy chooses, exact scores decide.
RECALL_MIN: Final = 0.995
RECALL_AT: Final = 100
# A new release is refused when it is worse with this confidence: nine such releases of ten are caught, and of
# ten that are as good as the live one, one has to wait for the next night.
CONFIDENCE: Final = 0.9
LOSS_SHARE: Final = 0.05  # refused whatever the confidence: few questions must not let a broken one through
JUDGED_MIN: Final = 50  # questions below which a comparison says nothing


class GateError(ReleaseError):
    """A trained release is not published; the message says why."""


def check_outputs(
    model: OnnxModel, params: Mapping[str, NDArray[Any]], profiles: Sequence[Profile]
) -> dict[str, float]:
    """Compare the graph with the trainer's own numbers for up to USERS profiles. Raises GateError.

    Answers {"users", "score_difference", "recall_at_100"}.
    """
    asked = [profile for profile in profiles if profile.bank_weight.any()][:USERS]
    if not asked:
        raise GateError(
            "no profile of the archive has an event that the model reads; nothing can be compared"
        )
    space = model.release.space.at(0)
    means = np.stack(
        [profile.bank / np.maximum(profile.bank_weight, 1e-12)[:, None] for profile in asked]
    ).reshape(len(asked), space.k, space.d)
    users = np.asarray(users_of(dict(params), jnp.asarray(means), multiply=jnp.matmul))
    expected = np.exp(float(params["log_temperature"])) * users @ model.release.item_vectors.T
    worst, found = 0.0, 0.0
    k = min(RECALL_AT, expected.shape[1])
    for row, profile in zip(expected, asked, strict=True):
        answer = model.run([ModelQuestion(profile, 0)])[0]
        worst = max(worst, float(np.abs(answer.scores - row[answer.item_indices]).max(initial=0.0)))
        least = np.partition(row, -k)[-k] - SCORE_TOLERANCE
        found += min(1.0, float((row[answer.item_indices[:k]] >= least).sum()) / k)
    recall = found / len(asked)
    if not worst <= SCORE_TOLERANCE:
        raise GateError(
            f"the exported graph differs from the trainer by {worst:.2g} in a score, "
            f"allowed {SCORE_TOLERANCE}"
        )
    if recall < RECALL_MIN:
        raise GateError(
            f"the exported graph finds {recall:.4f} of the trainer's best {k} items, expected {RECALL_MIN}"
        )
    return {"users": float(len(asked)), "score_difference": worst, "recall_at_100": recall}


def check_quality(new: NDArray[np.float64], live: NDArray[np.float64], seed: int) -> dict[str, float]:
    """Compare gains (NDCG@10) of the same questions under the new and the live release. Raises GateError.

    Refused: worse with CONFIDENCE (one-sided, paired bootstrap), or lower by more than LOSS_SHARE.
    """
    if len(new) < JUDGED_MIN:
        raise GateError(
            f"{len(new)} held-out questions came after the live release was trained, and {JUDGED_MIN} is the "
            "least that says which of the two is better: wait for more events"
        )
    difference = new - live
    generator = np.random.default_rng(seed)
    draws = difference[generator.integers(0, len(difference), (1000, len(difference)))].mean(axis=1)
    low, high = (float(bound) for bound in np.percentile(draws, [2.5, 97.5]))
    mean, before = float(difference.mean()), float(live.mean())
    surely = float(np.percentile(draws, 100 * CONFIDENCE)) < 0
    if surely or mean < -LOSS_SHARE * before:
        raise GateError(
            f"the new release ranks worse than the live one: NDCG@10 {float(new.mean()):.4f} against "
            f"{before:.4f} on {len(new):,} questions, difference {mean:+.4f} ({low:+.4f} to {high:+.4f})"
        )
    return {"new": float(new.mean()), "live": before, "low": low, "high": high, "questions": float(len(new))}
