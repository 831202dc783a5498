"""Graphs as a team might export them, sound and broken, five items in a space of five numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

ITEMS, D = 5, 5
IDS = [f"item-{index}" for index in range(ITEMS)]
Spec = tuple[str, int, Sequence[str | int]]
HISTORY: Spec = ("history_items", TensorProto.INT64, ("B", "L"))
MASK: Spec = ("history_mask", TensorProto.BOOL, ("B", "L"))
TYPES: Spec = ("history_types", TensorProto.INT64, ("B", "L"))
USER: Spec = ("user_vector", TensorProto.FLOAT, ("B", D))
INDICES: Spec = ("item_indices", TensorProto.INT64, ("B", "k"))
SCORES: Spec = ("scores", TensorProto.FLOAT, ("B", "k"))

# u = the sum of the vectors of what stands in the history, newest included, padding masked.
SUM = (
    ("Add", ["history_items", "one"], "place"),
    ("Gather", ["rows", "place"], "looked_up"),
    ("Cast", ["history_mask"], "mask", {"to": TensorProto.FLOAT}),
    ("Unsqueeze", ["mask", "two"], "mask_column"),
    ("Mul", ["looked_up", "mask_column"], "vectors"),
    ("ReduceSum", ["vectors", "one_axis"], "u", {"keepdims": 0}),
)
AS_USER = (("Identity", ["u"], "user_vector"),)
TOP = (
    ("MatMul", ["u", "matrix"], "all"),
    ("TopK", ["all", "k"], ["scores", "item_indices"], {"axis": 1}),
)


def constants(items: int = ITEMS) -> dict[str, NDArray[Any]]:
    """The initializers that the nodes above take; rows are those of `items` items and one for -1."""
    matrix = np.random.default_rng(3).normal(size=(items, D)).astype(np.float32)
    return {
        "rows": np.vstack([np.zeros((1, D), np.float32), matrix]),
        "matrix": np.ascontiguousarray(matrix.T),
        "one": np.array(1, np.int64),
        "one_axis": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "zero_axis": np.array([0], np.int64),
        "k": np.array([3], np.int64),
        "half": np.array(0.5, np.float32),
    }


def write(
    path: Path,
    nodes: Sequence[Any],
    outputs: Sequence[Spec] = (USER,),
    inputs: Sequence[Spec] = (HISTORY, MASK),
    *,
    opset: int = 17,
    given: dict[str, NDArray[Any]] | None = None,
) -> Path:
    """Save a graph of (operator, inputs, output, attributes) nodes."""
    values = constants() if given is None else given
    made = [
        helper.make_node(
            node[0], node[1], [node[2]] if isinstance(node[2], str) else node[2], **dict(*node[3:])
        )
        for node in nodes
    ]
    used = {name for node in made for name in node.input}
    graph = helper.make_graph(
        made,
        "own",
        [helper.make_tensor_value_info(*spec) for spec in inputs],
        [helper.make_tensor_value_info(*spec) for spec in outputs],
        [numpy_helper.from_array(value, name) for name, value in values.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def write_vectors(folder: Path, array: NDArray[Any] | None = None) -> Path:
    """`vectors.npy` beside a graph."""
    path = folder / "vectors.npy"
    np.save(path, constants()["rows"][1:] if array is None else array)
    return path


def move_weights_out(path: Path, places: dict[str, str]) -> None:
    """Rewrite a graph so that some initializers lie in files beside it, each where `places` says."""
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name not in places:
            continue
        file = path.parent / places[tensor.name]
        file.parent.mkdir(parents=True, exist_ok=True)
        offset = file.stat().st_size if file.exists() else 0
        with file.open("ab") as out:
            out.write(tensor.raw_data)
        entries = {"location": places[tensor.name], "offset": offset, "length": len(tensor.raw_data)}
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())
