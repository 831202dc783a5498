"""What the shipped model costs in answering: one core, one question at a time, 3.4k to a million items.

`model` is OnnxModel.run for one user: inputs, network, scoring, best 256. `rank` is that and the ranked list
of 20 for the scenario for_you, from a filled catalogue with popularity and neighbours; `list` is the list
alone. Each size runs in a process of its own, in one thread. `ms` is the clock's time, `cpu_ms` the thread's,
which other work on the machine does not lengthen by waiting.
Where the shipped graph scores an 8-bit copy, the same release with f32 scores takes turns with it (`exact`),
and recall is the share of the exact best that the copy's answer holds.
Vectors are synthetic: `benchmarks._synthetic` says how.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks._measure import emit, machine, note, percentile
from benchmarks._synthetic import (
    NOW_S,
    aggregates_of,
    catalogue_of,
    make_release,
    profiles_of,
    raw_items,
)
from services.kernel.profile import Profile
from services.ranking.catalogue import Catalogue
from services.ranking.inputs import ModelQuestion
from services.ranking.model import OnnxModel
from services.ranking.rank import rank, wants_model
from services.ranking.state import RankingState, RankRequest
from services.release.files import Release, open_release

SIZES = (3_416, 10_000, 43_097, 100_000, 1_000_000)
WIDE_MAX = 43_097  # up to which d = 128 is measured as well
RANK_MAX = 100_000  # a million items as Python objects would take gigabytes
ROUNDS = 5
USERS = 200
LIST_ITEMS = 20
NOW_MS = NOW_S * 1000


class Times(NamedTuple):
    """What each answer of a round took."""

    wall_ms: list[float]
    cpu_ms: list[float]


def name_of(items: int, d: int) -> str:
    """100k, 1m, 43k_d128."""
    size = f"{items // 1_000_000}m" if items >= 1_000_000 else f"{items // 1000}k"
    return size if d == 64 else f"{size}_d{d}"


def resident_mb() -> dict[str, float]:
    """Resident memory in MB: all, what is this process's own, what is mapped from files (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return {"VmRSS": 0.0, "RssAnon": 0.0, "RssFile": 0.0}
    lines = (line.split() for line in status.read_text().splitlines())
    return {
        words[0][:-1]: int(words[1]) / 1024
        for words in lines
        if words[0] in {"VmRSS:", "RssAnon:", "RssFile:"}
    }


def timed_ms(answer: Callable[[int], object], runs: int, first: int) -> Times:
    """`runs` answers one after the other: each in ms, and in ms of the thread's CPU time."""
    times = Times([], [])
    for number in range(first, first + runs):
        began, cpu_began = time.perf_counter(), time.thread_time()
        answer(number)
        cpu_ended, ended = time.thread_time(), time.perf_counter()
        times.wall_ms.append((ended - began) * 1000)
        times.cpu_ms.append((cpu_ended - cpu_began) * 1000)
    return times


def emit_times(name: str, rounds: list[Times]) -> None:
    """p50 and p99, each the median of the rounds."""
    for kind in ("ms", "cpu_ms"):
        for percent in (50, 99):
            values = [
                percentile(times.wall_ms if kind == "ms" else times.cpu_ms, percent) for times in rounds
            ]
            answers = len(rounds[0].wall_ms)
            emit(f"serving_{name}_p{percent}_{kind}", values, "ms", 3, answers=answers, machine=machine())


def answered(model: OnnxModel, questions: list[list[ModelQuestion]], number: int) -> None:
    """One user's answer."""
    model.run(questions[number % len(questions)])


def measure_model(
    label: str, shipped: OnnxModel, exact: OnnxModel | None, profiles: list[Profile], runs: int
) -> None:
    """The model alone, in turns with its f32 twin, and how much of what that finds it finds."""
    questions = [[ModelQuestion(profile, NOW_MS)] for profile in profiles]
    models = {"model": shipped} if exact is None else {"model": shipped, "exact": exact}
    rounds: dict[str, list[Times]] = {name: [] for name in models}
    for number in range(ROUNDS):
        for name, model in models.items():
            answer = partial(answered, model, questions)
            rounds[name].append(timed_ms(answer, runs, number * runs))
    for name, times in rounds.items():
        emit_times(f"{name}_{label}", times)
    if exact is None:
        return
    for best in (10, 100):
        shares = []
        for question in questions:
            found = shipped.run(question)[0].item_indices[:best]
            shares.append(float(np.isin(exact.run(question)[0].item_indices[:best], found).mean()))
        emit(
            f"serving_recall_{best}_{label}", [float(np.mean(shares))], "", 5, users=USERS, worst=min(shares)
        )


