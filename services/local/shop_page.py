"""The demo shop's pages: static files from memory, compressed once, under a strict content policy.

Nothing in them is secret, so they need no key; the page asks for one when the calls behind it do.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.http.answers import takes_gzip
from services.http.part import Part
from services.http.raw_route import Endpoint, Router

FOLDER: Final = Path(__file__).parent / "shop"
# The shop posts by our own browser tracker. A wheel has it beside the shop's files (pyproject.toml,
# force-include); a source tree where it is published from.
_PACKED: Final = FOLDER / "tracker.js"
TRACKER: Final = _PACKED if _PACKED.exists() else FOLDER.parents[2] / "clients" / "js" / "tracker.js"
# One document: its script looks at the path.
PAGES: Final = ("/", "/watch", "/pipeline")
ASSETS: Final = "/shop/"
MIME_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# deploy/gateway/shop-headers.conf has the same; tests/unit/test_shop_page.py holds them together.
SECURITY: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
# Asked for again each time, and answered 304: an upgrade is seen at once, and there is no build that could
# put versions into names.
_CACHE: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent: plain and gzipped, each with its own ETag."""

    plain: bytes
    zipped: bytes
    plain_headers: Mapping[str, str]
    zipped_headers: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> StaticFile:
        """Read and compress `path`. Raises OSError, and KeyError for a suffix without a MIME type."""
        plain = path.read_bytes()
        digest = hashlib.sha256(plain).hexdigest()[:16]
        shared = {
            "content-type": MIME_TYPES[path.suffix],
            "cache-control": _CACHE,
            "vary": "Accept-Encoding",
            **SECURITY,
        }
        return cls(
            plain,
            gzip.compress(plain, 9, mtime=0),
            {**shared, "etag": f'"{digest}"'},
            {**shared, "etag": f'"{digest}-gz"', "content-encoding": "gzip"},
        )

    def answer(self, request: Request) -> Response:
        """200 in the encoding that the client takes, or 304 where it has the file."""
        zipped = takes_gzip(request.headers.get("accept-encoding", ""))
        headers = self.zipped_headers if zipped else self.plain_headers
        if headers["etag"] in request.headers.get("if-none-match", ""):
            kept = {name: value for name, value in headers.items() if name != "content-encoding"}
            return Response(status_code=304, headers=kept)
        return Response(self.zipped if zipped else self.plain, headers=headers)


def shop_part(folder: Path = FOLDER) -> Part:
    """The pages and what they load. Reads and compresses all of it here, some 5 ms. Raises OSError."""
    router = Router()
    document = StaticFile.read(folder / "index.html")
    paths = dict.fromkeys(PAGES, document)
    for path in sorted({*folder.iterdir(), TRACKER}):
        if path.suffix in MIME_TYPES and path.name != "index.html":
            paths[ASSETS + path.name] = StaticFile.read(path)
    for url, file in paths.items():
        router.add_api_route(url, _endpoint(file), methods=["GET", "HEAD"], include_in_schema=False)

    return Part("shop", router, nullcontext, open_paths=frozenset(paths))


def _endpoint(file: StaticFile) -> Endpoint:
    async def serve(request: Request) -> Response:
        return file.answer(request)

    return serve
