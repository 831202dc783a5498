"""Fixtures that are dear to make: one release for all unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kernel.item import Item
from services.release.files import Release, open_release
from services.trainer.day0 import build_day0
from tests.unit.shop import demo_items


@pytest.fixture(scope="session")
def shop_items() -> list[Item]:
    return demo_items()


@pytest.fixture(scope="session")
def release_dir(shop_items: list[Item], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day-0 release of the shop. Read-only: tests that tamper copy it."""
    return build_day0(shop_items, tmp_path_factory.mktemp("releases"), now_ms=1)


@pytest.fixture(scope="session")
def release(release_dir: Path) -> Release:
    return open_release(release_dir)
