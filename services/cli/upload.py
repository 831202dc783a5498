"""What both importers do with a batch: post it, read the answer, split what is too large."""

from __future__ import annotations

import asyncio
from typing import Any

from services.cli.checkpoint import Checkpoint, CheckpointFile
from services.cli.client import Answer, FreshetClient
from services.cli.failure import CommandError
from services.cli.lanes import Batch, Parcel, Refusal
from services.cli.refusals import RefusalFile


async def post(client: FreshetClient, path: str, parcels: list[Parcel]) -> list[Refusal]:
    """Post the rows and answer those that were refused. Raises CommandError when the rest has no outcome."""
    body = b"[" + b",".join(parcel.body for parcel in parcels) + b"]"
    answer = await client.call("POST", path, body)
    if answer.status == 413:
        if len(parcels) == 1:
            return [Refusal(parcels[0].row, "too_large", "ingest takes no body of this size")]
        middle = len(parcels) // 2
        return await post(client, path, parcels[:middle]) + await post(client, path, parcels[middle:])
    rejected = _rejected(answer)
    if answer.ok or (answer.status == 422 and rejected is not None):
        return [_refusal(parcels, entry) for entry in rejected or ()]
    if answer.status == 400 and len(parcels) == 1:
        return [Refusal(parcels[0].row, "bad_request", answer.detail())]
    if answer.status == 404:
        raise CommandError(f"{client.url}{path}: {answer.detail()}; is this a Freshet?")
    raise CommandError(f"{client.url}{path} answered {answer.detail()}")


class ImportMarks:
    """How far an import is: lanes in a checkpoint (when there is one), refused rows in their file."""

    def __init__(self, state: Checkpoint, file: CheckpointFile | None, refusals: RefusalFile) -> None:
        self.state = state
        self._file = file
        self._refusals = refusals
        self._version = 0
        self._saved_version = 0
        self._saving = asyncio.Lock()

    def is_done(self, lane: int, row: int) -> bool:
        """An earlier run has an answer for this row."""
        return row < self.state.lane_rows[lane]

    async def note(self, batch: Batch, refusals: list[Refusal]) -> None:
        """Count the batch and move its lane's mark; on the disk when this returns."""
        self._refusals.add(refusals)
        self.state.lane_rows[batch.lane] = batch.next_row
        self.state.accepted += len(batch.parcels) + len(batch.refusals) - len(refusals)
        self.state.rejected += len(refusals)
        self.state.rejects_bytes = self._refusals.size_bytes
        await self.save()

    async def save(self) -> None:
        """Write the state, unless another lane has written it while this one waited."""
        if self._file is None:
            return
        self._version += 1
        mine = self._version
        async with self._saving:
            if self._saved_version >= mine:
                return
            saved_version = self._version
            await asyncio.to_thread(self._file.save, self._file.encode(self.state))
            self._saved_version = saved_version


def _rejected(answer: Answer) -> list[Any] | None:
    rejected = answer.body.get("rejected") if isinstance(answer.body, dict) else None
    return rejected if isinstance(rejected, list) else None


def _refusal(parcels: list[Parcel], entry: Any) -> Refusal:
    try:
        return Refusal(parcels[entry["index"]].row, str(entry["code"]), str(entry["error"]))
    except (KeyError, IndexError, TypeError):
        raise CommandError(f"the answer names a refused row that was not sent: {str(entry)[:200]}") from None
