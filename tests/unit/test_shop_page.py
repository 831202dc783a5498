"""The shop's pages: as they are sent, and as the gateway sends them too."""

from __future__ import annotations

import asyncio
import gzip
import re
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from services.http.keys import KeyRing
from services.local.shop_page import ASSETS, FOLDER, MIME_TYPES, PAGES, SECURITY, TRACKER, shop_part

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = (ROOT / "deploy/gateway/nginx.conf").read_text()
HEADERS = (ROOT / "deploy/gateway/shop-headers.conf").read_text()
DOCUMENT = (FOLDER / "index.html").read_text()
FILES = {path.name: path for path in (*FOLDER.iterdir(), TRACKER)}
PART = shop_part()
STATIC_IMPORT = re.compile(r"^(?:import|export) .*?from \"\./([\w.]+)\";$", re.MULTILINE)
DYNAMIC_IMPORT = re.compile(r"import\(\"\./([\w.]+)\"\)")


def get(path: str, **headers: str) -> Response:
    """What the route answers; `_` in a header's name is a dash."""
    route = next(route for route in PART.router.routes if route.path == path)
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "headers": raw, "query_string": b""}
    answer = asyncio.run(route.endpoint(Request(scope)))
    assert isinstance(answer, Response)
    return answer


@pytest.mark.parametrize("path", sorted(PART.open_paths))
def test_plain_zipped_and_known_already(path: str) -> None:
    plain, zipped = get(path), get(path, accept_encoding="br, gzip;q=0.8")
    assert plain.body == gzip.decompress(bytes(zipped.body))
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in get(path, accept_encoding="gzip;q=0, br").headers
    assert plain.headers["etag"] != zipped.headers["etag"]
    for sent in (plain, zipped):
        assert dict(sent.headers).items() >= SECURITY.items()
        assert sent.headers["vary"] == "Accept-Encoding"
    known = get(path, accept_encoding="gzip", if_none_match=zipped.headers["etag"])
    assert (known.status_code, known.body) == (304, b"")
    assert get(path, accept_encoding="gzip", if_none_match='"other"').status_code == 200


def test_pages_need_no_key_and_all_else_does() -> None:
    ring = KeyRing(["k"], [], PART.open_paths)
    for path in (*PAGES, f"{ASSETS}app.js"):
        assert ring.refusal("GET", path, {}, b"") is None
    for path in ("/metrics", "/recommend", f"{ASSETS}other.js", "/watch/"):
        assert ring.refusal("GET", path, {}, b"") is not None


def test_the_policy_has_nothing_to_forbid() -> None:
    assert "unsafe" not in SECURITY["content-security-policy"]
    assert not re.search(
        r"<style|\bstyle=|\bon\w+=|<script(?! type=\"module\"(?: async)? src=\"/shop/)", DOCUMENT
    )
    for path in FILES.values():
        if path.suffix == ".js":
            written = path.read_text()
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", written
            ), path
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", written), f"{path} looks elsewhere"


def test_what_is_loaded_is_there_and_loaded_at_once() -> None:
    needed, left = set[str](), ["app.js"]
    while left:
        name = left.pop()
        if name not in needed:
            needed.add(name)
            left += STATIC_IMPORT.findall(FILES[name].read_text())
    assert set(re.findall(r'modulepreload" href="/shop/([^"]+)', DOCUMENT)) == needed
    later = {name for path in FILES.values() for name in DYNAMIC_IMPORT.findall(path.read_text())}
    assert needed | later <= set(FILES)
    assert set(re.findall(r'(?:href|src)="/shop/([^"]+)', DOCUMENT)) <= set(FILES)


def test_no_file_is_long() -> None:
    for path in FILES.values():
        assert path.suffix in MIME_TYPES, path
        assert len(path.read_text().splitlines()) <= 400, path


def test_the_gateway_sends_the_same() -> None:
    named = dict(re.findall(r'^add_header (\S+) "?([^"\n]*?)"?;$', HEADERS, re.MULTILINE))
    assert {name.lower(): value for name, value in named.items()} == {**SECURITY, "cache-control": "no-cache"}
    types = dict(re.findall(r"^    (\S+) (\w+);$", HEADERS, re.MULTILINE))
    assert {f".{suffix}": kind for kind, suffix in types.items()} == {
        suffix: kind.partition(";")[0] for suffix, kind in MIME_TYPES.items()
    }
    pages, assets = re.findall(r"^        location ~ (\S+) \{$", GATEWAY, re.MULTILINE)
    assert all(re.search(pages, path) for path in PAGES)
    for path in FILES.values():
        assert (re.search(assets, ASSETS + path.name) is None) == (path.name == "index.html"), path
    for strange in ("/shop/../nginx.conf", "/shop/x.html", "/watching", "/shop/a/b.js"):
        assert not re.search(pages, strange)
        assert not re.search(assets, strange)
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    assert "COPY services/local/shop/ clients/js/tracker.js /etc/freshet/shop/\n" in dockerfile
