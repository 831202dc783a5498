"""clients/python as PyPI would get it: what is in it, that it needs httpx alone, its version."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Final

import pytest

import freshet_client

ROOT: Final = Path(__file__).resolve().parents[2]
CLIENT: Final = ROOT / "clients" / "python"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the source distribution."""
    to = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(to)]
    done = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return to


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        metadata = Parser().parsestr(
            wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()
        )
    modules = {
        f"freshet_client/{path.name}" for path in (CLIENT / "freshet_client").iterdir() if path.is_file()
    }
    assert "freshet_client/py.typed" in modules
    assert {name for name in names if ".dist-info/" not in name} == modules
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("Requires-Dist") == ["httpx>=0.27"]
    assert metadata["Version"] == freshet_client.__version__
    assert "freshet.events.send" in metadata.get_payload()


def test_the_source_distribution_builds_the_same(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "freshet_client/__init__.py"} <= names
    assert not [name for name in names if "pycache" in name]


def test_it_has_the_version_of_freshet() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert freshet_client.__version__ == told


def test_it_imports_httpx_and_nothing_of_freshet() -> None:
    code = (
        "import sys, freshet_client; print(*sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'services', 'msgspec', 'redis', 'numpy', 'httpx'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CLIENT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["httpx"]
