"""Sequences and batches: every target once, from what was known before its event, and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.change import weight_of
from services.kernel.event_type import EventType, EventTypes
from services.trainer.event_table import EventTable
from services.trainer.sequences import WINDOW_MAX, BatchMaker, sequences_of
from tests.unit.trainer_events import START_S, table_of, walks

WEIGHT_OF = weight_of(EventTypes())


def basket(table: EventTable, sizes: list[int]) -> EventTable:
    """The same lines of one subject, taken together as events of these sizes."""
    records = np.repeat(np.arange(len(sizes)), sizes)[: len(table)]
    times_s = START_S + records * 60
    return dataclasses.replace(table, records=records.astype(np.int64), times_s=times_s)


def examples(table: EventTable, m: int, from_s: int | None = None) -> list[tuple[tuple[int, ...], int]]:
    """(history, target) of all examples of an epoch."""
    found = []
    for batch in BatchMaker(sequences_of(table, WEIGHT_OF, from_s=from_s), m, seed=1).epoch(0):
        for place in np.flatnonzero(batch.share).tolist():
            known, row = int(batch.known[place]), int(batch.row[place])
            found.append((tuple(batch.items[row, :known].tolist()), int(batch.target[place])))
    return found


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=20),
)
def test_every_line_is_predicted_once_from_the_events_before_it(lengths: list[int], sizes: list[int]) -> None:
    count = sum(sizes)
    table = basket(table_of([(0, number, START_S + number) for number in range(count)], count), sizes)
    expected, begin = [], 0
    for size in sizes:
        history = tuple(range(begin))
        if history:
            expected += [(history, target) for target in range(begin, begin + size)]
        begin += size
    assert sorted(examples(table, 256)) == sorted(expected)
    del lengths


def test_a_long_sequence_is_cut_and_no_target_is_lost_or_doubled() -> None:
    count = 3 * WINDOW_MAX + 17
    table = table_of([(0, number % 7, START_S + number) for number in range(count)], 7)
    found = examples(table, 512)
    assert len(found) == count - 1
    assert min(len(history) for history, _ in found) == 1
    assert sum(len(history) >= WINDOW_MAX // 2 for history, _ in found) >= count - WINDOW_MAX


def test_only_lines_from_a_moment_on_are_targets_and_the_rest_is_history() -> None:
    table = walks(12, seed=4)
    cut_s = int(table.times_s[len(table) // 2])
    assert len(examples(table, 256, from_s=cut_s)) == sum(
        table.times_s[place] >= cut_s and (table.subjects[:place] == table.subjects[place]).any()
        for place in range(len(table))
    )


def test_events_of_no_weight_are_history_and_no_targets() -> None:
    table = table_of([(0, number, START_S + number) for number in range(4)], 4)
    types = table.types.copy()
    types[2] = EventType.CART_REMOVE
    found = examples(dataclasses.replace(table, types=types), 256)
    assert sorted(target for _, target in found) == [1, 3]
    assert ((0, 1, 2), 3) in found


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    sequences = sequences_of(walks(30, seed=9), WEIGHT_OF)
    one, same, other = (BatchMaker(sequences, 256, seed) for seed in (1, 1, 2))
    first = [batch.items.tobytes() for batch in one.epoch(3)]
    assert first == [batch.items.tobytes() for batch in same.epoch(3)]
    assert first != [batch.items.tobytes() for batch in one.epoch(4)]
    assert first != [batch.items.tobytes() for batch in other.epoch(3)]
