"""Writing releases: publish a directory, promote one to live, list what is there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Listed(NamedTuple):
    """One release as `freshet release list` shows it."""

    name: str
    kind: str
    items: int
    created_at_ms: int
    live: bool


def publish(directory: Path, url: str) -> str:
    """Copy a release directory below `url`, whole or not at all; answers its name.

    One that is there already is left as it is. Raises ReleaseError where the directory breaks the contract.
    """
    raise NotImplementedError


def promote(url: str, name: str, now_ms: int) -> None:
    """Point `live` at a published release. Raises ReleaseError where it is not there or is broken."""
    raise NotImplementedError


def list_releases(url: str) -> list[Listed]:
    """The releases below `url`, oldest first."""
    raise NotImplementedError
