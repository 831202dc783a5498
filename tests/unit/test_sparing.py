"""A library that says the same again and again is heard once a minute."""

from __future__ import annotations

import logging

from services.log.sparing import Sparing


def record(line: int, level: int = logging.ERROR, text: str = "node %d is away") -> logging.LogRecord:
    return logging.LogRecord("library.part", level, "library.py", line, text, (7,), None)


def test_each_line_is_told_once_in_a_while_with_how_often_it_came() -> None:
    now_s = 1.0
    sparing = Sparing(60.0, lambda: now_s)
    assert sparing.filter(record(1))
    assert sparing.filter(record(2)), "another line is another matter"
    assert not any(sparing.filter(record(1)) for _ in range(1_500))
    now_s = 60.9
    assert not sparing.filter(record(1))
    now_s = 61.0
    again = record(1)
    assert sparing.filter(again)
    assert again.getMessage() == "node 7 is away (and 1,501 more like it in between)"
    assert not sparing.filter(record(1))
    now_s = 121.0
    assert sparing.filter(record(2))


def test_what_is_no_trouble_is_told_each_time() -> None:
    sparing = Sparing(60.0, lambda: 1.0)
    assert all(sparing.filter(record(1, logging.INFO)) for _ in range(3))
