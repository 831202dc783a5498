"""`make chaos`: SIGKILL a loaded `freshet run` again and again; every acknowledged event counts exactly once.

Eight clients post events of 56 users, each with an id of its own, one at a time. What got a 202 must be
counted in its user's profile once; what got no answer may be counted or not. Exits 1 when any profile says
otherwise. `--seed` repeats the moments of death.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks._http import Connection
from benchmarks._measure import note
from benchmarks._system import System, running

CLIENTS = 8
USERS_A_CLIENT = 7
APPLIED_TIMEOUT_S = 120


class Ledger:
    """What the clients were told, by user."""

    def __init__(self) -> None:
        self.acknowledged: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self._sent = 0

    async def post(self, connection: Connection, client: int) -> None:
        """Post one event and note the answer. Raises OSError and IncompleteReadError when none came."""
        self._sent += 1
        user = f"chaos-{client}-{self._sent % USERS_A_CLIENT}"
        event = {"event_id": f"chaos-{self._sent}", "user_id": user, "event_type": "view", "item_id": "p_1"}
        self.unknown[user] += 1
        status, _ = await connection.request("POST", "/events", json.dumps(event).encode())
        if status == 202:
            self.unknown[user] -= 1
            self.acknowledged[user] += 1

    async def wrong(self, port: int) -> list[str]:
        """Users whose profile counts fewer events than were acknowledged, or more than were sent."""
        connection = await Connection.open(port)
        found = []
        for user in self.acknowledged.keys() | self.unknown.keys():
            _, profile = await connection.json("GET", f"/users/{user}/profile")
            least = self.acknowledged[user]
            if not least <= profile["events"] <= least + self.unknown[user]:
                found.append(
                    f"{user}: {profile['events']}, acknowledged {least}, unknown {self.unknown[user]}"
                )
        await connection.close()
        return found


async def client(port: int, number: int, ledger: Ledger) -> None:
    """Post until the server is gone."""
    connection = await Connection.open(port)
    try:
        while True:
            await ledger.post(connection, number)
    except (OSError, asyncio.IncompleteReadError):
        return


async def load_and_kill(system: System, ledger: Ledger, after_s: float) -> None:
    """Let the clients run, then kill the server under them."""
    clients = [asyncio.create_task(client(system.port, number, ledger)) for number in range(CLIENTS)]
    await asyncio.sleep(after_s)
    system.process.send_signal(signal.SIGKILL)
    await asyncio.gather(*clients)


def main() -> None:
    """Rounds of load and death, then one start in peace and the count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    ledger = Ledger()
    with tempfile.TemporaryDirectory(prefix="freshet-chaos-") as folder:
        for number in range(arguments.rounds):
            after_s = 1 + 2 * chance.random()
            note(f"round {number + 1} of {arguments.rounds}: SIGKILL after {after_s:.1f} s")
            with running(Path(folder) / "data", "--empty") as system:
                asyncio.run(load_and_kill(system, ledger, after_s))
        with running(Path(folder) / "data", "--empty") as system:
            give_up_s = time.monotonic() + APPLIED_TIMEOUT_S
            while (wrong := asyncio.run(ledger.wrong(system.port))) and time.monotonic() < give_up_s:
                time.sleep(0.5)  # the last records are still being applied
    told = {
        "name": "chaos",
        "seed": arguments.seed,
        "rounds": arguments.rounds,
        "acknowledged": ledger.acknowledged.total(),
        "unknown": ledger.unknown.total(),
        "wrong_profiles": len(wrong),
    }
    print(json.dumps(told))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
