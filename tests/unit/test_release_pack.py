"""`freshet release pack`: what it takes, and what it says of everything that does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from services.cli.__main__ import main
from services.kernel.event_type import DEFAULT_WEIGHTS
from services.kernel.item import Item
from services.kernel.release import OPSET_MAX, OPSET_MIN, ReleaseError
from services.ranking.model import OnnxModel
from services.release.files import open_release
from services.release.repository import list_releases
from services.trainer.day0 import build_day0
from services.trainer.graph_file import copy_graph, read_graph
from services.trainer.own_model import OwnModel, pack_directory, pack_own
from tests.unit.own_graphs import (
    AS_USER,
    HISTORY,
    IDS,
    INDICES,
    MASK,
    SCORES,
    SUM,
    TOP,
    TYPES,
    USER,
    D,
    constants,
    move_weights_out,
    write,
    write_vectors,
)

MODELS = Path(__file__).resolve().parents[1] / "models"
TEAS = [Item(item_id=item_id, title=f"Tea {item_id}", categories=[["Tea"]]) for item_id in IDS]


def sound(folder: Path) -> Path:
    return write(folder / "m.onnx", [*SUM, *AS_USER])


def refused(own: OwnModel, folder: Path, *parts: str) -> None:
    """It is refused, each of `parts` is said, and nothing is left behind."""
    before = {path for path in folder.rglob("*") if path.is_dir()}
    with pytest.raises(ReleaseError) as caught:
        pack_own(own, folder, 1)
    for part in parts:
        assert part in str(caught.value), str(caught.value)
    assert {path for path in folder.rglob("*") if path.is_dir()} == before


def renamed(spec: Any, name: str) -> Any:
    return (name, *spec[1:])


BANK = ("bank", TensorProto.FLOAT, ("B", 6, D))
LOOK_UP = [("Add", ["items", "one"], "place"), *SUM[1:], *AS_USER]
SIGNATURES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a near name": (
        {
            "nodes": [("Add", ["item_history", "one"], "place"), *SUM[1:], *AS_USER],
            "inputs": (renamed(HISTORY, "item_history"), MASK),
        },
        ["input 'item_history' is not in the contract", "nearest name is 'history_items'"],
    ),
    "another dtype": (
        {"nodes": [*SUM, *AS_USER], "inputs": (("history_items", TensorProto.INT32, ("B", "L")), MASK)},
        ["input 'history_items' has dtype int32, expected int64"],
    ),
    "half precision": (
        {"nodes": [*SUM, *AS_USER], "outputs": (("user_vector", TensorProto.FLOAT16, ("B", D)),)},
        ["output 'user_vector' has dtype float16, expected float32"],
    ),
    "a fixed batch": (
        {"nodes": [*SUM, *AS_USER], "inputs": (("history_items", TensorProto.INT64, (1, "L")), MASK)},
        ["input 'history_items' has shape [1, 'L'], expected ['B', 'L']", "export axis 0 as dynamic"],
    ),
    "another rank": (
        {"nodes": [*SUM, *AS_USER], "outputs": (("user_vector", TensorProto.FLOAT, ("B", "L", D)),)},
        ["output 'user_vector' has shape ['B', 'L', 5], expected ['B', 5]"],
    ),
    "another K": (
        {
            "nodes": [("ReduceSum", ["bank", "one_axis"], "user_vector", {"keepdims": 0})],
            "inputs": (("bank", TensorProto.FLOAT, ("B", 4, D)),),
        },
        ["input 'bank' has shape ['B', 4, 5], expected ['B', 6, 5]"],
    ),
    "lengths that differ": (
        {
            "nodes": [*SUM, *AS_USER],
            "inputs": [(name, kind, ("B", size)) for (name, kind, _), size in ((HISTORY, 50), (MASK, 20))],
        },
        ["expected one length for all", "'history_items': 50", "'history_mask': 20"],
    ),
    "scores alone": (
        {"nodes": [*SUM, *TOP], "outputs": (SCORES,)},
        ["outputs ['scores']", "expected item_indices and scores, or user_vector"],
    ),
    "logits": (
        {"nodes": [*SUM, ("MatMul", ["u", "matrix"], "logits")], "outputs": (renamed(SCORES, "logits"),)},
        ["output 'logits' is not in the contract", "there are ['item_indices', 'scores', 'user_vector']"],
    ),
    "an old opset": (
        {"nodes": [*SUM, *AS_USER], "opset": OPSET_MIN - 1},
        [f"opset {OPSET_MIN - 1}, expected {OPSET_MIN} to {OPSET_MAX}", "opset_version"],
    ),
    "a new opset": (
        {"nodes": [*SUM, *AS_USER], "opset": OPSET_MAX + 1},
        [f"opset {OPSET_MAX + 1}, expected {OPSET_MIN} to {OPSET_MAX}"],
    ),
    "no input": (
        {"nodes": [("Identity", ["matrix"], "user_vector")], "inputs": ()},
        ["takes no input", "history_items"],
    ),
}


@pytest.mark.parametrize("what", list(SIGNATURES))
def test_a_signature_outside_the_contract(tmp_path: Path, what: str) -> None:
    graph, said = SIGNATURES[what]
    own = OwnModel(write(tmp_path / "m.onnx", **graph), IDS, vectors=write_vectors(tmp_path))
    refused(own, tmp_path, *said)


VECTORS: dict[str, tuple[Any, list[str]]] = {
    "a row for padding": (
        np.ones((6, D), np.float32),
        ["expected floats [5, d]", "float32[6, 5]", "padding"],
    ),
    "integers": (np.ones((5, D), np.int64), ["expected floats [5, d]", "found int64[5, 5]"]),
    "one number an item": (np.ones(5, np.float32), ["expected floats [5, d]", "found float32[5]"]),
    "another d": (np.ones((5, 3), np.float32), ["d 3, expected 5 as 'user_vector' has it"]),
    "not a number": (np.full((5, D), np.nan), ["expected finite numbers", "NaN or infinity in row 0"]),
    "too large for f32": (np.full((5, D), 1e300), ["expected finite numbers"]),
}


@pytest.mark.parametrize("what", list(VECTORS))
def test_vectors_that_do_not_fit(tmp_path: Path, what: str) -> None:
    array, said = VECTORS[what]
    own = OwnModel(sound(tmp_path), IDS, vectors=write_vectors(tmp_path, array))
    refused(own, tmp_path, "vectors.npy", *said)


def test_vectors_that_are_no_array(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    refused(OwnModel(sound(tmp_path), IDS, vectors=path), tmp_path, "expected floats [5, d]", "vectors.npy")
    path.write_bytes(b"nothing of the kind")
    refused(OwnModel(sound(tmp_path), IDS, vectors=path), tmp_path, "expected floats [5, d]")
    np.savez(tmp_path / "v.npz", a=np.ones(3))
    refused(OwnModel(sound(tmp_path), IDS, vectors=tmp_path / "v.npz"), tmp_path, "np.savez")


def test_vectors_of_other_floats_are_converted(tmp_path: Path) -> None:
    vectors = constants()["rows"][1:].astype(np.float64)
    path, advice = pack_own(
        OwnModel(sound(tmp_path), IDS, vectors=write_vectors(tmp_path, vectors)), tmp_path, 1
    )
    release = open_release(path)
    assert advice == []
    assert release.item_vectors.dtype == np.float32
    np.testing.assert_allclose(release.item_vectors, vectors, rtol=1e-6)
    assert release.item_ids == IDS
    assert release.name.startswith("own-")
    assert release.event_weights == DEFAULT_WEIGHTS
    again, _ = pack_own(OwnModel(sound(tmp_path), IDS, vectors=write_vectors(tmp_path, vectors)), tmp_path, 9)
    assert again.name == release.name, "the same content, the same name"


def test_a_user_vector_or_a_bank_needs_the_vectors_it_was_trained_with(tmp_path: Path) -> None:
    refused(
        OwnModel(sound(tmp_path), IDS, TEAS),
        tmp_path,
        *("output 'user_vector'", "expected --vectors V.npy, float32[5, 5]", "found none"),
    )
    nodes = [("ReduceSum", ["bank", "one_axis"], "u", {"keepdims": 0}), *TOP]
    graph = write(tmp_path / "m.onnx", nodes, (INDICES, SCORES), (BANK,))
    refused(OwnModel(graph, IDS, TEAS), tmp_path, "input 'bank'", "float32[5, 5]", "found none")


def test_vectors_from_metadata_are_those_of_day_0(tmp_path: Path) -> None:
    graph = write(tmp_path / "m.onnx", [*SUM, *TOP], (INDICES, SCORES))
    refused(OwnModel(graph, IDS), tmp_path, "expected --vectors", "found ids alone")
    bare = [Item(item_id=item_id) for item_id in IDS]
    refused(OwnModel(graph, IDS, bare), tmp_path, "expected --vectors", "none has a title")
    path, _ = pack_own(OwnModel(graph, IDS, TEAS), tmp_path, 1)
    packed, day0 = open_release(path), open_release(build_day0(TEAS, tmp_path / "day0"))
    np.testing.assert_array_equal(packed.item_vectors, day0.item_vectors)
    assert packed.space == day0.space, "profiles need not be rebuilt"
    assert packed.encoder is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "day0"}, ["kind", "expected a name of your own", "found 'day0'"]),
        ({"kind": "My Model"}, ["kind", "lower-case", "found 'My Model'"]),
        ({"gammas": (0.5, 1.5)}, ["gammas", "from 0 to 1", "[0.5, 1.5]"]),
        ({"gammas": ()}, ["gammas", "expected 1 to 32 numbers"]),
        ({"item_ids": []}, ["id table", "found none"]),
        ({"item_ids": ["a", "a", "b", "c", "d"]}, ["the same id"]),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, change: dict[str, Any], said: list[str]) -> None:
    own: dict[str, Any] = {"model": sound(tmp_path), "item_ids": IDS, "vectors": write_vectors(tmp_path)}
    refused(OwnModel(**(own | change)), tmp_path, *said)


def test_what_is_no_graph(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    refused(OwnModel(path, IDS), tmp_path, "m.onnx", "No such file")
    path.write_bytes(b"PK\x03\x04 a checkpoint of torch.save")
    refused(OwnModel(path, IDS), tmp_path, "m.onnx: expected an ONNX graph", "torch.save")
    path.write_bytes(b"")
    refused(OwnModel(path, IDS), tmp_path, "m.onnx: expected an ONNX graph, found one without nodes")


PLACES = {"rows": "deep/m.onnx.data", "matrix": "manifest.json"}


def test_weights_in_files_beside_the_graph_come_along(tmp_path: Path) -> None:
    """Several files, in a folder, one with the name of a file that every release has."""
    whole = write(tmp_path / "whole.onnx", [*SUM, *TOP, *AS_USER], (INDICES, SCORES, USER))
    split = write(tmp_path / "m.onnx", [*SUM, *TOP, *AS_USER], (INDICES, SCORES, USER))
    move_weights_out(split, PLACES)
    vectors = write_vectors(tmp_path)
    one, _ = pack_own(OwnModel(whole, IDS, vectors=vectors), tmp_path, 1)
    other, _ = pack_own(OwnModel(split, IDS, vectors=vectors), tmp_path, 1)
    files = {artefact.file for artefact in open_release(other).manifest.artefacts.values()}
    assert {"model.onnx", "model_data_1.bin", "model_data_2.bin"} <= files
    feeds = {"history_items": np.array([[3, 1]]), "history_mask": np.ones((1, 2), np.bool_)}
    answers = [OnnxModel(open_release(path)).outputs(feeds) for path in (one, other)]
    for name, array in answers[0].items():
        np.testing.assert_array_equal(array, answers[1][name])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), ["tensor 'rows'", "'deep/m.onnx.data'", "found none"]),
        (lambda file: file.write_bytes(b"x"), ["tensor 'rows' ends at byte 120", "found 1 bytes"]),
    ],
)
def test_weights_that_are_not_whole(tmp_path: Path, damage: Callable[[Path], Any], said: list[str]) -> None:
    graph = sound(tmp_path)
    move_weights_out(graph, PLACES)
    damage(tmp_path / "deep" / "m.onnx.data")
    refused(OwnModel(graph, IDS, vectors=write_vectors(tmp_path)), tmp_path, "m.onnx", *said)


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/hostname", "a\\..\\b", ""])
def test_weights_lie_beside_the_graph_and_nowhere_else(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    graph = sound(folder)
    move_weights_out(graph, {"rows": "there.bin"})
    model = onnx.load(str(graph), load_external_data=False)
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == "rows"]
    tensor.external_data[0].value = place
    graph.write_bytes(model.SerializeToString())
    own = OwnModel(graph, IDS, vectors=write_vectors(tmp_path))
    refused(own, tmp_path, "tensor 'rows' lies in", "expected a file beside the graph")


def test_a_shape_that_the_export_left_out_is_seen_when_it_runs(tmp_path: Path) -> None:
    graph = sound(tmp_path)
    model = onnx.load(str(graph))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    graph.write_bytes(model.SerializeToString())
    path, _ = pack_own(OwnModel(graph, IDS, vectors=write_vectors(tmp_path)), tmp_path, 1)
    assert open_release(path).manifest.graphs["model"].outputs[0].shape == ("B", "d")


def test_a_copied_graph_is_the_same_bytes(tmp_path: Path) -> None:
    graph = sound(tmp_path)
    (tmp_path / "out").mkdir()
    copy_graph(read_graph(graph), tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == graph.read_bytes()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, flags = str(tmp_path / "releases"), ["--kind", "mine", "--gammas", "0,1", "--json"]
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    table = ["--items", str(tmp_path / "ids.txt"), "--vectors", str(write_vectors(tmp_path))]
    model = str(sound(tmp_path))
    weights = ["--event-weights", "add_to_cart=2,purchase=7", "--blend", "popularity=0.5"]
    place = ["--publish", "--promote", "--release-url", url]
    assert main(["release", "pack", "--model", model, *table, *flags, *weights, *place]) == 0
    name = json.loads(capsys.readouterr().out)["release"]
    assert [(entry.name, entry.live) for entry in list_releases(url)] == [(name, True)]
    manifest = open_release(tmp_path / "releases" / name).manifest
    assert manifest.kind == "mine"
    assert manifest.space.gammas == (0.0, 1.0)
    assert manifest.event_weights == {**DEFAULT_WEIGHTS, "cart_add": 2.0, "purchase": 7.0}
    assert manifest.blend == {"popularity": 0.5}
    for checked in ([url + "/" + name], ["--release-url", url], [model], [model, *table]):
        assert main(["release", "check", *checked]) == 0, checked
        assert "all checks passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--event-weights", "purchse=5"], ["--event-weights", "'purchse'", "'purchase'"]),
        (["--event-weights", "purchase"], ["--event-weights", "expected name=number", "found 'purchase'"]),
        (["--event-weights", "purchase=1e9"], ["from -1000 to 1000", "found 'purchase=1e9'"]),
        (["--blend", "likeness=1"], ["--blend: expected similarity", "found 'likeness'"]),
        (["--gammas", "a,b"], ["--gammas: expected numbers such as", "found 'a,b'"]),
        (["--promote"], ["--publish --promote"]),
    ],
)
def test_flags_that_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: list[str]
) -> None:
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    files = ["--model", str(sound(tmp_path)), "--items", str(tmp_path / "ids.txt")]
    assert main(["release", "pack", *files, "--to", str(tmp_path / "out"), *flags]) == 1
    told = capsys.readouterr().err
    assert all(part in told for part in said), told


def test_checking_says_what_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = write(tmp_path / "m.onnx", [*SUM, *TOP], (INDICES, SCORES), (HISTORY, MASK, TYPES))
    model = onnx.load(str(broken))
    model.graph.node[-1].attribute.append(onnx.helper.make_attribute("largest", 0))
    broken.write_bytes(model.SerializeToString())
    assert main(["release", "check", str(broken)]) == 1
    assert "output 'scores'" in (told := capsys.readouterr().err), told
    own = OwnModel(broken, IDS, vectors=write_vectors(tmp_path))
    packed = str(pack_directory(own, tmp_path, 1))
    assert main(["release", "check", packed]) == 1
    assert main(["release", "publish", packed, "--release-url", str(tmp_path / "there")]) == 1
    assert "expected falling scores" in capsys.readouterr().err
    assert not (tmp_path / "there").exists()
    assert main(["release", "check", str(tmp_path / "nowhere")]) == 1
    assert "no such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "vectors"), [("sequence_user_vector.onnx", True), ("sequence_top.onnx", False)]
)
def test_the_model_from_pytorch_is_sound(tmp_path: Path, model: str, vectors: bool) -> None:
    files = ["--model", str(MODELS / model), "--items", str(MODELS / "sequence_items.ndjson")]
    files += ["--vectors", str(MODELS / "sequence_vectors.npy")] if vectors else []
    assert main(["release", "pack", *files, "--to", str(tmp_path)]) == 0
