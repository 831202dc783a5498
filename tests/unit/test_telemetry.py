"""Nothing that Freshet runs reports to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_onnx_runtime_reports_nothing(tmp_path: Path) -> None:
    """Where it would report, it first writes an id of this machine below the home directory."""
    silencing = {
        "CI",
        "ORT_DISABLE_TELEMETRY",
        "XDG_CACHE_HOME",
    }  # the first and second keep it quiet by chance
    environment = {name: value for name, value in os.environ.items() if name not in silencing}
    subprocess.run(
        [sys.executable, "-c", "import services.ranking.model"],
        env=environment | {"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        check=True,
    )
    assert not list(tmp_path.rglob("*onnxruntime*"))
