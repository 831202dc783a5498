"""SIGKILL at every numbered step and at random moments: what is left is byte-equal to an undisturbed run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.log.protocol import Topic
from services.profiler.faults import FAULT_POINTS
from tests.e2e.profiler_world import (
    PATIENCE_S,
    World,
    difference,
    item_draft,
    make_events,
    make_release,
    shop,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def world(log_url: str, valkey: Any, namespace: str, tmp_path: Path) -> World:
    return World(log_url, valkey.url, namespace, make_release(tmp_path))


def start(world: World, point: str, passes: int) -> subprocess.Popen[bytes]:
    settings = world.settings(2, batch_records=100)
    command = [
        sys.executable,
        "-m",
        "tests.e2e.crash_profiler",
        settings.model_dump_json(exclude={"keys", "write_keys"}),
        point,
        str(passes),
    ]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE_S)


# On Kafka a group waits 6 s for each member that died, ten times.
@pytest.mark.parametrize("log_url", ["valkey", pytest.param("kafka", marks=pytest.mark.slow)], indirect=True)
def test_a_crash_at_every_step_changes_nothing(world: World) -> None:
    seed = int(os.environ.get("FRESHET_SEED", random.randrange(10**6)))
    print(f"seed {seed}")
    chance = random.Random(seed)

    events = make_events(400 * len(FAULT_POINTS), seed)
    asyncio.run(world.publish([item_draft(item) for item in shop()], Topic.ITEMS))
    # Where nothing is poison 2.dead_letters is 2.applied: die at a random moment instead.
    points = ["-" if point == "2.dead_letters" else point for point in FAULT_POINTS]
    for number, point in enumerate(points):
        asyncio.run(world.publish_events(events[400 * number : 400 * (number + 1)]))
        process = start(world, point, 1 if point.startswith("6") else chance.randrange(1, 3))
        if point == "-":
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5 + chance.random())
            process.kill()
        assert process.wait(PATIENCE_S) == -signal.SIGKILL, f"did not reach {point}"
    process = start(world, "-", 0)
    try:
        asyncio.run(world.caught_up(2))
    finally:
        stop(process)
    undisturbed = asyncio.run(expected(world))
    assert any(":p:" in name for name in undisturbed)
    assert difference(undisturbed, asyncio.run(world.dump(2))) == []


async def expected(world: World) -> dict[str, Any]:
    """The same log, read by a profiler that nothing disturbs."""
    groups = {Topic.EVENTS: "undisturbed", Topic.ITEMS: "undisturbed-items"}
    async with world.profiler(1, groups=groups):
        await world.caught_up(1)
    return await world.dump(1)
