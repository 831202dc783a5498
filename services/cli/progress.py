"""A bar on a terminal, a line now and then elsewhere; on standard error, for results own standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

# Where there is no terminal (a CI log, a service's journal), a line this often says that it is still alive.
_LINE_INTERVAL_S = 10.0


class Progress(Protocol):
    """Told how far the work is."""

    def __call__(self, done: float, note: str = "", /) -> None:
        """`done` is in the unit of the bar's total; `note` stands beside the bar."""


@contextmanager
def progress(label: str, total: float, *, quiet: bool = False) -> Iterator[Progress]:
    """Show how far something is until the block ends. `total` 0 means that nobody knows."""
    if quiet:
        yield _nothing
    elif sys.stderr.isatty():
        with _bar(label, total) as show:
            yield show
    else:
        yield _lines(label, total)


def _nothing(_done: float, _note: str = "") -> None:
    pass


@contextmanager
def _bar(label: str, total: float) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True),
    )
    with Bar(*columns, console=Console(stderr=True), refresh_per_second=5) as bar:
        task = bar.add_task(label, total=total or None, note="")

        def show(done: float, note: str = "") -> None:
            bar.update(task, completed=done, note=note)

        yield show


def _lines(label: str, total: float) -> Progress:
    last_s = time.monotonic()

    def show(done: float, note: str = "") -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= _LINE_INTERVAL_S:
            last_s = now_s
            share = f"{100 * done / total:.0f} %" if total else f"{done:,.0f}"
            sys.stderr.write(f"{label}: {share} {note}\n")
            sys.stderr.flush()

    return show
