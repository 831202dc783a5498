"""The graph against numpy, and the inputs of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from services.kernel.event_type import EventType
from services.kernel.ids import item_key
from services.kernel.item import Item
from services.kernel.profile import Profile
from services.kernel.release import Graph, ReleaseError, TensorSpec, VectorSpace
from services.ranking.inputs import ModelQuestion
from services.ranking.model import OnnxModel
from services.release.files import Release, open_release
from services.release.pack import Draft, finish, save_array, save_ids
from services.trainer.day0 import BLEND_OF_DECAYS
from tests.unit.shop import NOW_MS, NOW_S, profile_of

VIEW, PURCHASE = EventType.VIEW, EventType.PURCHASE
TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}


@pytest.fixture(scope="module")
def model(release: Release) -> OnnxModel:
    return OnnxModel(release)


def expected_vector(profile: Profile) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    shares = np.array(BLEND_OF_DECAYS) / sum(BLEND_OF_DECAYS)
    means = profile.bank.astype(np.float64) / np.maximum(profile.bank_weight, 1e-12)[:, None]
    mean: np.ndarray[tuple[int], np.dtype[np.float64]] = (shares[:, None] * means).sum(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 599), st.sampled_from([1, 3, 5, 11])), max_size=12), max_size=6
    )
)
def test_the_graph_equals_numpy_one_by_one_and_in_batches(
    release: Release, model: OnnxModel, users: list[list[tuple[int, int]]]
) -> None:
    profiles = [
        profile_of(release, [(release.item_ids[index], number) for index, number in deeds]) for deeds in users
    ] or [Profile.empty(release.space.at(1))]
    together = model.run([ModelQuestion(profile, NOW_MS) for profile in profiles])
    for profile, answer in zip(profiles, together, strict=True):
        u = expected_vector(profile)
        assert answer.user_vector is not None
        np.testing.assert_allclose(answer.user_vector, u, atol=2e-5)
        scores = release.item_vectors.astype(np.float64) @ answer.user_vector.astype(np.float64)
        np.testing.assert_allclose(answer.scores, np.sort(scores)[::-1][: len(answer.scores)], atol=1e-5)
        np.testing.assert_allclose(answer.scores, scores[answer.item_indices], atol=1e-5)
        alone = model.run([ModelQuestion(profile, NOW_MS)])[0]
        np.testing.assert_allclose(alone.scores, answer.scores, atol=1e-6)


@pytest.mark.parametrize("batch_from", [1, 9])
def test_together_or_one_by_one_is_the_same_answer(
    release: Release, model: OnnxModel, monkeypatch: pytest.MonkeyPatch, batch_from: int
) -> None:
    profiles = [profile_of(release, [(release.item_ids[index], VIEW)]) for index in (3, 40, 400)]
    questions = [ModelQuestion(profile, NOW_MS) for profile in profiles]
    monkeypatch.setattr(model, "_batch_from", batch_from)
    for profile, answer in zip(profiles, model.run(questions), strict=True):
        assert answer.user_vector is not None
        assert answer.user_vector is not None
        assert np.abs(answer.user_vector - expected_vector(profile)).max() < 2e-5


def test_an_empty_profile_has_a_defined_answer(release: Release, model: OnnxModel) -> None:
    answer = model.run([ModelQuestion(Profile.empty(release.space.at(1)), NOW_MS)])[0]
    assert np.isfinite(answer.scores).all()
    assert answer.user_vector is not None
    assert not answer.user_vector.any()


def test_a_profile_of_another_space_is_read_from_its_ring(release: Release, model: OnnxModel) -> None:
    deeds = [(release.item_ids[index], PURCHASE) for index in (3, 40, 41)]
    native, foreign = profile_of(release, deeds), profile_of(None, deeds)
    assert not foreign.in_space(release.space.at(0))
    one, other = model.run([ModelQuestion(native, NOW_MS), ModelQuestion(foreign, NOW_MS)])
    assert one.item_indices.tolist() == other.item_indices.tolist()
    np.testing.assert_array_equal(one.scores, other.scores)


def test_the_scale_is_that_of_all_items(release: Release, model: OnnxModel) -> None:
    profile = profile_of(release, [(release.item_ids[9], VIEW)])
    u = model.run([ModelQuestion(profile, NOW_MS)])[0].user_vector
    assert u is not None
    mean, spread = model.scale.of(u)
    scores = release.item_vectors @ u
    assert mean == pytest.approx(scores.mean(), abs=1e-4)
    assert spread == pytest.approx(scores.std(), abs=1e-4)


def own_release(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    constants: Sequence[onnx.TensorProto] = (),
    stated: Sequence[TensorSpec] | None = None,
) -> Path:
    """A release around a graph of one's own: five items, d = 5, item i is the unit vector i."""
    draft = folder / "draft"
    draft.mkdir()
    save_ids(draft, [f"item-{index}" for index in range(5)])
    save_array(draft, "item_vectors.npy", np.eye(5, dtype=np.float32))
    given, answered = [
        [helper.make_tensor_value_info(spec.name, TYPES[spec.dtype], spec.shape) for spec in specs]
        for specs in (inputs, outputs)
    ]
    graph = helper.make_graph(list(nodes), "own", given, answered, list(constants))
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (draft / "model.onnx").write_bytes(built.SerializeToString())
    stated = inputs if stated is None else stated
    graphs = {"model": Graph("model", 17, tuple(stated), tuple(outputs))}
    return finish(draft, Draft("own", VectorSpace("own", 5, 2, (0.5, 1.0)), 5, {}, graphs), 1)


