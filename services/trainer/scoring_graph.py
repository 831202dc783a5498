"""The part of a graph that scores all items: from `user_vector` to the best items and their scores.

Every model that we build ends in the same nodes, whatever makes its user vector:

    scores = item_vectors · user_vector, the best k by TopK

The item matrix is `item_vectors.npy` itself: external data that the runtime maps, one copy on disk and in
memory for the graph, the profiler and the ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from services.kernel.release import Graph, ReleaseError, TensorSpec

OPSET: Final = 17
IR_VERSION: Final = 8  # the one that came with opset 17; ONNX Runtime reads all up to its own
TOP_K: Final = 256  # a list has up to 200 items, and rules take some away
VECTORS_FILE: Final = "item_vectors.npy"
_TYPES: Final = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8}


class ScoringPart(NamedTuple):
    """What goes at the end of a graph that has a node output `user_vector` f32[B, d].

    `nodes` end in `scores` f32[B, k] and `item_indices` int64[B, k], best first, k = min(top_k, items); every
    other name in them begins with "scoring_" or is that of the item matrix, "item_vectors". `files` were
    written into the directory beside `item_vectors.npy`.
    """

    nodes: list[onnx.NodeProto]
    initializers: list[onnx.TensorProto]
    opset_imports: list[onnx.OperatorSetIdProto]
    files: list[str]
    k: int


def scoring_nodes(directory: Path, items: int, d: int, *, top_k: int = TOP_K) -> ScoringPart:
    """The scoring of all items, whose vectors f32[items, d] stand in `directory`/item_vectors.npy.

    The scores are exact f32 products of the returned items' vectors with `user_vector`. Raises ReleaseError
    where the file holds something else.
    """
    k = min(top_k, items)
    matrix = mapped_tensor(directory / VECTORS_FILE, "item_vectors", (items, d))
    nodes = [
        helper.make_node("Gemm", ["user_vector", "item_vectors"], ["scoring_all"], transB=1),
        helper.make_node("TopK", ["scoring_all", "scoring_k"], ["scores", "item_indices"], axis=1),
    ]
    return ScoringPart(nodes, [matrix, constant("scoring_k", [k], np.int64)], _opsets(), [], k)


def save_scored_model(
    directory: Path,
    name: str,
    *,
    nodes: Sequence[onnx.NodeProto],
    initializers: Sequence[onnx.TensorProto],
    inputs: Sequence[TensorSpec],
    part: ScoringPart,
    d: int,
) -> Graph:
    """Write `model.onnx`: `nodes`, which make `user_vector` f32[B, d] from `inputs`, then the scoring.

    Answers the manifest's entry for it. `name` is the graph's.
    """
    outputs = (
        TensorSpec("item_indices", "int64", ("B", part.k)),
        TensorSpec("scores", "float32", ("B", part.k)),
        TensorSpec("user_vector", "float32", ("B", d)),
    )
    constants = [*initializers, *part.initializers]
    body = helper.make_graph([*nodes, *part.nodes], name, _values(inputs), _values(outputs), constants)
    model = helper.make_model(
        body, opset_imports=part.opset_imports, ir_version=IR_VERSION, producer_name="freshet"
    )
    (directory / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return Graph("model", OPSET, tuple(inputs), outputs)


def constant(name: str, value: Any, dtype: type[np.generic]) -> onnx.TensorProto:
    """An initializer that stands in the graph itself."""
    return numpy_helper.from_array(np.array(value, dtype=dtype), name)


def mapped_tensor(path: Path, name: str, shape: tuple[int, ...]) -> onnx.TensorProto:
    """An initializer that is the numbers of a .npy file (`services.release.pack.save_array`), to be mapped.

    Raises ReleaseError where the file has another shape.
    """
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != shape:
        raise ReleaseError(f"{path.name} has shape {list(array.shape)}, expected {list(shape)}")
    tensor = TensorProto(
        name=name,
        data_type=_TYPES[array.dtype.name],
        dims=shape,
        data_location=TensorProto.EXTERNAL,
    )
    offset = path.stat().st_size - array.nbytes
    for key, value in (("location", path.name), ("offset", str(offset)), ("length", str(array.nbytes))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _opsets() -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid("", OPSET)]


def _values(specs: Sequence[TensorSpec]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(spec.name, _TYPES[spec.dtype], spec.shape) for spec in specs]
