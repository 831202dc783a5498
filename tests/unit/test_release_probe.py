"""The probe: what a graph gets wrong when it runs is told by input or output, expected and found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from services.kernel.release import ReleaseError
from services.ranking.model import OnnxModel
from services.ranking.probe import probe, require_sound
from services.release.files import Release, open_release
from services.trainer.own_model import OwnModel, pack_directory, pack_own
from tests.unit.own_graphs import (
    AS_USER,
    HISTORY,
    IDS,
    INDICES,
    ITEMS,
    MASK,
    SCORES,
    SUM,
    TOP,
    TYPES,
    USER,
    D,
    constants,
    write,
    write_vectors,
)


def told(folder: Path, nodes: Any, **graph: Any) -> list[str]:
    """What the probe says of a graph, the fatal findings marked."""
    own = OwnModel(write(folder / "m.onnx", nodes, **graph), IDS, vectors=write_vectors(folder))
    model = OnnxModel(open_release(pack_directory(own, folder, 1)), warm=False)
    return [f"{'!' if finding.fatal else '?'} {finding}" for finding in probe(model)]


def test_our_own_graph_is_sound(release: Release) -> None:
    assert require_sound(OnnxModel(release, warm=False)) == []


@pytest.mark.parametrize("outputs", [(USER,), (INDICES, SCORES), (INDICES, SCORES, USER)])
def test_sound_graphs_have_nothing_said_of_them(tmp_path: Path, outputs: Any) -> None:
    assert told(tmp_path, [*SUM, *TOP, *AS_USER], outputs=outputs) == []


def test_a_fixed_length_is_sound(tmp_path: Path) -> None:
    inputs = [(name, dtype, ("B", 50)) for name, dtype, _ in (HISTORY, MASK)]
    assert told(tmp_path, [*SUM, *AS_USER], inputs=inputs) == []


RENAMED = (*SUM[:-1], ("ReduceSum", ["vectors", "one_axis"], "v", {"keepdims": 0}))
AFTER = ("Identity", ["u"], "user_vector")
BROKEN: dict[str, tuple[list[Any], dict[str, Any], str, str, str]] = {
    "rows of a batch see each other": (
        [*RENAMED, ("ReduceMean", ["v"], "mean", {"axes": [0]}), ("Sub", ["v", "mean"], "user_vector")],
        {},
        "! graph, .*row 0 of a batch of 2",
        "expected the answer that it gives alone",
        "found a user_vector that differs by .*rows of a batch must not see each other",
    ),
    "padding is averaged": (
        [*SUM[:-1], ("ReduceMean", ["vectors"], "user_vector", {"axes": [1], "keepdims": 0})],
        {},
        "! inputs history_items, history_mask, a history of 1 event with 1 more places of padding",
        "expected the answer that it gives without them",
        "found a user_vector that differs",
    ),
    "nothing divided by nothing": (
        [
            *RENAMED,
            ("ReduceSum", ["mask", "one_axis"], "count", {"keepdims": 1}),
            ("Div", ["v", "count"], "user_vector"),
        ],
        {},
        "! output 'user_vector', an empty profile",
        "expected finite numbers",
        "found NaN",
    ),
    "dropout is left on": (
        [*RENAMED, ("RandomUniformLike", ["v"], "noise"), ("Add", ["v", "noise"], "user_vector")],
        {},
        "! graph, an empty profile",
        "expected the same answer twice",
        "found a user_vector that differs .*training mode",
    ),
    "-1 is the last row": (
        [("Gather", ["rows", "history_items"], "looked_up"), *SUM[2:], AFTER],
        {"given": constants() | {"rows": constants()["rows"][1:]}},
        r"! input 'history_items', one event with an unknown item \(-1\)",
        "expected an answer of its own",
        "found that of item 4, the last one",
    ),
    "-1 is the first row": (
        [("Relu", ["floats"], "clamped"), *SUM[2:], AFTER],
        {},
        r"\? input 'history_items', one event with an unknown item \(-1\)",
        "expected an answer of its own",
        "found that of item 0",
    ),
    "the embedding is shorter than the id table": (
        [*SUM, *AS_USER],
        {"given": constants(items=3)},
        "! graph, a history of 1 event",
        "expected an answer",
        r"found an error with history_items \[1, 1\].*out of data bounds.*id table has 5 items",
    ),
    "the example's length is a constant": (
        [
            *RENAMED[:-1],
            ("Reshape", ["vectors", "shape"], "three"),
            ("ReduceSum", ["three", "one_axis"], "u"),
        ],
        {"given": constants() | {"shape": np.array([-1, 3, D], np.int64)}},
        "! graph, an empty profile",
        "expected an answer",
        "found an error with .*make B and L dynamic",
    ),
    "more rows than users": (
        [*RENAMED, ("Concat", ["v", "v"], "user_vector", {"axis": 0})],
        {},
        "! output 'user_vector', an empty profile",
        r"expected shape \[1, 5\] \(one row a user\)",
        r"found shape \[2, 5\]",
    ),
    "the worst first": (
        [*SUM, TOP[0], ("TopK", ["all", "k"], ["scores", "item_indices"], {"axis": 1, "largest": 0})],
        {"outputs": (INDICES, SCORES)},
        "! output 'scores', a history of 1 event",
        "expected falling scores, the best first",
        "found .* before .* at place 0",
    ),
    "indices are one off": (
        [
            *SUM,
            TOP[0],
            ("TopK", ["all", "k"], ["scores", "top"], {"axis": 1}),
            ("Add", ["top", "one"], "item_indices"),
        ],
        {"outputs": (INDICES, SCORES)},
        "! output 'item_indices', ",
        r"expected -1 to 4 \(the id table has 5 items\)",
        "found 5",
    ),
    "one item over and over": (
        [
            *SUM,
            TOP[0],
            ("TopK", ["all", "k"], ["scores", "top"], {"axis": 1}),
            ("Sub", ["top", "top"], "item_indices"),
        ],
        {"outputs": (INDICES, SCORES)},
        "! output 'item_indices', an empty profile",
        "expected each item once",
        "found 0 twice",
    ),
    "as many indices as scores": (
        [
            *SUM,
            *TOP[:1],
            ("TopK", ["all", "k"], ["scores", "top"], {"axis": 1}),
            ("Gather", ["top", "one_axis"], "item_indices", {"axis": 1}),
        ],
        {"outputs": (INDICES, SCORES)},
        "! output 'item_indices', an empty profile",
        r"expected shape \[1, 3\]",
        r"found shape \[1, 1\]",
    ),
    "one answer for all": (
        [*RENAMED, ("Sub", ["v", "v"], "nothing"), ("Add", ["nothing", "half"], "user_vector")],
        {},
        r"\? graph, .* different histories",
        "expected different answers",
        "found one answer for all",
    ),
    "few event types": (
        [
            *RENAMED,
            ("Gather", ["weights", "history_types"], "weighed"),
            ("ReduceSum", ["weighed", "one_axis"], "weight", {"keepdims": 1}),
            ("Mul", ["v", "weight"], "user_vector"),
        ],
        {
            "given": constants() | {"weights": np.r_[0.0, np.ones(15)].astype(np.float32)},
            "inputs": (HISTORY, MASK, TYPES),
        },
        r"\? graph, an event type of your own, number 255",
        "expected an answer",
        "found an error with .*history_types",
    ),
}
BROKEN["-1 is the first row"][0][:1] = [
    ("Cast", ["history_items"], "floats", {"to": TensorProto.FLOAT}),
    ("Relu", ["floats"], "clamped"),
    ("Cast", ["clamped"], "place", {"to": TensorProto.INT64}),
    ("Gather", ["items", "place"], "looked_up"),
]
BROKEN["-1 is the first row"][1]["given"] = constants() | {"items": constants()["rows"][1:]}
BROKEN["the example's length is a constant"][0][-1:] = [
    ("ReduceSum", ["three", "one_axis"], "user_vector", {"keepdims": 0})
]


@pytest.mark.parametrize("what", list(BROKEN))
def test_what_is_broken_is_told(tmp_path: Path, what: str) -> None:
    nodes, graph, *expected = BROKEN[what]
    found = told(tmp_path, nodes, **graph)
    with pytest.raises(AssertionError, match=", ".join([expected[0] + ".*: " + "; ".join(expected[1:])])):
        raise AssertionError("\n".join(found))
    fatal = expected[0].startswith("!")
    own = OwnModel(tmp_path / "m.onnx", IDS, vectors=tmp_path / "vectors.npy")
    if fatal:
        with pytest.raises(ReleaseError, match="breaks the contract when it runs"):
            pack_own(own, tmp_path, 1)
        assert not [path for path in tmp_path.iterdir() if path.is_dir() and path.name.startswith(".")]
    else:
        assert pack_own(own, tmp_path, 1)[1]


def test_minus_infinity_is_none(tmp_path: Path) -> None:
    """A model may say which items it does not mean; serving drops them."""
    given = constants() | {"hidden": np.array([0, -np.inf, -np.inf, -np.inf, 0], np.float32)}
    nodes = [
        *SUM,
        TOP[0],
        ("Add", ["all", "hidden"], "some"),
        ("TopK", ["some", "k"], ["scores", "item_indices"], {"axis": 1}),
    ]
    assert told(tmp_path, nodes, outputs=(INDICES, SCORES), given=given) == []


def test_without_a_table_indices_have_no_end(tmp_path: Path) -> None:
    own = OwnModel(
        write(tmp_path / "m.onnx", [*SUM, *TOP], (INDICES, SCORES)),
        IDS[:1],
        vectors=write_vectors(tmp_path, np.ones((1, D), np.float32)),
    )
    model = OnnxModel(open_release(pack_directory(own, tmp_path, 1)), warm=False)
    assert probe(model, table=False) == []
    assert any(finding.fatal for finding in probe(model))
    assert ITEMS > 1
