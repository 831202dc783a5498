"""What `freshet doctor` says of events that wait and of dead ones; what a profiler says without its store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from services.cli import doctor_log
from services.cli.findings import Finding, Patient
from services.local.settings import RunSettings
from services.log.open import open_log
from services.log.protocol import Draft
from services.profiler.outcomes import SafetyError
from services.store.connection import connect
from services.store.meta import MetaStore
from tests.e2e.profiler_world import World, draft_of, make_events, make_release, until
from tests.servers import ValkeyServer, valkey_server


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(log_url: str, valkey: ValkeyServer, namespace: str, release_url: str) -> World:
    return World(log_url, valkey.url, namespace, release_url)


async def found(world: World, check: Callable[[Patient], AsyncIterator[Finding]]) -> list[Finding]:
    settings = RunSettings(**world.settings().model_dump())
    patient = Patient(settings, open_log(settings), connect(settings))
    try:
        patient.meta = await MetaStore(patient.connection).read()
        return [finding async for finding in check(patient)]
    finally:
        await patient.connection.close()
        await patient.log.close()


def test_events_that_wait_with_nobody_to_apply_them_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        drafts = [draft_of(event) for event in make_events(30, 7)]
        await world.publish(drafts[:20])
        async with world.profiler():
            await world.caught_up()
            (one,) = await found(world, doctor_log.lag)
            assert (one.level, one.text[:13]) == ("ok", "lag 0 records")
        await world.publish(drafts[20:])
        (one,) = await found(world, doctor_log.lag)
        assert (one.level, one.text[:14]) == ("ok", "lag 10 records"), "a moment is no trouble"
        monkeypatch.setattr(doctor_log, "_WAIT_WARN_S", 0.0)
        (one,) = await found(world, doctor_log.lag)
        assert one.level == "warn"
        assert "lag 10 records" in one.text
        assert "none was applied within 1 s, the oldest waits for " in one.text
        assert "is a profiler running?" in one.mend

    asyncio.run(scenario())


def test_the_newest_dead_record_is_told_with_its_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> list[Finding]:
        await world.publish([Draft(b"u", b"{no json", (("ce_type", b"freshet.event.v1"),))])
        async with world.profiler():
            await until(lambda: "went to the dead topic" in caplog.text)
        return await found(world, doctor_log.log)

    last = asyncio.run(scenario())[-1]
    assert (last.level, last.part) == ("warn", "log")
    assert last.text.startswith("1 record could not be applied; the newest, events 1-")
    assert "s ago: not an event: JSON is malformed" in last.text
    assert "1 of events went to the dead topic, as they can never be applied; the first, 1-" in caplog.text


def test_a_profiler_without_its_store_names_it_and_says_so_once(
    valkey: ValkeyServer, namespace: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(store: Any, world: World) -> None:
        async with world.profiler(store_timeout_ms=300) as profiler:
            await until(lambda: _ready(profiler))
            store.stop()
            with pytest.raises(SafetyError, match=r"the store at .* is FRESHET_STORE_URL right"):
                await profiler.ready()
            said = "cannot agree on the vector space"
            await until(lambda: said in caplog.text)
            await asyncio.sleep(1.0)
            assert caplog.text.count(said) <= 2, "once for each reason, not at every look"

    with valkey_server() as store:
        asyncio.run(scenario(store, World(valkey.url, store.url, namespace, make_release(tmp_path))))


async def _ready(profiler: Any) -> bool:
    try:
        await profiler.ready()
    except SafetyError:
        return False
    return True
