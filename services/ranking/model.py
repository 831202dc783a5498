"""The model of a release in ONNX Runtime: from profiles to the best items of each, or to user vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.profile import Profile
from services.release.files import Release

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int64]


class ModelQuestion(NamedTuple):
    """One user for the model. `context_key` is the key of the item that the request names, 0 for none."""

    profile: Profile
    now_ms: int
    context_key: int = 0


class ModelAnswer(NamedTuple):
    """Best items by index in the release, descending, without -1; `user_vector` f32[d] where the model gives one."""

    item_indices: IndexArray
    scores: FloatArray
    user_vector: FloatArray | None


class OnnxModel:
    """One session. `run` may be called from one thread at a time (the batcher's); it never changes its inputs."""

    def __init__(self, release: Release) -> None:
        """Load, check against the contract and warm up. Raises ReleaseError that names what does not fit."""
        raise NotImplementedError

    @property
    def release(self) -> Release:
        """The release that it came from."""
        raise NotImplementedError

    def run(self, questions: Sequence[ModelQuestion]) -> list[ModelAnswer]:
        """Answer a batch (1 to 64): one graph run for all. An empty profile gets a defined answer, no NaN."""
        raise NotImplementedError
