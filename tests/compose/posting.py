"""Somebody who posts while containers die: each event until it is acknowledged, with the same id."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

from tests.compose.stack import Stack, check

_USERS = 20
_PAUSE_S = 0.02


class Poster:
    """Posts one event after another in a thread; what was acknowledged must be counted once, for ever."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._next = 0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self.acknowledged: Counter[str] = Counter()
        self.refusals: Counter[int] = Counter()
        self.last: dict[str, str] = {}  # position of each user's last event

    def start(self) -> None:
        """Begin, or go on."""
        self._ending.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The event under way is posted until it is acknowledged."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._post(self._next)
            self._next += 1
            time.sleep(_PAUSE_S)

    def _post(self, number: int) -> None:
        user = f"poster_{number % _USERS}"
        event = {
            "event_id": f"posted-{number}",
            "user_id": user,
            "event_type": "view",
            "item_id": f"p_{number}",
        }
        while True:
            status, body = self._stack.call("POST", "/events", event)
            if status == 202:
                self.acknowledged[user] += 1
                self.last[user] = body["positions"][0]
                return
            self.refusals[status] += 1
            time.sleep(_PAUSE_S)

    def verify(self) -> int:
        """Every acknowledged event is in its profile, once, and an answer has seen it. Answers how many."""
        for user, expected in self.acknowledged.items():
            self._seen(user)
            found = self._stack.get(f"/users/{user}/profile")["events"]
            check(
                found == expected, f"{user}: {expected} acknowledged, {found} counted", "profiler", "valkey"
            )
        return self.acknowledged.total()

    def _seen(self, user: str) -> None:
        """`?after=` waits within the deadline only, so ask until it says fresh."""
        answer: dict[str, Any] = {}
        for _ in range(300):
            answer = self._stack.get(f"/recommend/{user}?n=3&after={self.last[user]}")
            if answer["fresh"]:
                return
            time.sleep(0.1)
        check(False, f"{user}: {self.last[user]} is not in an answer after 30 s: {answer}", "profiler")
