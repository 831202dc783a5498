"""The Lua scripts of this room, read from `lua/`, known to the servers by their hash."""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path
from typing import Any, Final

_DIRECTORY: Final = Path(__file__).with_name("lua")
_SOURCES: Final[dict[str, bytes]] = {}


class Script:
    """One script. `call` makes the command for it; the connection sends the source where it is not known."""

    def __init__(self, name: str) -> None:
        source = (_DIRECTORY / f"{name}.lua").read_bytes()
        self.sha = sha1(source, usedforsecurity=False).hexdigest()
        _SOURCES[self.sha] = source

    def call(self, keys: tuple[bytes, ...] | list[bytes], *arguments: Any) -> tuple[Any, ...]:
        """The command. All keys must live on one node."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


def with_source(command: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same call for a server that does not know the script (it started empty)."""
    return ("EVAL", _SOURCES[command[1]], *command[2:])
