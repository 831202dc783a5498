"""The part of a graph that scores all items: from `user_vector` to the best items and their scores.

Every model that we build ends in the same nodes, whatever makes its user vector. A small catalogue:

    scores = item_vectors · user_vector, the best k by TopK

A larger one reads a quarter of the bytes, and is exact in what it answers:

1. Score all items with an 8-bit copy of their vectors, in whole numbers.
2. Take CANDIDATES_PER_RESULT · k candidates.
3. Score these again with their exact f32 vectors, and take the best k.

The item matrix is `item_vectors.npy` itself: external data that the runtime maps, one copy on disk and in
memory for the graph, the profiler and the ranking. All operations are those of the standard, so that every
runtime from 1.19 on has them.

What brought nothing: a 4-bit copy (MatMulNBits) needs 768 to 1,024 candidates for the best 100, still loses
up to 1 % of them where vectors are strongly skewed, and is no faster on a quiet machine (a sixth at a
million items where memory is busy); 8 bits by MatMulNBits take a fifth longer than by MatMulInteger; items
as the left factor, which would need no packing, take five times as long; the best of blocks first, then the
blocks' items (ReduceMax before TopK) halves TopK on f32 scores, but on whole numbers it is as fast without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from services.kernel.release import Graph, ReleaseError, TensorSpec
from services.release.pack import save_array

OPSET: Final = 17
IR_VERSION: Final = 8  # the one that came with opset 17; ONNX Runtime reads all up to its own
TOP_K: Final = 256  # a list has up to 200 items, and rules take some away
VECTORS_FILE: Final = "item_vectors.npy"
CODES_FILE: Final = "item_codes.npy"
# Numbers (items · d) up to which all scores are f32. Here the two take the same time (640,000: .14 ms) or the
# copy is a little faster (1,280,000: .26 and .16 ms), and it would be one more file. At 2.8 million, 43,097
# items of 64, it takes .29 ms where f32 takes .51, at 64 million 3.1 where f32 takes 15.7.
EXACT_NUMBERS_MAX: Final = 1 << 20
# At a million items all of the true best 256 are among the first 384 of the copy's order (random and
# clustered vectors, d 32 to 128; of strongly skewed ones 99.4 %). 600 candidates more would cost .4 ms.
CANDIDATES_PER_RESULT: Final = 1.5
# The largest code. Seven bits, not eight: processors without VNNI add pairs of u8 · i8 in 16 bits that
# saturate, and 2 · 255 · 63 fits. With exact scores at the end the eighth bit would bring nothing.
CODE_MAX: Final = 63
_USER_CODE_MAX: Final = 127  # the user's vector as u8 around 128
CHUNK_ITEMS: Final = 65_536  # rows that are coded at once: 16 MB at d = 64
_TINY: Final = 1e-30
_TYPES: Final = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "int8": TensorProto.INT8}


FloatArray = NDArray[np.float32]


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


def scoring_nodes(
    directory: Path, items: int, d: int, *, top_k: int = TOP_K, exact_numbers_max: int = EXACT_NUMBERS_MAX
) -> ScoringPart:
    """The scoring of all items, whose vectors f32[items, d] stand in `directory`/item_vectors.npy.

    With more than `exact_numbers_max` numbers in them an 8-bit copy chooses the candidates.

    The scores are exact f32 products of the returned items' vectors with `user_vector`, whatever chose the
    items. Of equal scores the item with the lower index comes first where the vectors are equal. Zeros as
    `user_vector` give scores 0. Raises ReleaseError where the file holds something else.
    """
    k = min(top_k, items)
    matrix = mapped_tensor(directory / VECTORS_FILE, "item_vectors", (items, d))
    initializers = [matrix, constant("scoring_k", [k], np.int64)]
    if items * d <= exact_numbers_max:
        nodes = [
            helper.make_node("Gemm", ["user_vector", "item_vectors"], ["scoring_all"], transB=1),
            helper.make_node("TopK", ["scoring_all", "scoring_k"], ["scores", "item_indices"], axis=1),
        ]
        return ScoringPart(nodes, initializers, _opsets(), [], k)
    turn = save_codes(directory)
    candidates = min(math.ceil(CANDIDATES_PER_RESULT * k), items)
    initializers += [
        mapped_tensor(directory / CODES_FILE, "scoring_codes", (d, items)),
        constant("scoring_turn", turn, np.float32),
        constant("scoring_tiny", _TINY, np.float32),
        constant("scoring_user_step", 1 / _USER_CODE_MAX, np.float32),
        constant("scoring_user_zero", 128, np.uint8),
        constant("scoring_candidates", [candidates], np.int64),
        constant("scoring_last_axis", [2], np.int64),
    ]
    return ScoringPart([*_candidate_nodes(), *_rerank_nodes()], initializers, _opsets(), [CODES_FILE], k)


def _candidate_nodes() -> list[onnx.NodeProto]:
    """`scoring_candidate` int64[B, c]: the best by whole numbers, of equals the lower index first.

    Each user's vector gets a scale of its own, so that a batch answers what its rows would alone; the scale
    is positive and the same for all items, so the whole numbers need not be turned back.
    """
    node = helper.make_node
    return [
        node("MatMul", ["user_vector", "scoring_turn"], ["scoring_scaled"]),
        node("Abs", ["scoring_scaled"], ["scoring_sizes"]),
        node("ReduceMax", ["scoring_sizes"], ["scoring_largest"], axes=[1], keepdims=1),
        node("Max", ["scoring_largest", "scoring_tiny"], ["scoring_safe"]),
        node("Div", ["scoring_scaled", "scoring_safe"], ["scoring_unit"]),
        node("QuantizeLinear", ["scoring_unit", "scoring_user_step", "scoring_user_zero"], ["scoring_user"]),
        node("MatMulInteger", ["scoring_user", "scoring_codes", "scoring_user_zero"], ["scoring_all"]),
        node("TopK", ["scoring_all", "scoring_candidates"], ["scoring_sums", "scoring_candidate"], axis=1),
    ]


def _rerank_nodes() -> list[onnx.NodeProto]:
    """From the candidates to `scores` f32[B, k] and `item_indices` int64[B, k], exactly."""
    node = helper.make_node
    return [
        node("Gather", ["item_vectors", "scoring_candidate"], ["scoring_rows"], axis=0),
        node("Unsqueeze", ["user_vector", "scoring_last_axis"], ["scoring_column"]),
        node("MatMul", ["scoring_rows", "scoring_column"], ["scoring_products"]),
        node("Squeeze", ["scoring_products", "scoring_last_axis"], ["scoring_exact"]),
        node("TopK", ["scoring_exact", "scoring_k"], ["scores", "scoring_place"], axis=1),
        node("GatherElements", ["scoring_candidate", "scoring_place"], ["item_indices"], axis=1),
    ]


def save_codes(directory: Path) -> FloatArray:
    """Write the 8-bit copy of the item matrix, `item_codes.npy` int8[d, items]. Answers its turn, f32[d, d].

    (user_vector · turn) · codes ≈ the scores. Vectors are coded after a rotation, which changes no product,
    each of the d numbers with a step of its own and codes from -CODE_MAX to CODE_MAX. Without the rotation
    two or three strong directions, as an SVD puts them first, take the codes' precision for themselves.
    """
    vectors: FloatArray = np.load(directory / VECTORS_FILE, mmap_mode="r", allow_pickle=False)
    items, d = vectors.shape
    rotation = _rotation(d)
    pieces = [slice(start, start + CHUNK_ITEMS) for start in range(0, items, CHUNK_ITEMS)]
    largest = np.max([np.abs(vectors[piece] @ rotation).max(axis=0) for piece in pieces], axis=0)
    steps = np.maximum(largest / CODE_MAX, _TINY)
    codes = np.empty((d, items), dtype=np.int8)
    for piece in pieces:
        codes[:, piece] = np.rint(vectors[piece] @ (rotation / steps)).T
    save_array(directory, CODES_FILE, codes)
    turn: FloatArray = (rotation * steps).astype(np.float32)
    return turn


def _rotation(d: int) -> FloatArray:
    """The discrete Hartley transform, f32[d, d]: orthogonal, for any d, spreads each axis over all evenly.

    The numbers of a random rotation would do as well, but could depend on the machine that draws them.
    """
    angles = np.outer(np.arange(d), np.arange(d)) % d * (2 * np.pi / d)
    rotation: FloatArray = ((np.cos(angles) + np.sin(angles)) / np.sqrt(d)).astype(np.float32)
    return rotation


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
