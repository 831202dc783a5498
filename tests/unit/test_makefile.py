"""What `make` says where it cannot begin: which Python it wants, and what a failed installation needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def made(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`make` with a virtual environment of its own, and what it says."""
    return subprocess.run(
        ["make", f"VENV={folder}/venv", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_python_that_is_too_old_is_named_with_the_call_that_takes_another(tmp_path: Path) -> None:
    told = made(tmp_path, "train", "PYTHON=false")
    assert told.returncode != 0
    assert "Python 3.11 or newer, and false is not" in told.stderr
    assert "make train PYTHON=/path/to/python" in told.stderr
    told = made(tmp_path, "run", "PYTHON=")
    assert "none was found" in told.stderr
    assert "make run PYTHON=/path/to/python" in told.stderr


def test_an_environment_that_was_moved_with_its_clone_is_made_anew(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for made_at, kept in ((str(tmp_path), True), ("/else where", False)):
        (tmp_path / ".venv").mkdir(exist_ok=True)
        (tmp_path / ".venv/.made-at").write_text(made_at)
        (tmp_path / ".venv/.run").touch()
        told = subprocess.run(
            ["make", "--dry-run", "run", "PYTHON=python3"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("installing" not in told.stdout, (tmp_path / ".venv").exists()) == (kept, kept)


def test_a_failed_installation_says_what_it_needs_and_leaves_no_stamp(tmp_path: Path) -> None:
    binaries = tmp_path / "venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("python", "pip", "uv"):  # new enough, and without a network; no uv, so that pip is asked
        (binaries / name).write_text(
            '#!/bin/sh\n[ "$1" = -m ] || exit 0\necho "no route to host" >&2\nexit 1\n'
            if name != "uv"
            else "#!/bin/sh\nexit 1\n"
        )
        (binaries / name).chmod(0o755)
    told = made(tmp_path, "run", "PYTHON=python3", PATH=f"{binaries}:{os.environ['PATH']}")
    assert told.returncode != 0
    assert told.stderr.index("no route to host") < told.stderr.index("PIP_INDEX_URL")
    assert not (tmp_path / "venv" / ".run").exists()
