"""A group member in a process of its own, to be killed: `python -m tests.contract.log_member URL NS GROUP`.

Prints one line for each fetch that brought records; commits nothing.
"""

from __future__ import annotations

import asyncio
import sys

from services.log.open import open_log
from services.log.protocol import LogError
from tests.contract.logs import member, settings_of


async def main(url: str, namespace: str, group: str) -> None:
    """Read for ever."""
    async with member(open_log(settings_of(url, namespace)), group) as consumer:
        while True:
            try:
                batches = await consumer.fetch(500, 1000)
            except LogError:
                continue
            if batches:
                print(sum(map(len, batches.values())), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
