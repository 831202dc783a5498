"""Fixtures for tests over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.running import FreshetProcess
from tests.processes import scratch_directory

FreshetMaker = Callable[..., FreshetProcess]


@pytest.fixture
def freshet_process() -> Iterator[FreshetMaker]:
    """Makes a `freshet run`: `freshet_process("--empty", FRESHET_KEYS="k")`, not started yet, with a data
    directory of its own. Whatever was started is stopped at the end."""
    with ExitStack() as held:

        def make(*arguments: str, **environment: str) -> FreshetProcess:
            directory = Path(held.enter_context(scratch_directory("run")))
            return held.enter_context(FreshetProcess(directory, arguments, environment))

        yield make


@pytest.fixture(scope="module")
def demo_shop() -> Iterator[FreshetProcess]:
    """A started Freshet with the newest 600 orders of the demo shop, shared by the tests of a module."""
    with scratch_directory("demo") as directory:
        process = FreshetProcess(Path(directory), ["--demo-orders", "600"], {})
        with process:
            process.start()
            yield process
