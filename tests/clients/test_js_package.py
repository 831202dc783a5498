"""clients/js as npm would publish it: what is in it, how large it is, whether its types hold."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
CLIENT: Final = ROOT / "clients" / "js"
# The promise of the README for what every page of a shop loads; the other module is loaded where lists are.
TRACKER_BYTES_MAX: Final = 3 * 1024
RECOMMENDATIONS_BYTES_MAX: Final = 1536


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CLIENT / "package.json").read_text())
    return found


def program(name: str, debian: str) -> str:
    """Where a program of Node's is. Skips without it; with FRESHET_REQUIRE_NODE=1, fails."""
    found = shutil.which(name)
    if found is None:
        why = f"{name} is not installed (Debian: apt-get install {debian})"
        if os.environ.get("FRESHET_REQUIRE_NODE") == "1":
            pytest.fail(f"FRESHET_REQUIRE_NODE=1, but {why}", pytrace=False)
        pytest.skip(why)
    return found


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "most"),
    [("tracker.js", TRACKER_BYTES_MAX), ("recommendations.js", RECOMMENDATIONS_BYTES_MAX)],
)
def test_modules_are_small_as_they_stand(name: str, most: int) -> None:
    assert len(gzip.compress((CLIENT / name).read_bytes(), 9, mtime=0)) <= most


def test_it_needs_nothing_and_has_the_version_of_freshet() -> None:
    told = manifest()
    assert not {name for name in told if name.lower().endswith("dependencies")}
    assert "scripts" not in told, "nothing runs when it is installed"
    assert told["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_package_holds_what_its_exports_name() -> None:
    listed = json.loads(run(program("npm", "npm"), "pack", "--dry-run", "--json", "--offline"))
    files = {file["path"] for file in listed[0]["files"]}
    told = manifest()
    named = {told["main"], told["types"], "./package.json"}
    for target in told["exports"].values():
        named |= {target} if isinstance(target, str) else set(target.values())
    assert {name.removeprefix("./") for name in named} | {"README.md", "LICENSE"} == files


def test_the_types_let_through_what_works_and_nothing_else() -> None:
    run(program("tsc", "node-typescript"), "--project", ".")


def test_what_the_readme_shows_compiles_as_it_stands(tmp_path: Path) -> None:
    blocks = re.findall(r"```js\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    shown = "\n".join(sorted(line for block in blocks for line in block.splitlines() if "import " in line))
    code = "\n".join(line for block in blocks for line in block.splitlines() if "import " not in line)
    # What the README leaves out; its first block speaks of the list that the second asks for.
    code = code.replace("list.recommendation_id", '"r"')
    page = tmp_path / "page.mts"
    page.write_text(f"{shown}\ndeclare function show(items: object[]): void;\n{code}\nstop();\n")
    (tmp_path / "node_modules" / "@freshet").mkdir(parents=True)
    (tmp_path / "node_modules" / "@freshet" / "tracker").symlink_to(CLIENT)
    options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom"]
    run(program("tsc", "node-typescript"), *options, "--exactOptionalPropertyTypes", str(page))


def test_a_page_in_place_of_a_list_is_an_error() -> None:
    """A server for pages answers any path with its index.html and 200; that is no list with nothing in it."""
    code = """
        import { recommend } from "@freshet/tracker/recommendations";
        const answers = [new Response("<!doctype html>"), Response.json({ items: [], fresh: true })];
        globalThis.fetch = async () => answers.shift();
        const told = await recommend({ url: "/api" }).catch((e) => [e.status, e.code, e.detail]);
        console.log(JSON.stringify([told, await recommend({ url: "/api" })]));
    """
    told, listed = json.loads(run(program("node", "nodejs"), "--input-type=module", "-e", code))
    assert told[:2] == [200, "http_200"]
    assert told[2].startswith("no list of Freshet's at")
    assert listed == {"items": [], "fresh": True}
