"""The client for programs without an event loop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

import httpx

from freshet_client import calls
from freshet_client.answers import BatchLine, ItemPage, Page, Profile, Recommendations
from freshet_client.entries import EVENTS
from freshet_client.flow import Flow, NoAnswer, Pause, Request, Told
from freshet_client.lines import Lines, broken_off
from freshet_client.places import Places, answer_of, reason_of
from freshet_client.question import BatchQuestion, BatchUser, PageQuestion, Question, Row
from freshet_client.sent import Accepted, Sent
from freshet_client.version import __version__

T = TypeVar("T")


class _Doing:
    """Carries flows out."""

    def __init__(self, places: Places, http: httpx.Client, write_s: float, read_s: float) -> None:
        self._places = places
        self._http = http
        self.write_s, self.read_s = write_s, read_s

    def write(self, method: str, kind: str, entry_id: str, body: object = None) -> Accepted:
        return self.run(calls.write(method, kind, entry_id, body, self.write_s))

    def run(self, flow: Flow[T]) -> T:
        told: Told = None
        try:
            while True:
                told = self._step(flow.send(told))
        except StopIteration as done:
            return cast(T, done.value)
        finally:
            flow.close()

    def _step(self, step: Request | Pause) -> Told:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        request = self._places.request(step, self._http)
        try:
            response = self._http.send(request, stream=step.stream)
            opened = step.stream and response.is_success
            if step.stream and not opened:
                response.read()
            return answer_of(response, opened)
        except httpx.RequestError as error:
            return NoAnswer(reason_of(error, request))


class Freshet:
    """One Freshet. Threads may share it; close it, or use it in a `with`.

    `url` answers reads; `events_url` takes writes where ingest has an address of its own. `key` is one of
    FRESHET_KEYS (a write key is enough to send events). `timeout_s` bounds one try; what may pass (no
    connection, 429, 5xx) is tried again with the same ids for `write_patience_s`, and for `read_patience_s`,
    which is short because somebody may wait for a page. `http` replaces httpx's client and stays yours to
    close. Raises ValueError for what is no URL.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        key: str | None = None,
        *,
        events_url: str | None = None,
        timeout_s: float = 10.0,
        write_patience_s: float = 30.0,
        read_patience_s: float = 2.0,
        http: httpx.Client | None = None,
    ) -> None:
        places = Places.of(url, events_url, key, __version__)
        self._mine = http is None
        self._http = http or httpx.Client(timeout=timeout_s)
        self._does = _Doing(places, self._http, write_patience_s, read_patience_s)
        self.events = Events(self._does)
        self.items = Items(self._does)
        self.users = Users(self._does)

    def recommend(self, user_id: str | None = None, **question: Unpack[Question]) -> Recommendations:
        """A list, for a user, for nobody, or for `anonymous_id`. Raises ApiError, UnreachableError."""
        return self._does.run(calls.recommend(user_id, cast(Mapping[str, Any], question), self._does.read_s))

    def recommend_page(
        self, user_id: str | None, rows: Iterable[Row], **question: Unpack[PageQuestion]
    ) -> Page:
        """Several lists that do not repeat each other. Raises ApiError, UnreachableError."""
        asked = cast(Mapping[str, Any], question)
        return self._does.run(calls.recommend_page(user_id, rows, asked, self._does.read_s))

    def recommend_batch(
        self, users: Iterable[str | BatchUser], **question: Unpack[BatchQuestion]
    ) -> Iterator[BatchLine]:
        """Lists for any number of users, in their order, each as it becomes ready; a user who stands there
        twice comes once. What is wrong with one user is in their line's `error`. Nobody waits before a
        screen: patience is that of writes. Raises ApiError, UnreachableError (`broken_off` between lines).
        """
        for flow in calls.batches(users, cast(Mapping[str, Any], question), self._does.write_s):
            lines = Lines()
            with closing(self._does.run(flow).opened) as response:
                try:
                    for text in response.iter_lines():
                        if (line := lines.take(text)) is not None:
                            yield line
                except httpx.RequestError as error:
                    raise broken_off(str(error)) from error
            lines.finish()

    def close(self) -> None:
        """Let go of the connections."""
        if self._mine:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Events:
    """`freshet.events`."""

    def __init__(self, does: _Doing) -> None:
        self._does = does

    def send(self, event: Mapping[str, Any] | None = None, /, **fields: Any) -> Accepted:
        """Send one event, as a mapping or by keywords. Raises RejectedError, UnsentError.

        Without an `event_id` it is given one, once: however often it is sent, it counts once.
        """
        flow = calls.send_one(EVENTS, {**(event or {}), **fields}, self._does.write_s)
        return self._does.run(flow)

    def send_many(self, events: Iterable[Mapping[str, Any]]) -> Sent:
        """Send any number, in requests that ingest takes. Raises UnsentError.

        What is rejected is in the answer, and raises nothing.
        """
        return self._does.run(calls.send_events(events, self._does.write_s))


class Items:
    """`freshet.items`: the catalogue."""

    def __init__(self, does: _Doing) -> None:
        self._does = does

    def put(self, item_id: str, item: Mapping[str, Any]) -> Accepted:
        """Set an item as a whole. Raises ApiError, UnreachableError."""
        return self._does.write("PUT", "items", item_id, item)

    def patch(self, item_id: str, changes: Mapping[str, Any]) -> Accepted:
        """Change some fields; None removes one (RFC 7396). Raises ApiError, UnreachableError."""
        return self._does.write("PATCH", "items", item_id, changes)

    def delete(self, item_id: str) -> Accepted:
        """Take an item out. Raises ApiError, UnreachableError."""
        return self._does.write("DELETE", "items", item_id)

    def import_many(self, items: Iterable[Mapping[str, Any]]) -> Sent:
        """Set any number as wholes; each names its `item_id`. Raises UnsentError."""
        return self._does.run(calls.import_items(items, self._does.write_s))

    def get(self, item_id: str) -> dict[str, Any]:
        """An item as it stands. Raises ApiError (`unknown_item`), UnreachableError."""
        return self._does.run(calls.get_item(item_id, self._does.read_s))

    def page(
        self, *, limit: int | None = None, cursor: str | None = None, filter: str | None = None
    ) -> ItemPage:
        """Items in the order of their ids; `next_cursor` leads on. Raises ApiError, UnreachableError."""
        query = {"limit": limit, "cursor": cursor, "filter": filter}
        return self._does.run(calls.list_items(query, self._does.read_s))


class Users:
    """`freshet.users`."""

    def __init__(self, does: _Doing) -> None:
        self._does = does

    def profile(self, user_id: str) -> Profile:
        """What is known about a user, readable. Raises ApiError, UnreachableError."""
        return self._does.run(calls.profile(user_id, self._does.read_s))

    def export(self, user_id: str) -> dict[str, Any]:
        """All that is stored about a user. Raises ApiError, UnreachableError."""
        return self._does.run(calls.export(user_id, self._does.read_s))

    def delete(self, user_id: str) -> Accepted:
        """Forget a user. Raises ApiError, UnreachableError."""
        return self._does.write("DELETE", "users", user_id)
