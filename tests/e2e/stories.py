"""What the stories of scenarios share: a Freshet on either log, people who do things, and what they see."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.e2e.running import FreshetProcess
from tests.processes import scratch_directory
from tests.servers import KafkaBroker

LOGS = ("embedded", "kafka")


@contextmanager
def on_log(request: pytest.FixtureRequest, *arguments: str) -> Iterator[FreshetProcess]:
    """A started Freshet whose log is the parameter of the fixture, one of LOGS."""
    variables = {}
    if request.param == "kafka":
        broker = request.getfixturevalue("kafka")
        assert isinstance(broker, KafkaBroker)
        variables = {"FRESHET_LOG_URL": broker.url, "FRESHET_NAMESPACE": f"t{uuid.uuid4().hex[:12]}"}
    with scratch_directory("story") as directory:
        with FreshetProcess(Path(directory), arguments, variables) as process:
            process.start()
            yield process


class Person:
    """Somebody who turns to items, and asks for lists that have it."""

    def __init__(self, process: FreshetProcess, name: str, **context: str) -> None:
        self.process = process
        self.user_id = f"{name}-{uuid.uuid4().hex[:8]}"
        self._context = context
        self._after: str | None = None

    def does(self, event_type: str, item_id: str | None = None, **fields: Any) -> None:
        """One event."""
        if item_id is not None:
            fields["item_id"] = item_id
        if self._context:
            fields["context"] = self._context
        self._after = self.process.post_event(user_id=self.user_id, event_type=event_type, **fields)

    def asks(self, scenario: str, **query: Any) -> list[dict[str, Any]]:
        """The items of a list that has all that this person did."""
        asked = {"scenario": scenario, **self._context, **query}
        if self._after is not None:
            asked["after"] = self._after
        answer = self.process.get(f"/recommend/{self.user_id}?{urlencode(asked)}")
        assert answer["fresh"] is True or self._after is None
        items: list[dict[str, Any]] = answer["items"]
        return items


def ids(items: list[dict[str, Any]]) -> list[str]:
    """The item ids of a list."""
    return [item["item_id"] for item in items]


def codes(items: list[dict[str, Any]]) -> list[str]:
    """Why each stands there."""
    return [item["reason"]["code"] for item in items]
