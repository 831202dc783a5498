"""The graph of the day-0 release: bank and bank_weight → user_vector → scores over all items → TopK."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from onnx import helper

from services.kernel.release import Graph, TensorSpec, VectorSpace
from services.trainer.scoring_graph import constant, save_scored_model, scoring_nodes

_TINY: Final = 1e-12


def save_graph(directory: Path, items: int, space: VectorSpace, shares: Sequence[float]) -> Graph:
    """Write `model.onnx`, whose item matrix is `item_vectors.npy` itself (external data, mapped, one copy).

    `shares` says how much each of the K means S_k / W_k counts. The graph:
    u = Σ_k share_k · S_k / max(W_k, tiny), divided by max(|u|, tiny); then the scoring of all items.
    An empty bank gives u = 0 and scores 0, never NaN.
    """
    total = sum(shares)
    constants = [
        constant("shares", [[share / total] for share in shares], np.float32),
        constant("tiny", _TINY, np.float32),
        constant("last_axis", [2], np.int64),
        constant("decays", [1], np.int64),
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
    ]
    inputs = (
        TensorSpec("bank", "float32", ("B", space.k, space.d)),
        TensorSpec("bank_weight", "float32", ("B", space.k)),
    )
    return save_scored_model(
        directory,
        "day0",
        nodes=nodes,
        initializers=constants,
        inputs=inputs,
        part=scoring_nodes(directory, items, space.d),
        d=space.d,
    )
