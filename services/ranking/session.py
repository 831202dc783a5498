"""Loading a graph of a release into ONNX Runtime."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import onnxruntime

from services.kernel.release import ReleaseError, TensorSpec
from services.release.files import Release

_DTYPES: Final = {
    "tensor(float)": "float32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int32)": "int32",
}
PACKED_PRODUCTS: Final = (b"MatMulInteger", b"MatMulNBits", b"DynamicQuantizeMatMul")
_ERRORS_ONLY, _SILENT = 3, 4  # ONNX Runtime's scale of severities; a probe tells errors in its own words


def load_session(release: Release, artefact: str, *, silent: bool = False) -> Any:
    """A session of the graph in that role. Raises ReleaseError that names the file.

    `silent`: the runtime says nothing on standard error, for whoever reports failures itself.
    """
    path = release.file(artefact)
    options = _options(path, _SILENT if silent else _ERRORS_ONLY)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a class of its own for each failure
        raise ReleaseError(f"{path.name} of {release.name} cannot be loaded: {error}") from error


def multiplies_integers(path: Path) -> bool:
    """Whether a graph multiplies with small whole numbers: the names of its operations stand in its file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as graph:
        return any(graph.find(name) >= 0 for name in PACKED_PRODUCTS)


def _options(path: Path, log_severity: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = (
        1  # one model thread: micro-batches share a scan, threads would share a core
    )
    options.inter_op_num_threads = 1
    options.log_severity_level = log_severity
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False  # batches come in many sizes
    # Prepacking copies a matrix out of its mapped file. Of f32 items that is twice the memory, half the cold
    # start lost, and no faster for one question. Of an 8-bit copy it is a quarter of that (6 MB and 5 ms at
    # 100,000 items of 64), and without it the runtime packs anew in every run: .74 instead of .48 ms.
    options.add_session_config_entry("session.disable_prepacking", "0" if multiplies_integers(path) else "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def specs_of(nodes: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """What the runtime says of inputs or outputs; an open size has a letter or, unnamed, a question mark."""
    return tuple(
        TensorSpec(
            node.name,
            _DTYPES.get(node.type, node.type),
            tuple(size if isinstance(size, int) else str(size or "?") for size in node.shape),
        )
        for node in nodes
    )
