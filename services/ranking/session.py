"""Loading a graph of a release into ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
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
_ERRORS_ONLY: Final = 3  # ONNX Runtime's scale of severities


def load_session(release: Release, artefact: str) -> Any:
    """A session of the graph in that role. Raises ReleaseError that names the file."""
    path = release.file(artefact)
    try:
        return onnxruntime.InferenceSession(str(path), _options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a class of its own for each failure
        raise ReleaseError(f"{path.name} of {release.name} cannot be loaded: {error}") from error


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False  # batches come in many sizes
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
