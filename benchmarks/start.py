"""Start: from `freshet run` to ready, the first time (demo shop loaded by the real path) and the second."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks._measure import emit, machine, note
from benchmarks._system import running


def main() -> None:
    """Start in an empty folder, stop, start again, several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    first: list[float] = []
    second: list[float] = []
    for number in range(arguments.runs):
        note(f"run {number + 1} of {arguments.runs} ...")
        with tempfile.TemporaryDirectory(prefix="freshet-start-") as folder:
            for times in (first, second):
                with running(Path(folder) / "data") as system:
                    times.append(system.ready_s)
    emit("start_first", first, "s", machine=machine())
    emit("start_second", second, "s", machine=machine())


if __name__ == "__main__":
    main()
