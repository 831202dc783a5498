"""The scoring of all items against numpy: exact where it is exact, and how much an 8-bit copy finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper

from services.kernel.release import ReleaseError, TensorSpec
from services.ranking.session import multiplies_integers
from services.release.pack import save_array
from services.trainer.scoring_graph import (
    CODE_MAX,
    CODES_FILE,
    EXACT_NUMBERS_MAX,
    TOP_K,
    save_codes,
    save_scored_model,
    scoring_nodes,
)

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int64]
SUM_ERROR = 1e-6  # f32 sums of at most 256 products of unit vectors, added in another order
RECALL_100 = 0.999  # of the 100 best; measured 1.0 on all kinds of vectors here
ITEMS = 20_000


def unit(vectors: NDArray[np.float64]) -> FloatArray:
    rows: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return rows


def vectors_of(kind: str, items: int, d: int) -> FloatArray:
    """Unit rows: all directions alike, in clusters, or in clusters with a few directions that hold most."""
    rng = np.random.default_rng(items + d)
    if kind == "random":
        return unit(rng.standard_normal((items, d)))
    spread = (1.0 + np.arange(d)) ** (-0.5 if kind == "clustered" else -1.0)
    centres = rng.standard_normal((max(items // 64, 1), d))
    noise = 0.6 * rng.standard_normal((items, d))
    return unit((centres[rng.integers(0, len(centres), items)] + noise) * spread)


def users_of(vectors: FloatArray, count: int) -> FloatArray:
    """Means of three items and some noise."""
    rng = np.random.default_rng(7)
    some = vectors[rng.integers(0, len(vectors), (count, 3))].sum(axis=1, dtype=np.float64)
    return unit(some + 0.1 * rng.standard_normal(some.shape))


class Scorer:
    """A graph of the scoring alone, whose input is the user's vector, as the runtime serves it."""

    def __init__(
        self, directory: Path, vectors: FloatArray, top_k: int = TOP_K, exact: int = EXACT_NUMBERS_MAX
    ) -> None:
        directory.mkdir(exist_ok=True)
        items, d = vectors.shape
        save_array(directory, "item_vectors.npy", vectors)
        self.vectors = vectors
        self.part = scoring_nodes(directory, items, d, top_k=top_k, exact_numbers_max=exact)
        self.graph = save_scored_model(
            directory,
            "scoring",
            nodes=[helper.make_node("Identity", ["bank"], ["user_vector"])],
            initializers=[],
            inputs=[TensorSpec("bank", "float32", ("B", d))],
            part=self.part,
            d=d,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, users: FloatArray) -> tuple[IndexArray, FloatArray]:
        indices, scores = self._session.run(["item_indices", "scores"], {"bank": users})
        return indices, scores


def recall(found: IndexArray, scores: NDArray[np.float64], n: int) -> float:
    """The share of the true best `n` of each row that is in `found`."""
    best = np.argpartition(-scores, n - 1, axis=1)[:, :n]
    return float(np.mean([np.isin(row, indices).mean() for row, indices in zip(best, found, strict=True)]))


