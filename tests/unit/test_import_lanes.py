"""Lanes: no subject's rows overtake each other, bounds hold, and a killed import sends little twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cli.checkpoint import Checkpoint, CheckpointFile, open_checkpoint
from services.cli.failure import CommandError
from services.cli.lanes import BATCH_BYTES, BATCH_ROWS, BATCH_SUBJECT_ROWS, LANES, Parcel, Refusal, deliver
from services.cli.refusals import RefusalFile
from services.cli.rows import open_rows
from services.cli.upload import ImportMarks


class KilledError(Exception):
    """Stands for SIGKILL: raised somewhere in the middle of a request."""


class Server:
    """Takes batches as ingest would; dies after some of them, before or after it has taken the last one."""

    def __init__(self, seed: int, lives: int) -> None:
        self.chance = random.Random(seed)
        self.taken: list[Parcel] = []
        self.lives = lives

    async def send(self, parcels: list[Parcel]) -> list[Refusal]:
        assert len(parcels) <= BATCH_ROWS
        assert sum(len(parcel.body) + 1 for parcel in parcels) <= BATCH_BYTES
        assert max(Counter(parcel.subject for parcel in parcels).values()) <= BATCH_SUBJECT_ROWS
        self.lives -= 1
        if self.lives == 0 and self.chance.random() < 0.5:
            raise KilledError
        await asyncio.sleep(self.chance.random() * 0.002)
        self.taken += parcels
        if self.lives == 0:
            raise KilledError
        return [Refusal(p.row, "odd", "refused") for p in parcels if p.body == b"bad"]


def parcels_of(subjects: list[int], size_bytes: int) -> list[Parcel]:
    return [Parcel(row, f"u{subject}", b"x" * size_bytes) for row, subject in enumerate(subjects)]


def checkpoint_of(folder: Path) -> tuple[CheckpointFile, Checkpoint]:
    (folder / "rows.csv").write_text("a\n1\n")
    return open_checkpoint(folder / "state", open_rows(str(folder / "rows.csv"), None, None), "flags", LANES)


def run_once(folder: Path, parcels: list[Parcel], server: Server) -> None:
    file, state = checkpoint_of(folder)
    refusals = RefusalFile(folder / "rejects.ndjson", state.rejects_bytes)
    marks = ImportMarks(state, file, refusals)
    try:
        asyncio.run(deliver(iter(parcels), server.send, marks, lambda _rows: None))
    finally:
        refusals.close()


@settings(max_examples=30)
@given(
    subjects=st.lists(st.integers(0, 5), max_size=1500),
    size_bytes=st.sampled_from([1, 200, 5000]),
    lives=st.integers(1, 12),
    seed=st.integers(0, 2**16),
)
def test_killed_and_continued(
    tmp_path_factory: pytest.TempPathFactory, subjects: list[int], size_bytes: int, lives: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("lanes")
    parcels = parcels_of(subjects, size_bytes)
    servers = [Server(seed, lives), Server(seed + 1, 0)]
    try:
        run_once(folder, parcels, servers[0])
    except KilledError:
        run_once(folder, parcels, servers[1])
    by_subject: dict[str, list[int]] = defaultdict(list)
    for parcel in servers[0].taken + servers[1].taken:
        by_subject[parcel.subject].append(parcel.row)
    assert {row for rows in by_subject.values() for row in rows} == set(range(len(subjects)))
    for rows in by_subject.values():
        first: dict[int, int] = {}
        for place, row in enumerate(rows):
            if row in first:  # sent twice: only rows that a profile still remembers
                assert place - first[row] <= BATCH_SUBJECT_ROWS
            first.setdefault(row, place)
        assert list(first) == sorted(first), "a row overtook another of its subject"


def test_refused_rows_are_counted_and_listed_once(tmp_path: Path) -> None:
    parcels = [Parcel(row, f"u{row % 7}", b"bad" if row % 10 == 0 else b"ok") for row in range(5000)]
    parcels[3] = Parcel(3, "", b"", Refusal(3, "unreadable_row", "no JSON"))
    try:
        run_once(tmp_path, parcels, Server(1, 9))
    except KilledError:
        run_once(tmp_path, parcels, Server(2, 0))
    _, state = checkpoint_of(tmp_path)
    lines = (tmp_path / "rejects.ndjson").read_text().splitlines()
    assert (state.accepted, state.rejected) == (5000 - 501, 501)
    assert len(lines) == len(set(lines)) == 501


def test_a_checkpoint_that_is_none_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "x.json").write_text("{}")
    with pytest.raises(CommandError, match="remove it"):
        checkpoint_of(tmp_path)


class Opener:
    """Opens the checkpoint of a content as an import would; leaves it stopped, or finished after `rows`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, content: str, rows: int | None = None, told: str = "flags", name: str = "a.csv"
    ) -> Checkpoint:
        (self.folder / name).write_text(content)
        source = open_rows(str(self.folder / name), None, None)
        file, state = open_checkpoint(self.folder / "state", source, told, LANES)
        found = msgspec.convert(msgspec.to_builtins(state), Checkpoint)
        if rows is not None:
            state.lane_rows[0] = rows
            state.finish()
        if not found.finished:
            file.save(file.encode(state))
        return found


