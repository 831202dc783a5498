"""The model of a release in ONNX Runtime: from profiles to the best items of each, or to user vectors."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.profile import Profile
from services.kernel.release import (
    RANKER,
    Graph,
    ReleaseError,
    TensorSpec,
    check_graph,
)
from services.ranking.inputs import FeedMaker, ModelQuestion
from services.ranking.ranker import OnnxRanker
from services.ranking.session import load_session, specs_of
from services.release.files import Release

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int64]

MODEL: Final = "model"  # the name of the graph that answers for_you
TOP_K: Final = 256  # best items taken from a model that gives a user vector alone
WARM_RUNS: Final = 3  # of which the fastest is what a run takes
# The runtime packs the item matrix anew for every batch of more than one: of a matrix larger than the caches
# that takes longer than reading it once a question, up to some size of batch.
BATCHES_TRIED: Final = (2, 4, 8)


class ModelAnswer(NamedTuple):
    """Best items by index in the release, descending, without -1; `user_vector` f32[d] where the model
    gives one.
    """

    item_indices: IndexArray
    scores: FloatArray
    user_vector: FloatArray | None


class SimilarityScale(NamedTuple):
    """Mean f64[d] and covariance f64[d, d] of all item vectors: the mean and spread of E·u for any u in
    O(d²).
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def of(self, user_vector: FloatArray) -> tuple[float, float]:
        """(mean, standard deviation) of the scores of all items for one user."""
        u = user_vector.astype(np.float64)
        return float(self.mean @ u), math.sqrt(max(float(u @ self.covariance @ u), 0.0))