def measure_rank(label: str, model: OnnxModel, items: int, d: int, runs: int, seed: int) -> None:
    """Model and list together, and the list alone."""
    made = catalogue_of(items, d, seed)
    release = model.release
    catalogue = Catalogue(release)
    catalogue.load(raw_items(made))
    state = RankingState(catalogue, aggregates_of(release, seed), model)
    profiles = profiles_of(release, made.cluster, USERS, seed)
    request = RankRequest(NOW_MS, n=LIST_ITEMS)
    found = [model.run([ModelQuestion(profile, NOW_MS)])[0] for profile in profiles]

    def whole(number: int) -> None:
        profile = profiles[number % USERS]
        answer = None
        if wants_model(state, profile, request):
            answer = model.run([ModelQuestion(profile, NOW_MS)])[0]
        ranking = rank(state, profile, request, answer)
        assert (ranking.strategy, len(ranking.items)) == ("model", LIST_ITEMS)

    def alone(number: int) -> None:
        rank(state, profiles[number % USERS], request, found[number % USERS])

    for name, answer in (("rank", whole), ("list", alone)):
        timed_ms(answer, USERS, 0)
        emit_times(f"{name}_{label}", [timed_ms(answer, runs, number * runs) for number in range(ROUNDS)])


def measure(folder: Path, items: int, d: int, runs: int, seed: int) -> None:
    """One size, in a process that does nothing else."""
    label = name_of(items, d)
    made = catalogue_of(items, d, seed)
    cluster = made.cluster
    del made
    release = opened(folder / "shipped")
    before = resident_mb()
    began = time.perf_counter()
    shipped = OnnxModel(release)
    emit(f"serving_load_{label}", [(time.perf_counter() - began) * 1000], "ms")
    profiles = profiles_of(release, cluster, USERS, seed)
    timed_ms(lambda n: shipped.run([ModelQuestion(profiles[n % USERS], NOW_MS)]), USERS, 0)
    after = resident_mb()
    grown = {name: round(after[name] - before[name], 1) for name in after}
    emit(f"serving_memory_{label}", [grown["VmRSS"]], "MB", 1, own=grown["RssAnon"], mapped=grown["RssFile"])
    with_copy = "item_codes" in release.manifest.artefacts
    exact = OnnxModel(opened(folder / "exact")) if with_copy else None
    few = max(runs // 5, 1) if items >= 1_000_000 else runs
    measure_model(label, shipped, exact, profiles, few)
    del exact
    if items <= RANK_MAX and d == 64:
        measure_rank(label, shipped, items, d, runs, seed)


def opened(folder: Path) -> Release:
    """The one release in a folder."""
    return open_release(next(folder.iterdir()), verify=False)


def measure_apart(items: int, d: int, runs: int, seed: int) -> None:
    """Build the releases of one size, and measure them in a process with one thread."""
    with tempfile.TemporaryDirectory(prefix="freshet-serving-") as scratch:
        made = catalogue_of(items, d, seed)
        for name in ("shipped", "exact"):
            (folder := Path(scratch) / name).mkdir()
            make_release(folder, made, seed, exact=name == "exact")
        command = ["--child", scratch, "--sizes", str(items), "--d", str(d), "--runs", str(runs)]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.serving", *command, "--seed", str(seed)],
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            check=True,
        )


def main() -> None:
    """Every size at d = 64; up to WIDE_MAX items at d = 128 as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="items of the catalogues")
    parser.add_argument("--d", type=int, nargs="*", default=[64, 128], help="numbers of an item vector")
    parser.add_argument("--runs", type=int, default=500, help="answers a round; there are five rounds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        measure(arguments.child, arguments.sizes[0], arguments.d[0], arguments.runs, arguments.seed)
        return
    for d in arguments.d:
        for items in arguments.sizes:
            if d == 64 or items <= WIDE_MAX or len(arguments.d) == 1:
                note(f"{items:,} items of {d} numbers ...")
                measure_apart(items, d, arguments.runs, arguments.seed)


if __name__ == "__main__":
    main()
