"""The loaders of the public data sets, on files of the same form."""

from __future__ import annotations

import gzip
from pathlib import Path

from benchmarks._datasets import (
    LAST_S,
    complete_journey,
    diginetica,
    ml1m,
    ml100k,
    sessions_of_prefixes,
)
from services.trainer.event_table import EventTable
from services.trainer.replay import records_of


def packed(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode()))


def lines(table: EventTable) -> list[tuple[str, str, int]]:
    """(subject, item, second) of each line."""
    return [
        (table.subject_ids[subject], table.item_ids[item], time_s)
        for subject, item, time_s in zip(
            table.subjects.tolist(), table.items.tolist(), table.times_s.tolist(), strict=True
        )
    ]


def test_prefixes_are_the_sessions_that_they_came_from() -> None:
    rows = [("1 2 3", "4"), ("1 2", "3"), ("1", "2"), ("1", "2"), ("5 5", "5"), ("5", "5")]
    assert sessions_of_prefixes(iter(rows)) == [[1, 2, 3, 4], [1, 2], [5, 5, 5]]


def test_everybodys_last_item_of_ml1m_is_at_the_same_second(tmp_path: Path) -> None:
    packed(tmp_path / "ml-1m.txt.gz", "1 10\n1 11\n1 12\n2 11\n2 10\n")
    (tmp_path / "item_map.tsv").write_text(
        "item_id\tmovie_id\ttitle\tgenres\n10\t7\tJaws (1975)\tHorror|Sea\n11\t8\tHeat\t\n12\t9\tUp\tX\n"
    )
    table, items, info = ml1m(tmp_path)
    assert lines(table) == [
        ("1", "10", LAST_S - 2),
        ("1", "11", LAST_S - 1),
        ("2", "11", LAST_S - 1),
        ("1", "12", LAST_S),
        ("2", "10", LAST_S),
    ]
    assert items is not None
    assert (items[0].title, items[0].tags) == ("Jaws", ["Horror", "Sea", "year 1975"])
    assert (info.ask_from_s, info.tune_from_s, info.questions, info.frozen) == (LAST_S, LAST_S - 1, 2, True)


def test_ml100k_by_order_and_by_its_own_times(tmp_path: Path) -> None:
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    rows = [f"1\t{n}\t3\t{1000 + n}.0\n" for n in range(20, 10, -1)]
    rows += ["2\t5\t1\t990\n", "2\t6\t1\t990\n", "3\t6\t1\t990\n"]
    (tmp_path / "ml-100k.inter").write_text(head + "".join(rows))
    (tmp_path / "ml-100k.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n11\tUp\t2009\tFun Sky\n"
    )
    table, items, info = ml100k(tmp_path, aligned=False)
    assert [time_s for _, _, time_s in lines(table)] == [990, 990, 990, *range(1011, 1021)]
    assert [len(record.items) for record in records_of(table)][:3] == [2, 1, 1], "rated in one second"
    assert (info.ask_from_s, info.frozen) == (1019, False)
    aligned, _, info = ml100k(tmp_path)
    assert lines(aligned)[-3:] == [("1", "20", LAST_S), ("2", "6", LAST_S), ("3", "6", LAST_S)]
    assert info.questions == 3
    assert items is not None
    assert items[0].categories == [["Fun"], ["Sky"]]


def test_the_questions_of_diginetica_are_its_prefixes(tmp_path: Path) -> None:
    packed(tmp_path / "train_sessions.txt.gz", "1 2 3\n4 5\n" + "6 7\n" * 8)
    packed(tmp_path / "test.tsv.gz", "1 2\t3\n1\t2\n4\t4\n")
    table, items, info = diginetica(tmp_path)
    asked = [record for record in records_of(table) if info.chosen(record)]
    assert [table.item_ids[record.items[0]] for record in asked] == ["2", "3", "4"]
    assert info.questions == 3
    assert items is None
    assert lines(table)[:3] == [("0", "1", 0), ("0", "2", 10), ("0", "3", 20)]
    assert (info.tune_from_s, info.ask_from_s) == (9 * 600, 10 * 600)
    apart, _, info = diginetica(tmp_path, click_s=30, session_s=None)
    first = {subject: time_s for subject, _, time_s in reversed(lines(apart))}
    last = {subject: time_s for subject, _, time_s in lines(apart)}
    pauses_s = [first[str(n + 1)] - last[str(n)] for n in range(11)]
    assert all(1 <= pause_s <= 60 for pause_s in pauses_s), pauses_s
    assert info.questions == 3


def test_a_basket_is_one_event(tmp_path: Path) -> None:
    packed(
        tmp_path / "products.csv.gz",
        "product_id,manufacturer_id,department,brand,product_category,product_type,package_size\n"
        "7,2,GROCERY,National,ICE,ICE - CUBED,22 LB\n8,2,MISC,Private,,,\n",
    )
    packed(
        tmp_path / "transactions_sample.csv.gz",
        "household_id,basket_id,product_id,transaction_timestamp\n"
        "1,100,7,1485630500.0\n2,4.0128e+10,7,1485630413.0\n1,100,8,1485630500.0\n1,101,8,1485630500.0\n",
    )
    table, items, _ = complete_journey(tmp_path)
    assert [(record.subject, len(record.items)) for record in records_of(table)] == [(1, 1), (0, 2), (0, 1)]
    assert items is not None
    assert items[0].categories == [["GROCERY", "ICE", "ICE - CUBED"]]
    assert items[1].title is None
