"""The day-0 release: made from the catalogue alone, nothing trained."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from services.kernel.item import Item


def build_day0(items: Iterable[Item], out_dir: Path, *, d: int = 64, now_ms: int = 0) -> Path:
    """Build a release directory below `out_dir` and answer its path; its name is a hash of its content.

    Same catalogue, same name, whatever the order of the items. Raises ReleaseError for no items.
    """
    raise NotImplementedError


def init_release(url: str, items: Iterable[Item], now_ms: int) -> str:
    """`freshet release init`: build, publish and promote; answers the name."""
    raise NotImplementedError
