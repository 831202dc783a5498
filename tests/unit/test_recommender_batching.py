"""The batcher: what queues during a run goes into the next; nothing hangs, nothing grows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from services.recommender.batching import (
    MAX_BATCH,
    MAX_INLINE_BATCH,
    MAX_WAITING,
    BusyError,
    MicroBatcher,
)


class Gate:
    """A model that stands still until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, batch: Sequence[int]) -> list[int]:
        assert self.open.wait(30)
        self.batches.append(list(batch))
        return [question * 2 for question in batch]


def test_what_queued_during_a_run_is_the_next_batch() -> None:
    async def scene() -> None:
        gate = Gate()
        batcher = MicroBatcher(gate)
        answers = [batcher.ask(number) for number in range(5)]
        gate.open.set()
        assert await asyncio.gather(*answers) == [0, 2, 4, 6, 8]
        assert gate.batches == [[0], [1, 2, 3, 4]]
        batcher.close()

    asyncio.run(scene())


def test_a_full_queue_says_so_and_batches_are_bounded() -> None:
    async def scene() -> None:
        gate = Gate()
        batcher = MicroBatcher(gate)
        answers = [batcher.ask(number) for number in range(MAX_WAITING + 1)]
        with pytest.raises(BusyError):
            batcher.ask(0)
        gate.open.set()
        assert await asyncio.gather(*answers) == [2 * number for number in range(MAX_WAITING + 1)]
        assert max(len(batch) for batch in gate.batches) == MAX_BATCH
        batcher.close()

    asyncio.run(scene())


def test_who_gave_up_costs_no_model_time() -> None:
    async def scene() -> None:
        gate = Gate()
        batcher = MicroBatcher(gate)
        first, gone, last = batcher.ask(1), batcher.ask(2), batcher.ask(3)
        gone.cancel()
        gate.open.set()
        assert list(await asyncio.gather(first, last)) == [2, 6]
        assert gate.batches == [[1], [3]]
        batcher.close()

    asyncio.run(scene())


@pytest.mark.parametrize("inline", [False, True])
def test_an_error_reaches_its_batch_and_the_next_one_runs(inline: bool) -> None:
    async def scene() -> None:
        def broken(batch: Sequence[int]) -> list[int]:
            if 1 in batch:
                raise ValueError("no")
            return [] if 2 in batch else list(batch)

        batcher = MicroBatcher(broken, inline=inline)
        with pytest.raises(ValueError, match="no"):
            await batcher.ask(1)
        with pytest.raises(ValueError, match="answers"):
            await batcher.ask(2)
        assert await batcher.ask(3) == 3
        batcher.close()

    asyncio.run(scene())


def test_closing_answers_what_is_queued_and_takes_no_more() -> None:
    async def scene() -> None:
        gate = Gate()
        batcher = MicroBatcher(gate)
        answers = [batcher.ask(1), batcher.ask(2)]
        batcher.close()
        with pytest.raises(BusyError):
            batcher.ask(3)
        gate.open.set()
        assert await asyncio.gather(*answers) == [2, 4]

    asyncio.run(scene())


def test_on_the_loop_a_batch_is_what_one_pass_asked() -> None:
    async def scene() -> None:
        gate = Gate()
        gate.open.set()
        batcher = MicroBatcher(gate, inline=True)
        count = MAX_INLINE_BATCH + 2
        answers = [batcher.ask(number) for number in range(count)]
        answers[1].cancel()
        assert not gate.batches
        assert await asyncio.gather(answers[0], *answers[2:]) == [0, *range(4, 2 * count, 2)]
        assert gate.batches == [[0, *range(2, MAX_INLINE_BATCH + 1)], [MAX_INLINE_BATCH + 1]]
        batcher.close()
        with pytest.raises(BusyError):
            batcher.ask(1)

    asyncio.run(scene())