@pytest.fixture(params=["random", "clustered", "skewed"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("d", [32, 50, 64])
def test_a_small_catalogue_is_scored_exactly(tmp_path: Path, kind: str, d: int) -> None:
    vectors = vectors_of(kind, 3000, d)
    users = users_of(vectors, 8)
    scorer = Scorer(tmp_path, vectors)
    indices, scores = scorer(users)
    exact = users.astype(np.float64) @ vectors.T.astype(np.float64)
    assert scorer.part.files == []
    assert indices.shape == scores.shape == (8, TOP_K)
    np.testing.assert_allclose(scores, -np.sort(-exact, axis=1)[:, :TOP_K], rtol=0, atol=SUM_ERROR)
    np.testing.assert_allclose(scores, np.take_along_axis(exact, indices, axis=1), rtol=0, atol=SUM_ERROR)


@pytest.mark.parametrize("d", [64, 75, 128])
def test_the_copy_finds_the_best_and_scores_are_exact(tmp_path: Path, kind: str, d: int) -> None:
    vectors = vectors_of(kind, ITEMS, d)
    users = users_of(vectors, 40)
    scorer = Scorer(tmp_path, vectors)
    indices, scores = scorer(users)
    exact = users.astype(np.float64) @ vectors.T.astype(np.float64)
    assert scorer.part.files == [CODES_FILE]
    assert (tmp_path / CODES_FILE).stat().st_size == 4096 + ITEMS * d
    assert recall(indices[:, :100], exact, 100) >= RECALL_100
    assert recall(indices, exact, TOP_K) >= RECALL_100
    np.testing.assert_allclose(scores, np.take_along_axis(exact, indices, axis=1), rtol=0, atol=SUM_ERROR)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == TOP_K for row in indices.tolist())


def test_codes_stand_for_the_vectors(tmp_path: Path, kind: str) -> None:
    vectors = vectors_of(kind, 4000, 48)
    save_array(tmp_path, "item_vectors.npy", vectors)
    turn = save_codes(tmp_path)
    codes = np.load(tmp_path / CODES_FILE)
    assert np.abs(codes).max() == CODE_MAX
    # Half a step in each of 48 turned numbers, whose largest value is at most that of the vectors' length.
    error = users_of(vectors, 20) @ turn @ codes.astype(np.float32) - users_of(vectors, 20) @ vectors.T
    assert float(np.sqrt((error**2).mean())) < 1.0 / CODE_MAX / np.sqrt(12)


def test_a_batch_is_answered_like_its_rows_alone(tmp_path: Path) -> None:
    vectors = vectors_of("clustered", ITEMS, 64)
    users = users_of(vectors, 7)
    users[2] *= 1000.0  # a neighbour's length must not make the other rows coarser
    users[4] = 0.0
    scorer = Scorer(tmp_path, vectors)
    together = scorer(users)
    for row, user in enumerate(users):
        indices, scores = scorer(user[None])
        assert indices[0].tolist() == together[0][row].tolist()
        np.testing.assert_allclose(
            scores[0], together[1][row], rtol=0, atol=SUM_ERROR * max(1.0, float(np.abs(scores[0]).max()))
        )


def test_fewer_items_than_k(tmp_path: Path) -> None:
    vectors = vectors_of("random", 300, 33)
    users = users_of(vectors, 3)
    expected = np.argsort(-(users @ vectors.T), axis=1)
    for numbers_max in (EXACT_NUMBERS_MAX, 0):  # exact, then with the copy
        for top_k in (299, 300, 1000):
            k = min(top_k, 300)
            scorer = Scorer(tmp_path / f"{numbers_max}-{top_k}", vectors, top_k, numbers_max)
            indices, _ = scorer(users)
            assert scorer.part.k == k
            assert indices.tolist() == expected[:, :k].tolist()
            assert scorer.graph.outputs[0].shape == ("B", k)
    one = Scorer(tmp_path / "one", vectors[:1])(users)
    assert one[0].tolist() == [[0], [0], [0]]


@pytest.mark.parametrize("items", [2000, ITEMS])
def test_nobody_gets_finite_scores(tmp_path: Path, items: int) -> None:
    indices, scores = Scorer(tmp_path, vectors_of("clustered", items, 64))(np.zeros((2, 64), np.float32))
    assert not scores.any()
    assert indices.tolist() == [list(range(TOP_K))] * 2


@pytest.mark.parametrize("items", [2000, ITEMS])
def test_of_equal_items_the_lower_index_comes_first(tmp_path: Path, items: int) -> None:
    vectors = vectors_of("clustered", items, 64)
    vectors[items // 2 :] = vectors[: items // 2]
    vectors[:5] = 0.0  # items without a vector
    indices, scores = Scorer(tmp_path, vectors)(users_of(vectors[5:], 6))
    for row, found in zip(indices.tolist(), scores.tolist(), strict=True):
        pairs = zip(row, row[1:], found, found[1:], strict=False)
        assert all(one < other for one, other, score, next_score in pairs if score == next_score)


def test_only_the_copy_is_packed_by_the_runtime(tmp_path: Path) -> None:
    for items, with_copy in ((2000, False), (ITEMS, True)):
        Scorer(tmp_path / str(items), vectors_of("random", items, 64))
        assert multiplies_integers(tmp_path / str(items) / "model.onnx") is with_copy


def test_same_vectors_same_files(tmp_path: Path) -> None:
    vectors = vectors_of("clustered", ITEMS, 64)
    for name in ("one", "other"):
        Scorer(tmp_path / name, vectors)
    for file in ("model.onnx", CODES_FILE):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_another_shape_is_refused(tmp_path: Path) -> None:
    save_array(tmp_path, "item_vectors.npy", np.eye(5, dtype=np.float32))
    with pytest.raises(ReleaseError, match=r"shape \[5, 5\], expected \[6, 5\]"):
        scoring_nodes(tmp_path, 6, 5)
