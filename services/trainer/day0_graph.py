"""The graph of the day-0 release: bank and bank_weight → user_vector → scores over all items → TopK."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from services.kernel.release import Graph, TensorSpec, VectorSpace

OPSET: Final = 17
IR_VERSION: Final = 8  # the one that came with opset 17; ONNX Runtime reads all up to its own
TOP_K: Final = 256  # a list has up to 200 items, and rules take some away
_TINY: Final = 1e-12


def save_graph(directory: Path, items: int, space: VectorSpace, shares: Sequence[float]) -> Graph:
    """Write `model.onnx`, whose item matrix is `item_vectors.npy` itself (external data, mapped, one copy).

    `shares` says how much each of the K means S_k / W_k counts. The graph:
    u = Σ_k share_k · S_k / max(W_k, tiny), divided by max(|u|, tiny); scores = item_vectors · u; TopK.
    An empty bank gives u = 0 and scores 0, never NaN.
    """
    k = min(TOP_K, items)
    total = sum(shares)
    constants = [
        numpy_helper.from_array(np.array([share / total for share in shares], np.float32)[:, None], "shares"),
        numpy_helper.from_array(np.array(_TINY, np.float32), "tiny"),
        numpy_helper.from_array(np.array([k], np.int64), "k"),
        numpy_helper.from_array(np.array([2], np.int64), "last_axis"),
        numpy_helper.from_array(np.array([1], np.int64), "decays"),
        _mapped_matrix(directory / "item_vectors.npy", items, space.d),
    ]
    nodes = [
        helper.make_node("Max", ["bank_weight", "tiny"], ["weight"]),
        helper.make_node("Unsqueeze", ["weight", "last_axis"], ["weight_column"]),
        helper.make_node("Div", ["bank", "weight_column"], ["means"]),
        helper.make_node("Mul", ["means", "shares"], ["shared"]),
        helper.make_node("ReduceSum", ["shared", "decays"], ["mean"], keepdims=0),
        helper.make_node("ReduceL2", ["mean"], ["length"], axes=[1], keepdims=1),
        helper.make_node("Max", ["length", "tiny"], ["safe_length"]),
        helper.make_node("Div", ["mean", "safe_length"], ["user_vector"]),
        helper.make_node("Gemm", ["user_vector", "item_vectors"], ["all_scores"], transB=1),
        helper.make_node("TopK", ["all_scores", "k"], ["scores", "item_indices"], axis=1),
    ]
    inputs = (
        TensorSpec("bank", "float32", ("B", space.k, space.d)),
        TensorSpec("bank_weight", "float32", ("B", space.k)),
    )
    outputs = (
        TensorSpec("item_indices", "int64", ("B", k)),
        TensorSpec("scores", "float32", ("B", k)),
        TensorSpec("user_vector", "float32", ("B", space.d)),
    )
    body = helper.make_graph(nodes, "day0", _values(inputs), _values(outputs), constants)
    model = helper.make_model(
        body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="freshet"
    )
    (directory / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return Graph("model", OPSET, inputs, outputs)


def _values(specs: Sequence[TensorSpec]) -> list[onnx.ValueInfoProto]:
    types = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    return [helper.make_tensor_value_info(spec.name, types[spec.dtype], spec.shape) for spec in specs]


def _mapped_matrix(path: Path, items: int, d: int) -> onnx.TensorProto:
    length = items * d * 4
    offset = path.stat().st_size - length
    tensor = TensorProto(
        name="item_vectors",
        data_type=TensorProto.FLOAT,
        dims=[items, d],
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", path.name), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return tensor
