"""Public data sets as tables of events: ML-1M, ML-100k, Diginetica, Complete Journey.

They lie below FRESHET_DATASETS, a folder each; none of them is part of this project. A loader raises
FileNotFoundError where its files are not there. Each answers (events, items or None, what to do with them).
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.event_type import EventType, EventTypes
from services.kernel.item import Item
from services.trainer.event_table import EventTable
from services.trainer.replay import Record, ReplayRules

LAST_S: Final = 2_000_000  # when each user of an aligned set sees the last item: order is all that counts
CLICK_S: Final = 10  # between two clicks of a session, where nothing else is asked for
SESSION_S: Final = 600  # from one session's first click to that of the next
HELD_OUT_SHARE: Final = 0.1  # of the lines of a set without a split of its own
ENDLESS_DAYS: Final = 36_500  # a profile's TTL where the protocol knows none


@dataclass(frozen=True)
class Info:
    """How a set is used. Times are Unix s.

    Questions are asked from `ask_from_s` on, where `asked` is given only about those record numbers.
    What is tuned is tuned on the part from `tune_from_s` on and before `ask_from_s`.
    """

    name: str
    ask_from_s: int
    tune_from_s: int
    rules: ReplayRules
    note: str
    frozen: bool = False
    asked: frozenset[int] | None = None
    questions: int | None = None
    k: tuple[int, ...] = field(default=(10, 20))

    def chosen(self, record: Record) -> bool:
        """Whether a record is asked about (`services.trainer.world.replay`)."""
        return self.asked is None or record.number in self.asked


Loaded = tuple[EventTable, list[Item] | None, Info]


def root() -> Path:
    """Where the sets are: FRESHET_DATASETS, or beside this checkout."""
    return Path(os.environ.get("FRESHET_DATASETS", "../shared/data"))


def ml1m(folder: Path | None = None) -> Loaded:
    """ML-1M, leave-one-out: a user's last item is asked for, the one before is for tuning.

    The set has an order and no times: a user's last event is at LAST_S, each earlier one a second before
    the next. Aggregates stop before the last items (`frozen`), and what was seen is hidden.
    """
    folder = folder or root() / "ml-1m"
    with gzip.open(folder / "ml-1m.txt.gz", "rt") as file:
        pairs = np.array([line.split() for line in file], dtype=np.int64)
    users, film_ids = pairs[:, 0], pairs[:, 1]
    with (folder / "item_map.tsv").open(encoding="utf-8", newline="") as file:
        items = [_film(row) for row in csv.DictReader(file, delimiter="\t")]
    table = _table(users, film_ids, LAST_S - _from_end(users), EventType.VIDEO_COMPLETE)
    info = Info(
        "ml-1m",
        LAST_S,
        LAST_S - 1,
        ReplayRules(EventTypes(), ENDLESS_DAYS, seen_capacity=4096),
        "leave-one-out, all items ranked, seen ones hidden",
        frozen=True,
        questions=len(table.subject_ids),
        k=(10,),
    )
    return table, items, info


def ml100k(folder: Path | None = None, *, aligned: bool = True) -> Loaded:
    """ML-100k. `aligned`: leave-one-out as ML-1M has it, times replaced by the order. Otherwise its own
    times, and everything in the newest tenth is asked about; what somebody rated in one second (three
    quarters of all) was sent together, and is one event.
    """
    folder = folder or root() / "ml-100k"
    rows = list(_rows(folder / "ml-100k.inter", "\t"))
    users = np.array([int(row["user_id:token"]) for row in rows])
    films = np.array([int(row["item_id:token"]) for row in rows])
    times_s = np.array([int(float(row["timestamp:float"])) for row in rows])
    items = []
    for row in _rows(folder / "ml-100k.item", "\t"):
        genres = row["class:token_seq"].split()
        items.append(
            Item(
                item_id=row["item_id:token"],
                title=row["movie_title:token_seq"] or None,
                categories=[[genre] for genre in genres],
                tags=[*genres, f"year {row['release_year:token']}"],
            )
        )
    rules = ReplayRules(EventTypes(), ENDLESS_DAYS, seen_capacity=4096)
    if aligned:
        order = np.lexsort((np.arange(len(users)), times_s, users))  # of one second, as the file has them
        users, films = users[order], films[order]
        table = _table(users, films, LAST_S - _from_end(users), EventType.VIDEO_COMPLETE)
        note = "leave-one-out, all items ranked, seen ones hidden"
        last = len(table.subject_ids)
        info = Info("ml-100k", LAST_S, LAST_S - 1, rules, note, frozen=True, questions=last, k=(10,))
        return table, items, info
    moments = users * 10**10 + times_s
    table = _table(users, films, times_s, EventType.VIDEO_COMPLETE, moments)
    cut_s = _cut_s(table)
    note = "the newest tenth of the ratings, those of one second together"
    return table, items, Info("ml-100k", cut_s, _cut_s(table.before(cut_s)), rules, note)


def diginetica(
    folder: Path | None = None, *, click_s: int = CLICK_S, session_s: int | None = SESSION_S
) -> Loaded:
    """Diginetica: each session is a subject of its own; the questions are the 60,858 test prefixes.

    The set has an order and no times. Session i begins at i · `session_s`, each click `click_s` after the one
    before; `session_s` None: a session begins 1 to 60 s (seeded) after the last click of the one before, so
    that none overlaps another. The sessions of the test prefixes come after all others.
    """
    folder = folder or root() / "diginetica"
    with gzip.open(folder / "train_sessions.txt.gz", "rt") as file:
        train = [[int(item) for item in line.split()] for line in file]
    with gzip.open(folder / "test.tsv.gz", "rt") as file:
        test = sessions_of_prefixes(line.rstrip("\n").split("\t") for line in file)
    sessions = train + test
    lengths = np.array([len(session) for session in sessions])
    if session_s is None:
        pauses_s = np.random.default_rng(7).integers(1, 61, len(sessions))
        spans_s = (lengths - 1) * click_s + pauses_s
        begins_s = np.concatenate(([0], np.cumsum(spans_s[:-1])))
    else:
        begins_s = np.arange(len(sessions)) * session_s
        ends_s = begins_s + (lengths - 1) * click_s
        late_s = ends_s[: len(train)].max() - begins_s[len(train) :].min() + 1
        begins_s[len(train) :] += max(0, int(late_s))
    subjects = np.repeat(np.arange(len(sessions)), lengths)
    place = np.arange(len(subjects)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    items = np.array([item for session in sessions for item in session])
    table = _table(subjects, items, np.repeat(begins_s, lengths) + place * click_s, EventType.VIEW)
    follows = np.zeros(len(table), dtype=np.bool_)
    first: set[int] = set()
    of_test = np.array([name >= len(train) for name in map(int, table.subject_ids)])
    for line, subject in enumerate(table.subjects.tolist()):
        follows[line] = subject in first
        first.add(subject)
    asked = table.records[follows & of_test[table.subjects]]
    held_out = int(len(train) * (1 - HELD_OUT_SHARE))
    info = Info(
        "diginetica",
        int(begins_s[len(train)]),
        int(begins_s[held_out]),
        ReplayRules(EventTypes(), ENDLESS_DAYS),
        "all test prefixes over all items",
        frozen=True,
        asked=frozenset(asked.tolist()),
        questions=len(asked),
        k=(20,),
    )
    return table, None, info


def sessions_of_prefixes(rows: Iterator[Sequence[str]]) -> list[list[int]]:
    """Sessions from rows (prefix, next item) that stand longest first: a row whose prefix and next item make
    the prefix of the row before it belongs to the same session.
    """
    sessions: list[list[int]] = []
    before: list[int] = []
    for prefix_text, following in rows:
        prefix = [int(item) for item in prefix_text.split()]
        whole = [*prefix, int(following)]
        if whole != before:
            sessions.append(whole)
        before = prefix
    return sessions


def complete_journey(folder: Path | None = None) -> Loaded:
    """Complete Journey: a basket is one purchase of many items; the newest tenth is asked about."""
    folder = folder or root() / "completejourney"
    items = []
    for row in _rows(folder / "products.csv.gz", ","):
        path = [row[name] for name in ("department", "product_category", "product_type") if row[name]]
        items.append(
            Item(
                item_id=row["product_id"],
                title=" ".join(part for part in (row["product_type"], row["package_size"]) if part) or None,
                categories=[path] if path else [],
                brand=row["brand"] or None,
                properties={"manufacturer": row["manufacturer_id"]},
            )
        )
    rows = list(_rows(folder / "transactions_sample.csv.gz", ","))
    households = np.array([int(row["household_id"]) for row in rows])
    products = np.array([int(row["product_id"]) for row in rows])
    times_s = np.array([int(float(row["transaction_timestamp"])) for row in rows])
    baskets = np.array([int(float(row["basket_id"])) for row in rows])
    table = _table(households, products, times_s, EventType.PURCHASE, baskets)
    cut_s = _cut_s(table)
    info = Info(
        "completejourney",
        cut_s,
        _cut_s(table.before(cut_s)),
        ReplayRules(EventTypes()),
        "the newest tenth of the purchase lines, a basket at a time",
    )
    return table, items, info


def _film(row: dict[str, str]) -> Item:
    title, _, year = row["title"].rpartition(" (")
    genres = [genre for genre in row["genres"].split("|") if genre]
    return Item(
        item_id=row["item_id"],
        title=title or row["title"] or None,
        categories=[[genre] for genre in genres],
        tags=[*genres, f"year {year.rstrip(')')}"] if title else genres,
    )


def _table(
    subjects: NDArray[np.int64],
    items: NDArray[np.int64],
    times_s: NDArray[np.int64],
    kind: EventType,
    events: NDArray[np.int64] | None = None,
) -> EventTable:
    """Lines in any order, as a table; `events` says which lines are one event (default: each alone)."""
    if events is None:
        order = np.argsort(times_s, kind="stable")
        records = np.arange(len(order))
    else:
        order = np.lexsort((np.arange(len(events)), events, times_s))
        known = np.stack((events[order], subjects[order]))
        records = np.cumsum(np.concatenate(([False], (known[:, 1:] != known[:, :-1]).any(axis=0))))
        times_s = times_s.copy()
        ordered = times_s[order]
        begins = np.flatnonzero(np.concatenate(([True], records[1:] != records[:-1])))
        times_s[order] = ordered[begins][records]
    subject_ids, subject_index = np.unique(subjects, return_inverse=True)
    item_ids, item_index = np.unique(items, return_inverse=True)
    return EventTable(
        subjects=subject_index[order].astype(np.int32),
        items=item_index[order].astype(np.int32),
        types=np.full(len(order), int(kind), np.uint8),
        values=np.full(len(order), np.nan, np.float32),
        times_s=times_s[order].astype(np.int64),
        records=records.astype(np.int64),
        subject_ids=[str(one) for one in subject_ids.tolist()],
        item_ids=[str(one) for one in item_ids.tolist()],
    )


def _from_end(users: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many events of the same user follow each, i64[n]; a user's events stand together."""
    starts = np.flatnonzero(np.concatenate(([True], users[1:] != users[:-1])))
    lengths = np.diff(np.concatenate((starts, [len(users)])))
    last: NDArray[np.int64] = np.repeat(starts + lengths, lengths) - 1 - np.arange(len(users))
    return last


def _cut_s(table: EventTable) -> int:
    return int(table.times_s[int(len(table) * (1 - HELD_OUT_SHARE))])


def _rows(path: Path, delimiter: str) -> Iterator[dict[str, str]]:
    packed = path.suffix == ".gz"
    with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as file:
        yield from csv.DictReader(file, delimiter=delimiter)