def test_a_file_that_grew_is_known_by_its_beginning(tmp_path: Path) -> None:
    opened = Opener(tmp_path)
    first = opened("a\n1\n")
    assert opened("a\n1\n").identity == first.identity
    assert opened("a\n1\n", 1, name="renamed.csv").identity == first.identity
    assert opened("a\n1\n2\n").identity == first.identity
    assert opened("a\n1\n2\n3", 3).identity == first.identity
    grown = opened("a\n1\n2\n3\n4\n", 4)
    assert grown.identity == first.identity, "what counts is the longest beginning that ends"
    assert not grown.finished
    for content in ("a\n1\n", "a\n1\n2\n", "a\n1\n2\n3\n4\n"):
        assert opened(content).finished, "an older state of the same file"
    assert opened("a\n9\n1\n").identity != first.identity
    assert opened("a\n1\n", told="other flags").identity != first.identity


def test_files_with_the_same_beginning_are_not_taken_for_each_other(tmp_path: Path) -> None:
    """A file with a first line alone was imported, then two others begin with that line."""
    opened = Opener(tmp_path)
    header = opened("a\n", 0, name="header.csv")
    one = opened("a\n1\n2\n3\n", 3, name="one.csv")
    assert one.identity == header.identity
    other = opened("a\n7\n8\n", 2, name="other.csv")
    assert not other.finished
    assert (other.identity == one.identity, max(other.lane_rows)) == (False, 0)
    assert opened("a\n1\n2\n3\n").finished
    assert opened("a\n7\n8\n").finished
    fork = opened("a\n7\n8\n9\n", 3, name="fork.csv")
    assert (fork.identity, fork.finished) == (other.identity, False)
    second = opened("a\n7\n8\n5\n", name="second.csv")
    assert (second.identity == other.identity, second.lane_rows) == (False, [2] * LANES)


def test_a_file_that_shares_rows_with_a_stopped_import_is_not_guessed_at(tmp_path: Path) -> None:
    opened = Opener(tmp_path)
    opened("a\n1\n")
    opened("a\n1\n2\n")
    with pytest.raises(CommandError, match="--restart"):
        opened("a\n1\n3\n")


def test_only_one_import_of_a_file_at_a_time(tmp_path: Path) -> None:
    file, _ = checkpoint_of(tmp_path)
    late, state = checkpoint_of(tmp_path)
    with file.held():
        with pytest.raises(CommandError, match="running"), file.held():
            pass
    with file.held():
        pass
        file.save(file.encode(state))
    with pytest.raises(CommandError, match="just ended"), late.held():
        pass
