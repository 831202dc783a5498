"""An ONNX file of somebody else: what it takes and answers, and the files beside it that hold its weights.

Nothing is run here, and weights are not read: a graph of some GB costs its nodes alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import onnx
from onnx import TensorProto

from services.kernel.release import INPUTS, OUTPUTS, Dimension, Graph, ReleaseError, Tensor, TensorSpec

MODEL_FILE: Final = "model.onnx"
_DEFAULT_DOMAINS: Final = {"", "ai.onnx"}


class GraphFile(NamedTuple):
    """A graph as it was read. `weights` are the files beside it, as the graph names them, in its order."""

    path: Path
    proto: Any
    graph: Graph
    weights: tuple[str, ...]


def read_graph(path: Path) -> GraphFile:
    """Read a graph. Raises ReleaseError where it is none, or a file beside it is missing or too short."""
    try:
        proto = onnx.load_model(str(path), load_external_data=False)
    except OSError as error:
        raise ReleaseError(f"{path}: {error.strerror}") from None
    except Exception:  # protobuf has an error of its own, and no types
        raise ReleaseError(
            f"{path.name}: expected an ONNX graph, found something else (torch.onnx.export writes one; "
            "torch.save does not)"
        ) from None
    if not proto.graph.node:
        raise ReleaseError(f"{path.name}: expected an ONNX graph, found one without nodes")
    opset = max(
        (entry.version for entry in proto.opset_import if entry.domain in _DEFAULT_DOMAINS), default=0
    )
    constants = {tensor.name for tensor in proto.graph.initializer}
    graph = Graph(
        "model",
        opset,
        _specs((value for value in proto.graph.input if value.name not in constants), INPUTS),
        _specs(proto.graph.output, OUTPUTS),
    )
    return GraphFile(path, proto, graph, _weights(path, proto))


def copy_graph(source: GraphFile, directory: Path) -> None:
    """Write `model.onnx` and its weights into a directory; raises ReleaseError.

    Weights become `model_data_1.bin`, …: whatever they were called, no name leads out of the directory, none
    is that of another file of a release, and two of the same name in two folders stay two.
    """
    if not source.weights:
        _copy(source.path, directory / MODEL_FILE)
        return
    names = {old: f"model_data_{number}.bin" for number, old in enumerate(source.weights, 1)}
    proto = type(source.proto)()
    proto.CopyFrom(source.proto)
    for tensor in _tensors(proto):
        for entry in tensor.external_data:
            if entry.key == "location" and tensor.data_location == TensorProto.EXTERNAL:
                entry.value = names[entry.value]
    for old, new in names.items():
        _copy(source.path.parent / old, directory / new)
    (directory / MODEL_FILE).write_bytes(proto.SerializeToString(deterministic=True))


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise ReleaseError(f"{source} cannot be copied: {error.strerror}") from None


def _specs(values: Iterable[Any], table: Mapping[str, Tensor]) -> tuple[TensorSpec, ...]:
    """Names, dtypes and shapes. Where the exporter left a shape out it is the contract's, which shows when it
    runs."""
    specs = []
    for value in values:
        tensor = value.type.tensor_type
        if tensor.HasField("shape") or value.name not in table:
            shape: tuple[Dimension, ...] = tuple(_size(size) for size in tensor.shape.dim)
        else:
            shape = table[value.name].shape
        specs.append(TensorSpec(value.name, _dtype(value), shape))
    return tuple(specs)


def _size(size: Any) -> Dimension:
    return int(size.dim_value) if size.HasField("dim_value") else str(size.dim_param or "?")


def _dtype(value: Any) -> str:
    if not value.type.HasField("tensor_type"):
        return str(value.type.WhichOneof("value") or "nothing")
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name)
    except (KeyError, TypeError, ValueError):
        return f"ONNX type {value.type.tensor_type.elem_type}"


def _weights(path: Path, proto: Any) -> tuple[str, ...]:
    """The files that tensors lie in, checked: beside the graph, there, and long enough."""
    ends: dict[str, tuple[int, str]] = {}
    for tensor in _tensors(proto):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        inside = PurePosixPath(location)
        if not location or inside.is_absolute() or ".." in inside.parts or "\\" in location:
            raise ReleaseError(
                f"{path.name}: tensor {tensor.name!r} lies in {location!r}, expected a file beside the graph"
            )
        end = int(entries.get("offset", 0) or 0) + int(entries.get("length", 0) or 0)
        ends[location] = max(ends.get(location, (0, "")), (end, tensor.name))
    for location, (end, name) in ends.items():
        file = path.parent / location
        if not file.is_file():
            raise ReleaseError(
                f"{path.name}: tensor {name!r} lies in {location!r}, expected that file in {path.parent}, "
                "found none (copy it there too: an export writes large weights beside the graph)"
            )
        if file.stat().st_size < end:
            raise ReleaseError(
                f"{path.name}: tensor {name!r} ends at byte {end} of {location!r}, found "
                f"{file.stat().st_size} bytes (was it copied whole?)"
            )
    return tuple(ends)


def _tensors(proto: Any) -> Iterator[Any]:
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graph_tensors(inner)