HISTORY = TensorSpec("history_items", "int64", ("B", "L"))
MASK = TensorSpec("history_mask", "bool", ("B", "L"))
USER = TensorSpec("user_vector", "float32", ("B", 5))


def last_item_graph() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """user_vector = one-hot of the last history item; unknown (-1) gives zeros."""
    rows = np.vstack([np.zeros((1, 5)), np.eye(5)]).astype(np.float32)
    constants = [
        onnx.numpy_helper.from_array(rows, "rows"),
        onnx.numpy_helper.from_array(np.array(-1, np.int64), "newest"),
        onnx.numpy_helper.from_array(np.array(1, np.int64), "one"),
    ]
    nodes = [
        helper.make_node("Gather", ["history_items", "newest"], ["last"], axis=1),
        helper.make_node("Add", ["last", "one"], ["place"]),
        helper.make_node("Gather", ["rows", "place"], ["user_vector"], axis=0),
    ]
    return nodes, constants


def test_histories_of_every_length_and_unknown_items(tmp_path: Path) -> None:
    nodes, constants = last_item_graph()
    model = OnnxModel(open_release(own_release(tmp_path, nodes, [HISTORY], [USER], constants)))
    nobody = Profile.empty(model.release.space.at(0))
    questions = [ModelQuestion(nobody, NOW_MS)]
    for length in (1, 2, 7, 128):
        deeds = [(f"item-{index % 5}", int(VIEW)) for index in range(length)]
        questions.append(ModelQuestion(profile_of(model.release, deeds), NOW_MS))
    questions.append(ModelQuestion(profile_of(model.release, [("item-2", VIEW), ("stranger", VIEW)]), NOW_MS))
    answers = model.run(questions)
    assert [int(answer.item_indices[0]) for answer in answers[1:5]] == [0, 1, 1, 2]
    for empty in (answers[0], answers[5]):
        assert empty.user_vector is not None
        assert not empty.user_vector.any()
        assert np.isfinite(empty.scores).all()


