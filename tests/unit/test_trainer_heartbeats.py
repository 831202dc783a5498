"""Training and evaluation leave out the heartbeats of players exactly where profiles do."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.bank import FloatArray, Space
from services.kernel.change import weight_of
from services.kernel.event_type import EventType, EventTypes
from services.kernel.position import Position
from services.kernel.profile import Change, Line, Profile, ProfileRules
from services.trainer.choosing import choose
from services.trainer.event_table import EventTable
from services.trainer.heartbeats import heartbeats_of
from services.trainer.sequences import sequences_of
from tests.unit.trainer_events import START_S, table_of

TYPES = EventTypes()
WEIGHT_OF = weight_of(TYPES)
SPACE = Space("space", 1, 1, 4)
PROGRESS, VIEW = int(EventType.VIDEO_PROGRESS), int(EventType.VIEW)
Rows = list[tuple[int, int, int, int]]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 2),
        st.integers(0, 9000),
        st.sampled_from([PROGRESS, PROGRESS, VIEW]),
    ),
    min_size=1,
    max_size=100,
)


def table(rows: Rows) -> EventTable:
    """Of (subject, item, second, type)."""
    rows = sorted(rows, key=lambda row: row[2])
    made = table_of([(subject, item, START_S + at_s) for subject, item, at_s, _ in rows], 3)
    return dataclasses.replace(made, types=np.array([kind for *_, kind in rows], dtype=np.uint8))


def vector_of(item: int) -> FloatArray:
    vector: FloatArray = np.eye(1, 4, item, dtype=np.float32)[0]
    return vector


@given(ROWS)
def test_a_table_and_a_profile_tell_the_same_heartbeats(rows: Rows) -> None:
    events = table(rows)
    rules = ProfileRules(SPACE, vector_of, WEIGHT_OF, 90 * 86_400_000, 64)
    profiles = {subject: Profile.empty(SPACE) for subject in (0, 1)}
    columns = (events.subjects, events.items, events.times_s, events.types)
    told = []
    for number, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        subject, item, at_s, kind = row
        lines = (Line(item, WEIGHT_OF(kind, math.nan), math.nan),)
        change = Change(Position(1, 0, number), number, at_s * 1000, at_s, kind, 1, lines)
        told.append(profiles[subject].is_heartbeat(change, item))
        profiles[subject].apply(change, rules)
    assert told == heartbeats_of(events).tolist()
    sequences = sequences_of(events, WEIGHT_OF)
    assert len(sequences.items) == len(rows) - sum(told)
    for place, subject in enumerate(sequences.subjects.tolist()):
        begin, end = sequences.starts[place : place + 2].tolist()
        counts = np.bincount(sequences.items[begin:end], sequences.weights[begin:end], minlength=4)
        assert profiles[subject].bank[-1].tolist() == counts.tolist(), "training sees the bank that serves"


def test_nobody_is_asked_whether_a_film_goes_on() -> None:
    events = table(
        [(0, 0, 0, VIEW), *((0, 1, 10 * beat, PROGRESS) for beat in range(1, 400)), (0, 2, 4000, VIEW)]
    )
    known = np.ones(3, dtype=np.bool_)
    chosen = choose(events, known, TYPES, from_s=0, questions_max=0, seed=1)
    assert chosen.records.tolist() == [1, 400]
