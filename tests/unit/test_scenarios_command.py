"""`freshet scenarios check` without a server: what it prints, and its exit status."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from services.cli.__main__ import main

GOOD = '[scenarios.sale]\nsources = ["trending"]\n'
ODD = '[scenarios.sale]\nsources = ["trending"]\nat_least = 3\n'
BAD = '[scenarios.sale]\nsources = ["trendign"]\ndiversty = 1\n'


def run(*words: str) -> int:
    return main(["scenarios", "check", "--offline", *words])


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "scenarios.toml"
    file.write_text(GOOD)
    assert run(str(file)) == 0
    assert capsys.readouterr().out == f"{file}: 1 scenario: sale\n"


def test_mistakes_are_told_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "scenarios.toml"
    file.write_text(BAD)
    assert run(str(file)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{file}: line 2: scenarios.sale.sources[0]: 'trendign' is no source")
    assert lines[1].startswith(f"{file}: line 3: scenarios.sale.diversty: 'diversty' is no key")
    assert lines[2] == f"{file}: 2 mistakes; it would not be used"


def test_what_is_odd_has_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ODD.encode())))
    assert run("-", "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert told["warnings"] == [
        {"where": "scenarios.sale.at_least", "line": 3, "message": "has no effect without relax"}
    ]


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "nope.toml")) == 1
    assert "nope.toml: cannot be read: No such file" in capsys.readouterr().err
