"""Packages of npm for tests: installed once, below .cache, at the versions that the tests name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_PLACE = Path(__file__).resolve().parents[1] / ".cache/node"
_INSTALL_S = 300.0


def node_packages(*packages: str) -> Path:
    """The node_modules that holds `packages`, each NAME@VERSION.

    Without Node.js and npm, or where npm cannot install them, the tests are skipped, or, where
    FRESHET_REQUIRE_NODE=1 is set, fail.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        _missing("no Node.js with npm is installed (Debian: apt-get install nodejs npm)")
    place = _PLACE / "+".join(sorted(packages)).replace("/", "_")
    done = place / "installed"
    if not done.exists():
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", *packages]
        installed = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=_INSTALL_S, check=False
        )
        if installed.returncode != 0:
            _missing(f"npm could not install {', '.join(packages)}: {installed.stderr.strip()[-300:]}")
        done.touch()
    return place / "node_modules"


def _missing(why: str) -> None:
    if os.environ.get("FRESHET_REQUIRE_NODE") == "1":
        pytest.fail(f"FRESHET_REQUIRE_NODE=1, but {why}", pytrace=False)
    pytest.skip(why)
