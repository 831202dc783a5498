"""Without keys only this machine may call, and its browser only for pages of this machine.

Binding to loopback keeps other machines out, but not web pages: a page of a stranger can make the user's
browser post to `localhost`, and by DNS rebinding read from it under a name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from services.http.addresses import is_loopback
from services.kernel.problem import Problem
from services.kernel.settings import HttpSettings

_HOW: Final = "set FRESHET_KEYS, or FRESHET_INSECURE=1 where something else keeps strangers out"
_SHOWN_CHARACTERS: Final = 128


class LocalOnly:
    """Looks at `Host` and `Origin` while there are no keys. With keys, or insecure by choice, all pass."""

    def __init__(self, settings: HttpSettings) -> None:
        self._active = not (settings.key_set() or settings.write_key_set() or settings.insecure)
        self._origins = settings.origins()

    def refusal(self, headers: Mapping[bytes, bytes]) -> Problem | None:
        """Why the request may not pass, or None. `headers` has lower-case names."""
        if not self._active:
            return None
        host = headers.get(b"host", b"").decode("latin-1")
        if host and not _is_local(f"//{host}"):
            return Problem(
                403,
                "foreign_host",
                f"without keys this service answers to localhost only, not to the host "
                f"{host[:_SHOWN_CHARACTERS]!r}: {_HOW}",
            )
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not origin or origin in self._origins or "*" in self._origins or _is_local(origin):
            return None
        return Problem(
            403,
            "foreign_origin",
            f"without keys pages of this machine may call, not those of {origin[:_SHOWN_CHARACTERS]!r}: "
            "add the origin to FRESHET_CORS_ORIGINS",
        )


def _is_local(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or name.endswith(".localhost")
