"""What a service brings to an app. `freshet run` puts all parts into one app; alone, each has its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from services.http.health import ReadyCheck
from services.http.raw_route import Router
from services.http.start import Start


@dataclass(frozen=True, slots=True)
class Part:
    """A service inside an app: its routes, what runs while it serves, what it needs to be ready.

    `stopping` is called when the server begins to stop: answers without an end of their own (streams) must
    end then, or the server waits for them until its drain time is over. `open_paths` need no key: pages
    without a secret in them. `start` tells how the start goes.
    """

    name: str
    router: Router
    running: Callable[[], AbstractAsyncContextManager[None]]
    ready: Mapping[str, ReadyCheck] = field(default_factory=dict)
    stopping: Callable[[], None] | None = None
    open_paths: frozenset[str] = frozenset()
    start: Start | None = None
