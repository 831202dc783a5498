"""Look-ups that share round trips: each after it was asked for, none lost, all bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.store.coalescer import Coalescer
from services.store.connection import Connection
from services.store.errors import StoreUnavailableError
from services.store.profiles import ProfileStore, ProfileWrite
from tests.contract.store_case import StoreCase, profile


def test_reads_in_flight_share_round_trips_and_see_writes_before_them(store: StoreCase) -> None:
    async def body(connection: Connection) -> None:
        profiles = ProfileStore(connection)
        batches: list[int] = []

        async def fetch(subjects: Sequence[str]) -> list[bytes | None]:
            batches.append(len(subjects))
            return await profiles.read(1, subjects)

        reads: Coalescer[str, bytes | None] = Coalescer(fetch, max_batch=50)

        async def visit(number: int) -> None:
            name = f"u{number % 120}"
            assert await reads.get(f"nobody{number}") is None
            value = profile(number)
            await connection.execute("SET", connection.keys.profile(1, f"{name}-{number}"), value)
            assert await reads.get(f"{name}-{number}") == value

        await asyncio.gather(*(visit(number) for number in range(400)))
        assert sum(batches) == 800
        assert max(batches) == 50
        assert len(batches) < 200
        write = [ProfileWrite("same", None, profile(1))]
        await profiles.write(1, write, expire_ms=600_000)
        before = len(batches)
        assert set(await asyncio.gather(*(reads.get("same") for _ in range(100)))) == {profile(1)}
        assert len(batches) - before <= 2
        await reads.close()

    store.run(body)


def test_a_caller_that_gives_up_takes_nothing_from_the_others() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        fetched: list[Sequence[str]] = []

        async def fetch(keys: Sequence[str]) -> list[str]:
            fetched.append(keys)
            await gate.wait()
            return [key.upper() for key in keys]

        reads: Coalescer[str, str] = Coalescer(fetch)
        first = asyncio.create_task(reads.get("a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(reads.get(key)) for key in ("b", "b", "c")]
        await asyncio.sleep(0)
        first.cancel()
        waiting[0].cancel()
        gate.set()
        assert await asyncio.gather(*waiting[1:]) == ["B", "C"]
        assert fetched == [["a"], ["b", "c"]]
        assert first.cancelled()

    asyncio.run(main())


def test_an_error_reaches_its_batch_only_and_the_queue_is_bounded() -> None:
    async def main() -> None:
        fail = True

        async def fetch(keys: Sequence[int]) -> list[int]:
            await asyncio.sleep(0)
            if fail:
                raise StoreUnavailableError("away")
            return list(keys)

        reads: Coalescer[int, int] = Coalescer(fetch, max_queued=10)
        results = await asyncio.gather(*(reads.get(key) for key in range(15)), return_exceptions=True)
        assert [str(result) for result in results[:10]] == ["away"] * 10
        assert all("waiting already" in str(result) for result in results[10:])
        fail = False
        assert await asyncio.gather(*(reads.get(key) for key in range(10))) == list(range(10))

    asyncio.run(main())


def test_closing_ends_the_wait() -> None:
    async def main() -> None:
        async def fetch(keys: Sequence[int]) -> list[int]:
            await asyncio.Event().wait()
            return list(keys)

        reads: Coalescer[int, int] = Coalescer(fetch, max_batch=1)
        waiting = [asyncio.create_task(reads.get(key)) for key in range(3)]
        await asyncio.sleep(0.01)
        await reads.close()
        for task in waiting:
            with pytest.raises(StoreUnavailableError):
                await task

    asyncio.run(main())
