"""The house rules as tests: whoever breaks one learns it here, with the place and the rule."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
# A duration or a size says its unit last: timeout_ms, age_s, body_bytes.
QUANTITY = re.compile(r"(^|_)(timeout|deadline|interval|delay|age|ttl|latency|elapsed|duration|backoff)$")
# Names that other people's APIs fix.
FOREIGN_NAMES = {"timeout"}


@cache
def python_files(*folders: str) -> tuple[Path, ...]:
    """Python files that git knows or would know, below `folders`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return tuple(ROOT / name for name in listed if name.endswith(".py") and (ROOT / name).exists())


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_there_is_something_to_check() -> None:
    assert len(python_files("services")) > 20


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in python_files("services", "tests", "benchmarks", "clients", "tools")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > FILE_LINES_MAX
    }
    assert not long, f"over {FILE_LINES_MAX} lines, split by what they hold: {long}"


def test_functions_are_short() -> None:
    long = [
        f"{place(path, node.lineno)} {node.name}: {lines}"
        for path in python_files("services", "tests", "benchmarks", "clients", "tools")
        for node in functions(path)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, f"over {FUNCTION_LINES_MAX} lines: {long}"


def test_names_say_what_is_inside() -> None:
    vague = [
        str(path.relative_to(ROOT))
        for path in python_files("services", "tests", "benchmarks", "clients", "tools")
        if VAGUE_NAMES & {path.stem, path.parent.name}
    ]
    assert not vague, f"name the noun inside instead: {vague}"


def test_quantities_name_their_unit() -> None:
    bare = [
        f"{place(path, argument.lineno)} {argument.arg}"
        for path in python_files("services", "clients")
        for node in functions(path)
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if QUANTITY.search(argument.arg) and argument.arg not in FOREIGN_NAMES
    ]
    bare += [
        f"{place(path, node.lineno)} {node.target.id}"
        for path in python_files("services", "clients")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and QUANTITY.search(node.target.id)
    ]
    assert not bare, f"end the name with its unit (_ms, _s, _h, _days): {bare}"


def test_public_parts_have_docstrings() -> None:
    silent = []
    for path in python_files("services", "clients"):
        module = tree_of(path)
        if path.read_text(encoding="utf-8").strip() and not ast.get_docstring(module):
            silent.append(place(path, 1))
        for node in module.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{place(path, node.lineno)} {node.name}")
    assert not silent, f"say what it is, with shapes, units and errors: {silent}"


def test_nothing_is_left_undone() -> None:
    marks = [
        place(path, number)
        for path in python_files("services", "benchmarks", "clients")
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError", line)
    ]
    assert not marks, f"finish it or say in the docs that it is not there: {marks}"


def test_every_test_can_fail() -> None:
    idle = [
        f"{place(path, node.lineno)} {node.name}"
        for path in python_files("tests")
        for node in functions(path)
        if node.name.startswith("test")
        and not any(
            isinstance(part, ast.Assert | ast.Raise | ast.With | ast.AsyncWith | ast.Call)
            for part in ast.walk(node)
        )
    ]
    assert not idle, f"asserts nothing: {idle}"


def test_every_room_has_an_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    bound = {module.split(".")[1] for contract in contracts for module in contract["source_modules"]}
    rooms = {path.name for path in (ROOT / "services").iterdir() if (path / "__init__.py").exists()}
    assert rooms - bound == {"local", "cli"}, "only the composition roots may import everything"


def test_every_extra_named_in_the_images_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"ingest", "profiler", "recommender", "trainer", "local", "dev"} <= set(extras)
