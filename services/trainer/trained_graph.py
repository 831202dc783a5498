"""The graphs of a trained release, built with the onnx helper from plain arrays.

`model`: bank and bank_weight → user_vector → the scoring of all items, the same numbers as
`services.trainer.network.users_of`, times the temperature. `ranker`: features → scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from services.kernel.release import Graph, TensorSpec, VectorSpace
from services.trainer.scoring_graph import (
    EXACT_NUMBERS_MAX,
    IR_VERSION,
    OPSET,
    constant,
    save_scored_model,
    scoring_nodes,
)

Arrays = Mapping[str, NDArray[Any]]
_TINY: Final = 1e-12
_EPSILON: Final = 1e-5  # of both layer norms, as in training


def save_model(
    directory: Path, params: Arrays, space: VectorSpace, *, exact_numbers_max: int = EXACT_NUMBERS_MAX
) -> Graph:
    """Write `model.onnx` for the network's `params`; item_vectors.npy (unit rows) is there already.

    Catalogues of more than `exact_numbers_max` numbers get an 8-bit copy beside it.
    """
    items = int(np.asarray(params["items"]).shape[0])
    temperature = float(np.exp(np.asarray(params["log_temperature"])))
    root = float(np.sqrt(space.d))
    weights = ("in_gain", "in_bias", "w1", "b1", "w2", "b2", "w3", "skip", "b3", "out_gain", "out_bias")
    constants = [constant(name, np.asarray(params[name]), np.float32) for name in weights]
    constants += [
        constant("tiny", _TINY, np.float32),
        constant("root", root, np.float32),
        constant("temperature", temperature, np.float32),
        constant("last_axis", [2], np.int64),
        constant("flat", [0, space.k * space.d], np.int64),
    ]
    node = helper.make_node
    nodes = [
        node("Max", ["bank_weight", "tiny"], ["weight"]),
        node("Unsqueeze", ["weight", "last_axis"], ["weight_column"]),
        node("Div", ["bank", "weight_column"], ["means"]),
        node("Reshape", ["means", "flat"], ["flat_means"]),
        node("Mul", ["flat_means", "root"], ["raised"]),
        node("LayerNormalization", ["raised", "in_gain", "in_bias"], ["x"], axis=-1, epsilon=_EPSILON),
        *_silu_layer("x", "w1", "b1", "hidden1"),
        *_silu_layer("hidden1", "w2", "b2", "hidden2"),
        node("MatMul", ["hidden2", "w3"], ["mixed"]),
        node("MatMul", ["x", "skip"], ["skipped"]),
        node("Add", ["mixed", "skipped"], ["summed"]),
        node("Add", ["summed", "b3"], ["out"]),
        node("LayerNormalization", ["out", "out_gain", "out_bias"], ["normed"], axis=-1, epsilon=_EPSILON),
        node("ReduceL2", ["normed"], ["length"], axes=[1], keepdims=1),
        node("Max", ["length", "tiny"], ["safe_length"]),
        node("Div", ["normed", "safe_length"], ["direction"]),
        *_nobody(),
        node("Mul", ["known_direction", "temperature"], ["user_vector"]),
    ]
    constants.append(constant("zero", 0.0, np.float32))
    inputs = (
        TensorSpec("bank", "float32", ("B", space.k, space.d)),
        TensorSpec("bank_weight", "float32", ("B", space.k)),
    )
    return save_scored_model(
        directory,
        "decayed_averages",
        nodes=nodes,
        initializers=constants,
        inputs=inputs,
        part=scoring_nodes(directory, items, space.d, exact_numbers_max=exact_numbers_max),
        d=space.d,
    )


def _nobody() -> list[onnx.NodeProto]:
    """An empty bank gives zeros: nobody is like nothing, and the ladder's next step answers."""
    node = helper.make_node
    return [
        node("ReduceMax", ["bank_weight"], ["heaviest"], axes=[1], keepdims=1),
        node("Greater", ["heaviest", "zero"], ["known"]),
        node("Where", ["known", "direction", "zero"], ["known_direction"]),
    ]


def _silu_layer(x: str, w: str, b: str, out: str) -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node("MatMul", [x, w], [f"{out}_product"]),
        node("Add", [f"{out}_product", b], [f"{out}_sum"]),
        node("Sigmoid", [f"{out}_sum"], [f"{out}_gate"]),
        node("Mul", [f"{out}_sum", f"{out}_gate"], [out]),
    ]


def save_ranker(directory: Path, params: Arrays) -> Graph:
    """Write `ranker.onnx`: features f32[N, F], made alike by `mean` and `spread`, → scores f32[N]."""
    names = ("mean", "spread", "w1", "b1", "w2", "b2", "w3", "linear")
    constants = [constant(name, np.asarray(params[name]), np.float32) for name in names]
    constants.append(constant("flat", [-1], np.int64))
    node = helper.make_node
    nodes = [
        node("Sub", ["features", "mean"], ["centred"]),
        node("Div", ["centred", "spread"], ["x"]),
        *_silu_layer("x", "w1", "b1", "hidden1"),
        *_silu_layer("hidden1", "w2", "b2", "hidden2"),
        node("MatMul", ["hidden2", "w3"], ["curved"]),
        node("MatMul", ["x", "linear"], ["straight"]),
        node("Add", ["curved", "straight"], ["column"]),
        node("Reshape", ["column", "flat"], ["scores"]),
    ]
    width = int(np.asarray(params["mean"]).shape[0])
    inputs = (TensorSpec("features", "float32", ("N", width)),)
    outputs = (TensorSpec("scores", "float32", ("N",)),)
    body = helper.make_graph(
        nodes,
        "ranker",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ("N", width))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("N",))],
        constants,
    )
    model = helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="freshet",
    )
    (directory / "ranker.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return Graph("ranker", OPSET, inputs, outputs)