class OnnxModel:
    """One session. `run` may be called from one thread at a time (the batcher's); it never changes its
    inputs.
    """

    def __init__(
        self, release: Release, custom_types: str = "", *, warm: bool = True, hurry: bool = False
    ) -> None:
        """Load, check against the contract and warm up. Raises ReleaseError that names what does not fit.

        `custom_types` are the deployment's own event types, as FRESHET_EVENT_TYPES has them. Without `warm`
        the graph is not run yet: for whoever wants to see each run fail by itself (`probe`). In a `hurry` no
        more is done than the first answer needs; `complete` does the rest.
        """
        self._release = release
        graph = release.manifest.graphs.get(MODEL)
        if graph is None:
            raise ReleaseError(f"release {release.name} has no graph {MODEL!r}")
        self._session: Any = load_session(release, graph.artefact, silent=not warm)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        found = Graph(graph.artefact, graph.opset, specs_of(inputs), specs_of(outputs))
        check_graph(MODEL, found, release.space)
        _check_names("input", found.inputs, graph.inputs)
        _check_names("output", found.outputs, graph.outputs)
        self._outputs = [spec.name for spec in found.outputs]
        sizes = {
            spec.name: size
            for spec in found.inputs
            if len(spec.shape) > 1 and isinstance(size := spec.shape[1], int)
        }
        self._feeds = FeedMaker(release, [spec.name for spec in found.inputs], sizes, custom_types)
        # The second stage, where the release has one.
        self.ranker = OnnxRanker(release) if RANKER in release.manifest.graphs else None
        self._batch_from = 2 * BATCHES_TRIED[-1] if hurry else 1
        self.signature = found
        self.run_s = 0.0
        if hurry:
            self.run_s = self._first_runs()
        elif warm:
            self.complete()

    @cached_property
    def scale(self) -> SimilarityScale:
        """How the scores of all items spread."""
        moments = self._release.item_moments
        return SimilarityScale(moments[0], moments[1:])

    @property
    def release(self) -> Release:
        """The release that it came from."""
        return self._release

    def run(self, questions: Sequence[ModelQuestion]) -> list[ModelAnswer]:
        """Answer a batch (1 to 64): one graph run for all, or one each where that is faster.

        An empty profile gets a defined answer, no NaN.
        """
        if len(questions) < self._batch_from:
            return [answer for question in questions for answer in self._run([question])]
        return self._run(questions)

    def feeds(self, questions: Sequence[ModelQuestion]) -> dict[str, NDArray[Any]]:
        """The inputs that the graph gets for these questions, by name."""
        return self._feeds.feeds(questions)

    def outputs(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """One run of the graph as it is, nothing mended. Raises whatever the runtime raises."""
        values = self._session.run(self._outputs, feeds)
        return dict(zip(self._outputs, values, strict=True))

    def _run(self, questions: Sequence[ModelQuestion]) -> list[ModelAnswer]:
        out = self.outputs(self.feeds(questions))
        vectors: FloatArray | None = out.get("user_vector")
        if vectors is not None:
            vectors[~np.isfinite(vectors)] = 0.0
        if "scores" in out:
            answers = zip(out["item_indices"], out["scores"], strict=True)
        else:
            assert vectors is not None  # check_graph: scores or a user vector
            answers = zip(*self._top(vectors), strict=True)
        return [
            _answer(
                indices, scores, vectors[row] if vectors is not None else None, self._release.manifest.items
            )
            for row, (indices, scores) in enumerate(answers)
        ]

    def _top(self, vectors: FloatArray) -> tuple[IndexArray, FloatArray]:
        scores = vectors @ self._release.item_vectors.T
        k = min(TOP_K, scores.shape[1])
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(scores, best, axis=1)
        order = np.lexsort((best, -found), axis=1)
        return np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)

    def complete(self) -> None:
        """Make what is made at first use, check the tables, and find out from which size on batches pay.

        The first run of a shape plans memory; nobody should wait for that. May run in a thread beside
        answers. Raises ReleaseError.
        """
        self._release.warm_up()
        if self.ranker is not None:
            self.ranker.tables.check(self._release)
        _ = self.scale
        self.run_s = self._first_runs(WARM_RUNS)
        times_s = {size: self._timed(size, WARM_RUNS) for size in BATCHES_TRIED}
        cheaper = (size for size in BATCHES_TRIED if times_s[size] < size * self.run_s)
        self._batch_from = next(cheaper, 2 * BATCHES_TRIED[-1])

    def _first_runs(self, warm_runs: int = 1) -> float:
        """A cold run, then warm ones of one question each; the seconds that the fastest takes."""
        nobody = Profile.empty(self._release.space.at(0))
        try:
            answers = self._run([ModelQuestion(nobody, 0)])
            time_s = self._timed(1, warm_runs)
        except ReleaseError:
            raise
        except Exception as error:
            raise ReleaseError(f"the graph {MODEL!r} fails on an empty profile: {error}") from error
        if len(answers) != 1:
            raise ReleaseError(f"the graph {MODEL!r} gave {len(answers)} rows for one user")
        return time_s

    def _timed(self, size: int, runs: int) -> float:
        """Seconds that a warm run of `size` questions takes, the fastest of some."""
        nobody = ModelQuestion(Profile.empty(self._release.space.at(0)), 0)
        times_s = [time.perf_counter()]
        for _ in range(runs):
            self._run([nobody] * size)
            times_s.append(time.perf_counter())
        return min(after - before for before, after in itertools.pairwise(times_s))


def _check_names(what: str, found: Sequence[TensorSpec], stated: Sequence[TensorSpec]) -> None:
    has, wants = {spec.name for spec in found}, {spec.name for spec in stated}
    if missing := sorted(wants - has):
        raise ReleaseError(
            f"graph {MODEL!r} lacks the {what} {missing[0]!r} that the manifest names; it has {sorted(has)}"
        )
    if extra := sorted(has - wants):
        raise ReleaseError(f"graph {MODEL!r} has the {what} {extra[0]!r}, which the manifest does not name")


def _answer(indices: IndexArray, scores: FloatArray, vector: FloatArray | None, items: int) -> ModelAnswer:
    usable = (indices >= 0) & (indices < items) & np.isfinite(scores)
    if not usable.all():
        indices, scores = indices[usable], scores[usable]
    return ModelAnswer(indices, scores, vector)
