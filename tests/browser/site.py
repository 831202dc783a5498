"""A shop's own web server: pages with the tracker in them, and a path that asks Freshet with the key."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, TypeVar

CLIENT: Final = Path(__file__).resolve().parents[2] / "clients" / "js"
PAGE: Final = """<!doctype html><title>shop</title><link rel="icon" href="data:,"><script type="module">
import { createTracker } from "/tracker.js"; import { recommend, subscribe } from "/recommendations.js";
Object.assign(window, { createTracker, recommend, subscribe });
</script>"""
Server = TypeVar("Server", bound=ThreadingHTTPServer)
BARE: Final = '<!doctype html><title>elsewhere</title><link rel="icon" href="data:,">'


class Site(ThreadingHTTPServer):
    """`url` is its origin. `behind` is the Freshet that /api leads to, asked with `key`; `page` its page."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.behind = ""
        self.key = ""
        self.page = PAGE


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        if self.path.startswith("/api/"):
            self._hand_on(self.path.removeprefix("/api"))
        elif self.path.endswith(".js"):
            self._answer(200, "text/javascript", (CLIENT / self.path[1:]).read_bytes())
        else:
            self._answer(200, "text/html", (BARE if self.path == "/bare" else self.server.page).encode())

    def _hand_on(self, path: str) -> None:
        key = {"Authorization": f"Bearer {self.server.key}"}
        request = urllib.request.Request(self.server.behind + path, headers=key)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                self.send_response(200)
                self.send_header("content-type", answer.headers["content-type"])
                self.end_headers()
                while piece := answer.read1():
                    self.wfile.write(piece)
                    self.wfile.flush()
        except urllib.error.HTTPError as error:
            self._answer(error.code, error.headers["content-type"], error.read())
        except urllib.error.URLError:
            self._answer(502, "text/plain", b"Freshet is away")
        except OSError:  # the page went away, or Freshet did in the middle of an answer
            self.close_connection = True

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@contextmanager
def in_background(server: Server) -> Iterator[Server]:
    """The server answers while the block runs."""
    runner = threading.Thread(target=server.serve_forever, name="site", kwargs={"poll_interval": 0.05})
    runner.start()
    try:
        yield server
    finally:
        server.shutdown()
        runner.join()
        server.server_close()
