"""The files of /docs: as they are installed, as images carry them, and where they are not."""

from __future__ import annotations

import asyncio
import gzip
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from starlette.applications import Starlette

from services.http import docs_page
from services.http.docs_page import description_routes
from services.http.problems import answer_with_problems
from services.kernel.problem import ProblemError

PAGE, STYLE = "/docs", "/docs/swagger-ui.css"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package's files would be."""
    spec = ModuleSpec("fastapi_offline", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(docs_page, "find_spec", lambda _name: spec)
    static = tmp_path / "static"
    static.mkdir()
    return static


def get(accepted: str, path: str = STYLE) -> tuple[dict[str, str], bytes]:
    """Headers and body. Raises ProblemError."""
    app = Starlette(routes=description_routes(dict))
    answer_with_problems(app)
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "root_path": ""}
    headers = [(b"accept-encoding", accepted.encode()), (b"host", b"x")]
    asyncio.run(app({**scope, "headers": headers}, receive, send))  # type: ignore[arg-type]
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}  # type: ignore[attr-defined]
    return told, bytes(sent[1]["body"])  # type: ignore[call-overload]


@pytest.mark.parametrize(("accepted", "zipped"), [("gzip, br", True), ("gzip;q=0", False), ("", False)])
def test_what_an_image_carries_is_sent_as_it_is_to_who_takes_gzip(
    folder: Path, accepted: str, zipped: bool
) -> None:
    (folder / "swagger-ui.css.gz").write_bytes(gzip.compress(b"body {}"))
    headers, body = get(accepted)
    assert (headers.get("content-encoding") == "gzip") is zipped
    assert (gzip.decompress(body) if zipped else body) == b"body {}"
    assert headers["content-type"].startswith("text/css")
    assert headers["vary"] == "accept-encoding"


def test_what_is_installed_is_sent_as_it_is(folder: Path) -> None:
    (folder / "swagger-ui.css").write_bytes(b"body {}")
    headers, body = get("gzip")
    assert body == b"body {}"
    assert "content-encoding" not in headers


@pytest.mark.parametrize("is_installed", [True, False])
def test_where_there_is_none_the_answer_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_installed: bool
) -> None:
    """And nothing is taken from the folder that the service happens to run in."""
    (folder.parent / "swagger-ui.css").write_bytes(b"a stranger's")
    monkeypatch.chdir(folder.parent)
    if not is_installed:
        monkeypatch.setattr(docs_page, "find_spec", lambda _name: None)
    with pytest.raises(ProblemError) as refused:
        get("gzip")
    assert refused.value.problem.code == "docs_not_installed"


def test_no_other_page_may_show_this_one() -> None:
    assert get("", PAGE)[0]["content-security-policy"] == "frame-ancestors 'none'"