def test_every_input_of_the_contract_is_fed(tmp_path: Path) -> None:
    from services.ranking.inputs import FeedMaker

    nodes, constants = last_item_graph()
    release = open_release(own_release(tmp_path, nodes, [HISTORY], [USER], constants))
    profile = profile_of(release, [("item-1", VIEW), ("stranger", PURCHASE), ("item-4", PURCHASE)])
    names = ["history_items", "history_types", "history_ages_s", "history_mask", "seen_items"]
    maker = FeedMaker(release, [*names, "context_item", "bank", "bank_weight"], {"history_items": 5})
    feeds = maker.feeds([ModelQuestion(profile, (NOW_S + 10) * 1000, item_key("item-3"))])
    assert feeds["history_items"].tolist() == [[-1, -1, 1, -1, 4]]
    assert feeds["history_types"].tolist() == [[0, 0, 1, 5, 5]]
    assert feeds["history_ages_s"].tolist() == [[0.0, 0.0, 130.0, 70.0, 10.0]]
    assert feeds["history_mask"].tolist() == [[False, False, True, True, True]]
    assert feeds["seen_items"].tolist() == [[1, 4]]
    assert feeds["context_item"].tolist() == [3]
    assert feeds["bank"].shape == (1, 2, 5)
    assert [feeds[name].dtype.name for name in ("bank_weight", "history_mask", "context_item")] == [
        *("float32", "bool", "int64")
    ]
    short = FeedMaker(release, ["history_items"], {"history_items": 2}).feeds(
        [ModelQuestion(profile, NOW_MS)]
    )
    assert short["history_items"].tolist() == [[-1, 4]], "the newest are kept"


def test_an_input_that_the_graph_lacks_is_named(tmp_path: Path) -> None:
    nodes, constants = last_item_graph()
    folder = own_release(tmp_path, nodes, [HISTORY], [USER], constants, stated=[HISTORY, MASK])
    with pytest.raises(ReleaseError, match="lacks the input 'history_mask'"):
        OnnxModel(open_release(folder))


def test_an_input_outside_the_contract_is_named(tmp_path: Path) -> None:
    shape = TensorSpec("history_items", "float32", ("B", "L"))
    nodes = [helper.make_node("ReduceMean", ["history_items"], ["user_vector"], axes=[1], keepdims=1)]
    folder = own_release(
        tmp_path, nodes, [shape], [TensorSpec("user_vector", "float32", ("B", "d"))], stated=[HISTORY]
    )
    with pytest.raises(ReleaseError, match="'history_items' has dtype float32, expected int64"):
        OnnxModel(open_release(folder))


def test_a_file_that_is_no_graph_is_refused(release: Release, shop_items: list[Item], tmp_path: Path) -> None:
    nodes, constants = last_item_graph()
    folder = own_release(tmp_path, nodes, [HISTORY], [USER], constants)
    graph = folder / "model.onnx"
    graph.write_bytes(b"no graph".ljust(graph.stat().st_size))
    with pytest.raises(ReleaseError, match=r"model\.onnx of own-.* cannot be loaded"):
        OnnxModel(open_release(folder, verify=False))


def test_a_bank_made_of_a_ring_knows_own_types_and_events_without_value(tmp_path: Path) -> None:
    from services.kernel.event_type import EventTypes
    from services.ranking.inputs import FeedMaker

    nodes, constants = last_item_graph()
    release = open_release(own_release(tmp_path, nodes, [HISTORY], [USER], constants))
    wishes = "wishlist:200=2.5"
    wished = EventTypes(wishes, release.event_weights).number("wishlist")
    deeds = [("item-1", wished), ("item-4", EventType.RATING)]  # a ring without values: NaN stars
    native, foreign = profile_of(release, [("item-1", VIEW)]), profile_of(None, deeds)
    maker = FeedMaker(release, ["bank", "bank_weight"], {}, wishes)
    feeds = maker.feeds([ModelQuestion(native, NOW_MS), ModelQuestion(foreign, NOW_MS)])
    assert np.isfinite(feeds["bank"]).all()
    weights = EventTypes(wishes, release.event_weights)
    last, first = abs(weights.weight(EventType.RATING)), weights.weight(wished)
    np.testing.assert_allclose(
        feeds["bank_weight"][1], [first * gamma + last for gamma in release.space.gammas], rtol=1e-6
    )
